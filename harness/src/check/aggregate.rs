//! The system's own aggregate is exactly what the sweep implies.

use super::{Outcome, other_aggregate, processes, reports};
use crate::facts::{Facts, Formula, Reported, Yield};
use crate::history::{EndReason, SeenAggregate};
use crate::plan::{Backend, Coverage, Plan};
use crate::words::{counted, quoted};

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    if plan.backend == Backend::Static {
        return Outcome::not_judged("static mode has no aggregator");
    }
    if plan.expect.coverage == Coverage::LostWithBroker {
        return Outcome::not_judged("its data is gone");
    }
    if plan.aggregator.is_none() {
        return other_aggregate::of_harness(plan, facts);
    }
    let Some(aggregate) = &facts.aggregate else {
        return if plan.has_foreign_aggregator() {
            other_aggregate::of_others(plan, facts)
        } else {
            absent(facts)
        };
    };
    let mut faults = reports::faults(plan, facts);
    let of_others = other_aggregate::wrong_partials(plan, facts);
    faults.extend(of_others.iter().map(|wrong| format!("another of its reports: {wrong}")));
    let differences = differences(plan, facts, aggregate);
    let has_all = aggregate.count == plan.sweep.params();
    let is_right = differences.is_empty() && aggregate.complete == has_all;
    if is_right && !faults.is_empty() {
        let summary = "the aggregator's numbers are right, and the rest of what it says is not";
        return finally(facts, summary.to_owned(), faults);
    }
    if is_right && let Some(reason) = &facts.unreadable_report {
        return Outcome::inconclusive("one of the aggregator's reports cannot be read")
            .because(vec![quoted(reason)]);
    }
    if is_right {
        let count = counted(aggregate.count, "parameter");
        return Outcome::pass(format!("sum {} over {count}, exactly as implied", aggregate.sum));
    }
    let params = plan.sweep.params();
    let count = aggregate.count;
    let stopped = if count > params {
        format!("the aggregator counted {count} parameters of {params}")
    } else {
        format!("the aggregator stopped at {count} of {params} parameters")
    };
    let summary = match (has_all, aggregate.complete) {
        (true, true) => "the aggregate is not what the sweep implies".to_owned(),
        (true, false) => "the aggregator has every parameter and calls that incomplete".to_owned(),
        (false, true) => format!("{stopped} and called that complete"),
        (false, false) => stopped,
    };
    finally(facts, summary, differences.into_iter().chain(faults).collect())
}

/// What is wrong is wrong for good where the run was watched to its end.
fn finally(facts: &Facts, summary: String, evidence: Vec<String>) -> Outcome {
    match facts.is_final() {
        true => Outcome::fail(summary).because(evidence),
        false => Outcome::inconclusive(summary).because(evidence),
    }
}

fn absent(facts: &Facts) -> Outcome {
    let ends: Vec<String> = facts.aggregator_exits().map(processes::describe).collect();
    match facts.ended {
        Some((_, EndReason::Complete)) => {
            Outcome::fail("the aggregator reported nothing").because(ends)
        }
        _ => Outcome::inconclusive("the run ended before the aggregator had reported anything")
            .because(ends),
    }
}

/// What the sweep implies, and over how many chunks.
pub(super) fn implied(plan: &Plan, facts: &Facts) -> (Reported, u64) {
    let committed = facts.ledger.implied();
    let expect = &plan.expect;
    let whole = expect.coverage == Coverage::ExactlyOnce && expect.dead_letters == 0;
    let chunks = if whole { plan.sweep.chunks() } else { facts.ledger.chunks_committed() };
    let implied = match by_formula(plan, facts) {
        Some(implied) => implied.figures(),
        None if whole => Reported { count: plan.sweep.params(), ..committed },
        None => committed,
    };
    (implied, chunks)
}

/// What a built-in kernel yields, exactly: over the whole sweep where all of it is to be there.
fn by_formula(plan: &Plan, facts: &Facts) -> Option<Yield> {
    let expect = &plan.expect;
    let whole = expect.coverage == Coverage::ExactlyOnce && expect.dead_letters == 0;
    match Formula::of(&plan.sweep.kernel) {
        Some(formula) if whole => Some(formula.over(plan.sweep.start, plan.sweep.end)),
        _ => facts.ledger.implied_by_formula(),
    }
}

