//! Where the aggregator is not ours: one of others may leave out some of its report, and where there is
//! none the harness sums by itself.

use super::Outcome;
use super::aggregate::{differences, implied};
use crate::facts::Facts;
use crate::history::{EndReason, PartialAggregate, SeenAggregate};
use crate::plan::Plan;
use crate::words::counted;

/// What the harness has summed, against what the sweep implies.
pub(super) fn of_harness(plan: &Plan, facts: &Facts) -> Outcome {
    let none = "no aggregator: summed by the harness";
    if facts.ledger.committed().is_empty() {
        return Outcome::inconclusive(format!("{none}, and there was nothing to sum"));
    }
    let (implied, _) = implied(plan, facts);
    let summed = facts.ledger.summed();
    let count = counted(summed.count, "parameter");
    let summary = format!("{none}: sum {} over {count}", summed.sum);
    let mut differences = implied.differences(&summed);
    if implied.count != summed.count {
        // All else follows from that.
        differences.truncate(1);
    }
    match differences.is_empty() {
        true => Outcome::pass(summary),
        false if facts.is_final() => {
            Outcome::fail(format!("{summary}, which is not what the sweep implies"))
                .because(differences)
        }
        false => Outcome::inconclusive(summary).because(differences),
    }
}

/// The report of an aggregator of others that has left out some of it, or said nothing: what it says must
/// be so, and what it does not say is not judged.
pub(super) fn of_others(plan: &Plan, facts: &Facts) -> Outcome {
    let Some(report) = facts.partial_aggregates.last() else {
        return Outcome::inconclusive(match facts.ended {
            Some((_, EndReason::Complete)) => {
                "not judged: the aggregator printed no report (a line of JSON with complete, chunks, \
                 duplicates_removed and result)"
            }
            _ => "the run ended before the aggregator had reported anything",
        });
    };
    let left_out = filled(plan, facts, report).1.join(", ");
    let wrong = wrong_partials(plan, facts);
    if wrong.is_empty() {
        return Outcome::inconclusive(format!(
            "not judged: the aggregator's report leaves out {left_out}"
        ));
    }
    let summary = format!("the aggregate is not what the sweep implies (it leaves out {left_out})");
    match facts.is_final() {
        true => Outcome::fail(summary).because(wrong),
        false => Outcome::inconclusive(summary).because(wrong),
    }
}

/// What is not so in reports that leave out some of it: in those that call the sweep complete, whatever
/// else was reported, and in the last thing that was reported at all.
pub(super) fn wrong_partials(plan: &Plan, facts: &Facts) -> Vec<String> {
    let counts =
        |report: &&PartialAggregate| facts.aggregate.is_none() || report.complete == Some(true);
    let partials = facts.partial_aggregates.iter().filter(counts);
    partials.flat_map(|report| wrong(plan, facts, report)).collect()
}

fn wrong(plan: &Plan, facts: &Facts, report: &PartialAggregate) -> Vec<String> {
    let (filled, _) = filled(plan, facts, report);
    let has_all = filled.count == plan.sweep.params();
    let mut wrong = differences(plan, facts, &filled);
    if let Some(complete) = report.complete.filter(|complete| *complete != has_all) {
        wrong.push(format!("complete {complete} instead of {has_all}"));
    }
    wrong
}

/// A report with what it leaves out as it should be, and the names of that.
fn filled(
    plan: &Plan,
    facts: &Facts,
    report: &PartialAggregate,
) -> (SeenAggregate, Vec<&'static str>) {
    let (implied, chunks) = implied(plan, facts);
    let count = report.count.unwrap_or(implied.count);
    let filled = SeenAggregate {
        chunks: report.chunks.unwrap_or(chunks),
        duplicates_removed: report.duplicates_removed.unwrap_or(0),
        dead_lettered: report.dead_lettered,
        complete: report.complete.unwrap_or(count == plan.sweep.params()),
        count,
        sum: report.sum.unwrap_or(implied.sum),
        min: report.min.unwrap_or(implied.min),
        max: report.max.unwrap_or(implied.max),
        avg: report.avg.unwrap_or(implied.avg),
    };
    let figures = [
        ("complete", report.complete.is_none()),
        ("chunks", report.chunks.is_none()),
        ("duplicates_removed", report.duplicates_removed.is_none()),
        ("result.count", report.count.is_none()),
        ("result.sum", report.sum.is_none()),
        ("result.min", report.min.is_none()),
        ("result.max", report.max.is_none()),
        ("result.avg", report.avg.is_none()),
    ];
    let left_out = figures.into_iter().filter(|(_, is_left_out)| *is_left_out);
    (filled, left_out.map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::super::aggregate::judge;
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;
    use crate::plan::{ForeignProgram, RoleProgram};
    use insta::assert_snapshot;

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    fn without_aggregator() -> History {
        let mut plan = plan();
        plan.aggregator = RoleProgram::None;
        History::of(plan).without(|event| matches!(event, Event::Aggregate(_)))
    }

    /// A run in which an aggregator of others reported the last thing.
    fn with_foreign(report: Option<PartialAggregate>) -> History {
        let mut plan = plan();
        let program = ForeignProgram { command: vec!["sum.py".into()], image: None };
        plan.aggregator = RoleProgram::Foreign(program);
        let history = History::of(plan).without(|event| matches!(event, Event::Aggregate(_)));
        match report {
            Some(report) => history.with(40.0, Event::PartialAggregate(report)),
            None => history,
        }
    }

    fn sum_and_count() -> PartialAggregate {
        let (sum, count) = (Some(500_035.5), Some(1000));
        PartialAggregate { sum, count, ..PartialAggregate::default() }
    }

    #[test]
    fn where_there_is_none_the_harness_sums_and_says_so() {
        assert_snapshot!(judged(&without_aggregator()), @"pass: no aggregator: summed by the harness: sum 500035.5 over 1000 parameters");
    }

    #[test]
    fn what_the_harness_sums_must_be_what_the_sweep_implies() {
        assert_snapshot!(judged(&without_aggregator().without_chunk("00031")), @r"
        fail: no aggregator: summed by the harness: sum 497889.05 over 990 parameters, which is not what the sweep implies
        - count 990 instead of 1000
        ");
        let nothing = without_aggregator().without(|event| matches!(event, Event::Result(_)));
        assert_snapshot!(judged(&nothing), @"inconclusive: no aggregator: summed by the harness, and there was nothing to sum");
        let early = without_aggregator().without_chunk("00031").ended(EndReason::Interrupted);
        assert!(judged(&early).starts_with("inconclusive"), "{}", judged(&early));
    }

    #[test]
    fn an_aggregator_of_others_that_reports_nothing_is_not_judged() {
        assert_snapshot!(judged(&with_foreign(None)), @"inconclusive: not judged: the aggregator printed no report (a line of JSON with complete, chunks, duplicates_removed and result)");
        let stalled = with_foreign(None).ended(EndReason::Stalled);
        assert_snapshot!(judged(&stalled), @"inconclusive: the run ended before the aggregator had reported anything");
    }

    #[test]
    fn what_a_report_of_others_leaves_out_is_never_a_pass() {
        assert_snapshot!(judged(&with_foreign(Some(sum_and_count()))), @"inconclusive: not judged: the aggregator's report leaves out complete, chunks, duplicates_removed, result.min, result.max, result.avg");
    }

    #[test]
    fn what_it_does_say_must_be_so() {
        let wrong = PartialAggregate { sum: Some(7.0), ..sum_and_count() };
        assert_snapshot!(judged(&with_foreign(Some(wrong))), @r"
        fail: the aggregate is not what the sweep implies (it leaves out complete, chunks, duplicates_removed, result.min, result.max, result.avg)
        - sum 7 instead of 500035.5
        ");
        let denies = PartialAggregate { complete: Some(false), ..sum_and_count() };
        assert_snapshot!(judged(&with_foreign(Some(denies))), @r"
        fail: the aggregate is not what the sweep implies (it leaves out chunks, duplicates_removed, result.min, result.max, result.avg)
        - complete false instead of true
        ");
    }

    #[test]
    fn what_it_calls_complete_must_be_so_beside_a_whole_report_too() {
        let with = |report: PartialAggregate| {
            let mut history = History::of(plan());
            let program = ForeignProgram { command: vec!["sum.py".into()], image: None };
            history.plan.aggregator = RoleProgram::Foreign(program);
            judged(&history.with(20.0, Event::PartialAggregate(report)))
        };
        let halfway = PartialAggregate { sum: Some(7.0), count: Some(30), ..Default::default() };
        assert!(with(halfway.clone()).starts_with("pass"), "it says how far it has come");
        assert_snapshot!(with(PartialAggregate { complete: Some(true), ..halfway }), @r"
        fail: the aggregator's numbers are right, and the rest of what it says is not
        - another of its reports: count 30 instead of 1000
        - another of its reports: complete true instead of false
        ");
    }

    #[test]
    fn a_whole_report_of_others_is_judged_like_ours() {
        let mut history = History::of(plan());
        let program = ForeignProgram { command: vec!["sum.py".into()], image: None };
        history.plan.aggregator = RoleProgram::Foreign(program);
        assert!(judged(&history).starts_with("pass"));
        let history = history.spoil_aggregate(|aggregate| aggregate.sum += 1.0);
        assert!(judged(&history).starts_with("fail"));
    }
}