pub(super) fn differences(plan: &Plan, facts: &Facts, aggregate: &SeenAggregate) -> Vec<String> {
    let committed = facts.ledger.implied();
    let (implied, chunks) = implied(plan, facts);
    let reported = Reported {
        count: aggregate.count,
        sum: aggregate.sum,
        min: aggregate.min,
        max: aggregate.max,
        avg: aggregate.avg,
    };
    let mut differences = match by_formula(plan, facts) {
        Some(implied) => implied.differences(&reported),
        None => implied.differences(&reported),
    };
    if implied.count != aggregate.count {
        // All else follows from that.
        differences.truncate(1);
    }
    if aggregate.chunks != chunks {
        differences.insert(0, format!("chunks {} instead of {chunks}", aggregate.chunks));
    }
    let lost = committed.count < implied.count;
    if lost && committed.differences(&reported).is_empty() {
        differences.push("it is what was committed: the loss is not the aggregator's".into());
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, static_plan, told};
    use super::*;
    use crate::history::Event;
    use crate::plan::Kernel;
    use insta::assert_snapshot;

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn a_report_that_cannot_be_read_beside_a_right_one_is_inconclusive() {
        let reason = "expected value at line 1 column 38".to_owned();
        let history = History::of(plan()).with(20.0, Event::UnreadableReport { reason });
        assert_snapshot!(told(&history.judged_by(judge)), @r"
        inconclusive: one of the aggregator's reports cannot be read
        - expected value at line 1 column 38
        ");
    }

    #[test]
    fn what_the_sweep_implies_passes() {
        assert_snapshot!(judged(&History::of(plan())), @"pass: sum 500035.5 over 1000 parameters, exactly as implied");
    }

    #[test]
    fn a_sum_that_is_off_by_a_cent_fails() {
        let history = History::of(plan()).spoil_aggregate(|aggregate| aggregate.sum -= 0.01);
        assert_snapshot!(judged(&history), @r"
        fail: the aggregate is not what the sweep implies
        - sum 500035.49 instead of 500035.5
        ");
    }

    #[test]
    fn an_aggregator_that_stops_early_and_calls_that_complete_fails() {
        let history = History::of(plan()).spoil_aggregate(|aggregate| {
            let part = Formula::Reference.over(0, 412).figures();
            (aggregate.chunks, aggregate.count, aggregate.sum) = (42, part.count, part.sum);
            (aggregate.min, aggregate.max, aggregate.avg) = (part.min, part.max, part.avg);
        });
        assert_snapshot!(judged(&history), @r"
        fail: the aggregator stopped at 412 of 1000 parameters and called that complete
        - chunks 42 instead of 100
        - count 412 instead of 1000
        ");
    }

    #[test]
    fn an_aggregator_that_counts_a_duplicate_fails() {
        let history = History::of(plan()).spoil_aggregate(|aggregate| aggregate.chunks += 1);
        assert_snapshot!(judged(&history), @r"
        fail: the aggregate is not what the sweep implies
        - chunks 101 instead of 100
        ");
    }

    #[test]
    fn an_aggregator_that_has_all_and_calls_it_incomplete_fails() {
        let history = History::of(plan()).spoil_aggregate(|aggregate| aggregate.complete = false);
        assert_snapshot!(judged(&history), @"fail: the aggregator has every parameter and calls that incomplete");
    }

    #[test]
    fn an_aggregator_that_truly_reports_what_is_left_fails_and_is_excused() {
        let mut history = History::of(plan()).without_chunk("00031");
        let left = history.facts().ledger.implied();
        history = history.spoil_aggregate(|aggregate| {
            (aggregate.chunks, aggregate.count, aggregate.sum) = (99, left.count, left.sum);
            (aggregate.avg, aggregate.complete) = (left.avg, false);
        });
        assert_snapshot!(judged(&history), @r"
        fail: the aggregator stopped at 990 of 1000 parameters
        - chunks 99 instead of 100
        - count 990 instead of 1000
        - it is what was committed: the loss is not the aggregator's
        ");
    }

    #[test]
    fn where_dead_letters_are_expected_it_must_be_the_rest_and_incomplete() {
        let mut plan = plan();
        plan.expect.dead_letters = 1;
        let mut history = History::of(plan).without_chunk("00031");
        let left = history.facts().ledger.implied();
        history = history.spoil_aggregate(|aggregate| {
            (aggregate.chunks, aggregate.count, aggregate.sum) = (99, left.count, left.sum);
            (aggregate.avg, aggregate.complete) = (left.avg, false);
        });
        assert!(judged(&history).starts_with("pass"), "{}", judged(&history));
        let history = history.spoil_aggregate(|aggregate| aggregate.complete = true);
        assert_snapshot!(judged(&history), @"fail: the aggregator stopped at 990 of 1000 parameters and called that complete");
    }

    #[test]
    fn no_aggregate_of_a_run_that_completed_fails() {
        let history = History::of(plan()).without(|event| matches!(event, Event::Aggregate(_)));
        assert_snapshot!(judged(&history), @r"
        fail: the aggregator reported nothing
        - aggregator exited with code 0 at 34.6 s, and said nothing
        ");
    }

    #[test]
    fn no_aggregate_of_a_run_that_stalled_is_inconclusive() {
        let history = History::of(plan())
            .without(|event| matches!(event, Event::Aggregate(_)))
            .ended(EndReason::Stalled);
        assert_snapshot!(judged(&history), @r"
        inconclusive: the run ended before the aggregator had reported anything
        - aggregator exited with code 0 at 34.6 s, and said nothing
        ");
    }

    #[test]
    fn static_mode_has_none() {
        assert_snapshot!(judged(&History::of(static_plan())), @"not judged: static mode has no aggregator");
    }

    #[test]
    fn for_a_program_of_the_users_own_it_must_be_what_was_committed() {
        let mut plan = plan();
        plan.sweep.kernel = Kernel::Exec { command: vec!["./simulate".into()] };
        let history = History::of(plan);
        assert!(judged(&history).starts_with("pass"));
        let history = history.spoil_aggregate(|aggregate| aggregate.sum += 1.0);
        assert!(judged(&history).starts_with("fail"));
    }
}
