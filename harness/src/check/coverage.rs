//! Every parameter counts, once, with the right value.

use super::{Outcome, dead, duplicates, wiped};
use crate::facts::{Facts, IntervalSet, Tally, first_ranges};
use crate::ideal::static_range;
use crate::plan::{Backend, Coverage, Kernel, Plan};
use crate::words::{FirstLines, chunk_id, counted, listed, parameters, quoted};

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let params = plan.sweep.params();
    if params == 0 {
        return Outcome::inconclusive("the sweep has no parameters: nothing was tested");
    }
    let missing = facts.ledger.missing();
    let early = facts.left_before_the_sweep();
    if !early.is_empty() {
        return nobody_was_left(facts, &early);
    }
    if missing.len() == params && (facts.sweep_started_s.is_none() || !facts.is_final()) {
        return Outcome::inconclusive("not one result was seen, so nothing can be said of them");
    }
    let spoilt = spoilt(plan, facts);
    match plan.expect.coverage {
        Coverage::ExactlyOnce => exactly_once(plan, facts, &missing, spoilt),
        Coverage::LostWithWorker => lost_with_worker(plan, facts, &missing, spoilt),
        Coverage::LostWithBroker if !spoilt.words.is_empty() => worse_than_lost(spoilt),
        Coverage::LostWithBroker => wiped::judge(plan, facts, &missing),
    }
}

/// Of a sweep that began when those who were to compute it had left: a foreign worker leaves when it
/// has had nothing to do for a while, and the sweep begins when all have asked for tasks.
fn nobody_was_left(facts: &Facts, early: &[&str]) -> Outcome {
    let who = listed(&early.iter().map(|who| quoted(who)).collect::<Vec<_>>());
    let summary = format!(
        "{who} left before the first task was there, and nobody else committed anything: nothing was \
         tested"
    );
    Outcome::inconclusive(summary).because(facts.waited_for.iter().map(|it| quoted(it)).collect())
}

/// What is wrong besides missing parameters: in words, and with its evidence.
struct Spoilt {
    words: Vec<String>,
    evidence: Vec<String>,
}

fn spoilt(plan: &Plan, facts: &Facts) -> Spoilt {
    let ledger = &facts.ledger;
    let dead_as_expected = plan.expect.dead_letters > 0;
    let kinds: [(&str, &Tally, bool); 4] = [
        (
            "committed more than once",
            &ledger.duplicated,
            duplicates::explained(plan, facts).is_some(),
        ),
        ("with a wrong value", &ledger.wrong_value, false),
        ("unexpected", &ledger.unexpected, false),
        // Those that are expected have words of their own.
        ("in the dead letters", &ledger.dead_lettered, dead_as_expected),
    ];
    let there = || kinds.iter().filter(|(_, tally, may_be)| !may_be && tally.count() > 0);
    let mut spoilt = Spoilt {
        words: there().map(|(words, tally, _)| format!("{} {words}", tally.count())).collect(),
        evidence: there().flat_map(|(_, tally, _)| tally.evidence()).collect(),
    };
    spoilt.evidence.extend(duplicates::evidence(plan, facts));
    if !dead_as_expected {
        spoilt.words.extend(dead::other_than_stored(plan, facts));
        return spoilt;
    }
    spoilt.words.extend(dead::too_many(plan, facts));
    if !spoilt.words.is_empty() {
        spoilt.evidence.extend(ledger.dead_lettered.evidence());
    }
    spoilt
}

fn exactly_once(plan: &Plan, facts: &Facts, missing: &IntervalSet, spoilt: Spoilt) -> Outcome {
    let params = plan.sweep.params();
    let Spoilt { mut words, mut evidence } = spoilt;
    let too_few = dead::too_few(plan, facts);
    if words.is_empty() && missing.is_empty() && too_few.is_none() {
        if let Some(untested) = dead::untested(plan, facts) {
            return Outcome::inconclusive(untested);
        }
        let again =
            computed_again(plan, facts) + &dead::replays(facts) + &stored_again(plan, facts);
        if plan.expect.dead_letters > 0 {
            return dead::as_expected(plan, facts, &again);
        }
        let (all, chunks) = (counted(params, "parameter"), counted(plan.sweep.chunks(), "chunk"));
        return Outcome::pass(format!("all {all} in {chunks}, each counted exactly once{again}"));
    }
    if words.is_empty()
        && missing.is_empty()
        && let Some(escaped) = dead::escaped(plan, facts)
    {
        return Outcome::inconclusive(escaped);
    }
    let broken = !words.is_empty() || facts.is_final();
    if let Some(too_few) = too_few {
        words.push(too_few);
        evidence.extend(facts.ledger.dead_lettered.evidence());
    }
    if !missing.is_empty() {
        words.insert(0, format!("{} missing", missing.len()));
        evidence.splice(0..0, missing_evidence(plan, facts, missing));
    }
    let summary = format!("of {}: {}", counted(params, "parameter"), words.join(", "));
    if broken {
        Outcome::fail(summary).because(evidence)
    } else {
        Outcome::inconclusive(format!("{summary} so far, when the watching ended"))
            .because(evidence)
    }
}

/// How far the values of a user's own program are known to be right.
fn computed_again(plan: &Plan, facts: &Facts) -> String {
    match (&plan.sweep.kernel, facts.ledger.recomputed) {
        (Kernel::Reference { .. } | Kernel::Distinct { .. }, _) => String::new(),
        (Kernel::Exec { .. }, 0) => "; no value was computed again".to_owned(),
        (Kernel::Exec { .. }, n) => format!("; {} computed again, the same", counted(n, "chunk")),
    }
}

/// Results that were stored twice, where that is no defect.
fn stored_again(plan: &Plan, facts: &Facts) -> String {
    duplicates::explained(plan, facts).map_or_else(String::new, |results| {
        format!("; {} stored twice and removed", counted(results, "result"))
    })
}

/// Where a loss is expected, and something else than a loss is there.
fn worse_than_lost(spoilt: Spoilt) -> Outcome {
    let summary = format!("more is wrong than what was lost: {}", spoilt.words.join(", "));
    Outcome::fail(summary).because(spoilt.evidence)
}

fn lost_with_worker(plan: &Plan, facts: &Facts, missing: &IntervalSet, spoilt: Spoilt) -> Outcome {
    if !spoilt.words.is_empty() {
        return worse_than_lost(spoilt);
    }
    let mut elsewhere = missing.clone();
    for number in (0..plan.workers).filter(|number| struck(facts, *number)) {
        let (start, end) = static_range(plan, number.into());
        // It computes one after another: what it has left out before its last result is not lost with it.
        let after = facts.ledger.last_end_of(&format!("worker-{number}")).unwrap_or(start);
        elsewhere = outside(&elsewhere, after.clamp(start, end), end, plan);
    }
    let lost = counted(missing.len(), "parameter");
    if !elsewhere.is_empty() {
        let summary =
            format!("{} of {lost} missing are of no worker that a fault struck", elsewhere.len());
        let evidence = missing_evidence(plan, facts, &elsewhere);
        return if facts.is_final() {
            Outcome::fail(summary).because(evidence)
        } else {
            Outcome::inconclusive(summary).because(evidence)
        };
    }
    if missing.is_empty() {
        return Outcome::fail("nothing was lost, though the control must lose what a worker held");
    }
    let ranges: Vec<String> = missing.iter().map(parameters).collect();
    Outcome::pass(format!("lost with its worker, as it must be: {} ({lost})", ranges.join(", ")))
        .because(missing_evidence(plan, facts, missing))
}

fn struck(facts: &Facts, number: u32) -> bool {
    let name = format!("worker-{number}");
    facts.strikes.iter().any(|strike| strike.bit && strike.target == name)
}

/// Where missing parameters were last, and what became of who had them.
fn missing_evidence(plan: &Plan, facts: &Facts, missing: &IntervalSet) -> Vec<String> {
    let mut lines = FirstLines::default();
    if plan.backend == Backend::Static {
        for range in missing.iter() {
            lines.push(|| format!("{}: {}", parameters(range), static_owner(plan, facts, range.0)));
        }
        return lines.lines();
    }
    let mut unheld = missing.clone();
    for index in held_chunks(facts) {
        let (start, end) = plan.sweep.chunk(index);
        if missing.within(start, end) == [(start, end)] && !unheld.within(start, end).is_empty() {
            unheld = outside(&unheld, start, end, plan);
            lines.push(|| {
                let (range, id) = (parameters((start, end)), chunk_id(index));
                format!("{range} (chunk {id}): {}", last_holder(facts, &id))
            });
        }
    }
    for (start, end) in first_ranges(&unheld) {
        lines.push(|| {
            let (range, chunks) = (parameters((start, end)), chunks_of(plan, start, end));
            format!("{range} ({chunks}){}", settled_by(plan, facts, (start, end)))
        });
    }
    lines.lines()
}

/// That their tasks are settled, where they are, and who was seen with them last.
fn settled_by(plan: &Plan, facts: &Facts, (start, end): (u64, u64)) -> String {
    let all_submitted = facts.submitted.chunks == plan.sweep.chunks();
    if !facts.nothing_is_open() || !all_submitted {
        return String::new();
    }
    let index = |parameter: u64| (parameter - plan.sweep.start) / plan.sweep.chunk_size;
    let chunks = index(start)..=index(end - 1);
    let holder = chunks.clone().find_map(|index| facts.last_seen.get(&chunk_id(index)));
    let (its_task_is, them) = match chunks.count() {
        1 => ("its task is", "it"),
        _ => ("their tasks are", "them"),
    };
    let by = holder.map_or_else(
        || format!("nobody was seen with {them}"),
        |holder| format!("{} was seen with {them} last", quoted(holder)),
    );
    format!(": {its_task_is} settled without a result; {by}")
}

fn static_owner(plan: &Plan, facts: &Facts, parameter: u64) -> String {
    let owns = |number: &u32| {
        let (start, end) = static_range(plan, u64::from(*number));
        (start..end).contains(&parameter)
    };
    let Some(number) = (0..plan.workers).find(owns) else {
        return "of no worker".into();
    };
    let worker = format!("worker-{number}");
    let fate = facts.fate(&worker).map_or_else(String::new, |fate| format!(", which {fate}"));
    format!("of the range of {worker}{fate}")
}

fn held_chunks(facts: &Facts) -> impl Iterator<Item = u64> {
    let held = facts.strikes.iter().flat_map(|strike| &strike.held);
    held.filter_map(|held| facts.ledger.index(&held.chunk_id))
}

fn last_holder(facts: &Facts, id: &str) -> String {
    let which = |worker: &str| {
        let fate = facts.fate(worker).map_or_else(String::new, |fate| format!(", which {fate}"));
        format!("{}{fate}", quoted(worker))
    };
    if let Some(takeover) = facts.takeovers.iter().rfind(|takeover| takeover.chunk_id == id) {
        return format!("last held by {}, after {}", which(&takeover.to), which(&takeover.from));
    }
    let holds = |strike: &&crate::facts::Strike| strike.held.iter().any(|held| held.chunk_id == id);
    let strike = facts.strikes.iter().rfind(holds);
    let holder = strike.map_or_else(|| "a worker".into(), |strike| which(&strike.target));
    format!("last held by {holder}, and never taken over")
}

fn chunks_of(plan: &Plan, start: u64, end: u64) -> String {
    let index = |parameter: u64| (parameter - plan.sweep.start) / plan.sweep.chunk_size;
    let (first, last) = (index(start), index(end - 1));
    if first == last {
        format!("chunk {}", chunk_id(first))
    } else {
        format!("chunks {} to {}", chunk_id(first), chunk_id(last))
    }
}

/// The members of the set outside of `[start, end)`.
fn outside(set: &IntervalSet, start: u64, end: u64, plan: &Plan) -> IntervalSet {
    let mut rest = IntervalSet::default();
    for (s, e) in
        set.within(plan.sweep.start, start).into_iter().chain(set.within(end, plan.sweep.end))
    {
        rest.insert(s, e);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, plan_with_kill, static_plan, told};
    use super::*;
    use crate::history::{EndReason, Event};
    use crate::plan::Kernel;
    use insta::assert_snapshot;

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn every_parameter_once_passes() {
        assert_snapshot!(judged(&History::of(plan_with_kill())), @"pass: all 1000 parameters in 100 chunks, each counted exactly once");
    }

    #[test]
    fn a_chunk_lost_with_its_worker_fails_and_names_who_had_it() {
        assert_snapshot!(judged(&History::of(plan_with_kill()).without_chunk("00031")), @r"
        fail: of 1000 parameters: 10 missing
        - parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over
        ");
    }

    #[test]
    fn a_chunk_lost_after_it_was_taken_over_names_both_workers() {
        let history = History::of(plan_with_kill())
            .without(|event| matches!(event, Event::Result(result) if result.chunk_id == "00031"));
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 10 missing
        - parameters 310..320 (chunk 00031): last held by worker-0, which left at 45.6 s, after worker-1, which was killed at 10.8 s
        ");
    }

    #[test]
    fn chunks_that_nobody_is_known_to_have_held_are_named_as_one_range() {
        let history = History::of(plan()).without_chunk("00040").without_chunk("00041");
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 20 missing
        - parameters 400..420 (chunks 00040 to 00041): their tasks are settled without a result; nobody was seen with them
        ");
    }

    #[test]
    fn a_chunk_committed_twice_fails_and_names_both_commits() {
        let history = History::of(plan());
        let again = history.result_of("00007");
        assert_snapshot!(judged(&history.with(20.0, again)), @r"
        fail: of 1000 parameters: 10 committed more than once
        - chunk 00007 was committed by worker-1 at 3.5 s and again by worker-1 at 20.0 s
        ");
    }

    #[test]
    fn a_value_wrong_by_a_cent_fails() {
        let history = History::of(plan()).spoil_result("00003", |result| result.sum += 0.01);
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 10 with a wrong value
        - chunk 00003 was reported by worker-0 with sum 2548.46 instead of 2548.45
        ");
    }

    #[test]
    fn a_chunk_reported_whole_with_half_of_its_parameters_fails_and_says_so() {
        let history = History::of(plan()).spoil_result("00031", |result| result.count = 5);
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 10 with a wrong value
        - chunk 00031 was reported whole by worker-1 with 5 of its 10 parameters
        ");
    }

    #[test]
    fn a_program_of_the_users_own_is_judged_by_its_count_and_its_mean() {
        let mut plan = plan();
        plan.sweep.kernel = Kernel::Exec { command: vec!["./simulate".into()] };
        let history = History::of(plan).spoil_result("00003", |result| result.max = 1e7);
        assert!(judged(&history).starts_with("pass"));
        let off = history.spoil_result("00003", |result| result.avg += 0.001);
        assert!(judged(&off).starts_with("fail: of 1000 parameters: 10 with a wrong value"));
        let history = off.spoil_result("00003", |result| result.avg -= 0.001);
        let history = history.spoil_result("00003", |result| result.count = 9);
        assert!(judged(&history).starts_with("fail: of 1000 parameters: 10 with a wrong value"));
    }

    #[test]
    fn chunks_that_are_not_of_the_sweep_are_unexpected() {
        let history = History::of(plan());
        let stray = |id: &str| match history.result_of("00007") {
            Event::Result(mut result) => {
                result.chunk_id = id.into();
                Event::Result(result)
            }
            other => other,
        };
        let (beyond, unreadable) = (stray("00100"), stray("+7\u{1b}"));
        assert_snapshot!(judged(&History::of(plan()).with(9.0, beyond).with(9.5, unreadable)), @r#"
        fail: of 1000 parameters: 20 unexpected
        - chunk "00100" was committed by worker-1 at 9.0 s, and the sweep ends with 00099
        - chunk "+7 " was committed by worker-1 at 9.5 s, and the sweep ends with 00099
        "#);
    }

    #[test]
    fn a_dead_letter_fails_and_is_not_missing() {
        let letter = |chunk_id: Option<&str>| Event::DeadLettered {
            chunk_id: chunk_id.map(Into::into),
            range: None,
            reason: "kernel failed:\nout of memory".into(),
            attempts: 3,
        };
        let history = History::of(plan()).without_chunk("00031");
        let history = history.with(9.0, letter(Some("00031"))).with(9.0, letter(None));
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 11 in the dead letters
        - chunk 00031 is in the dead letters:
        -   kernel failed:
        -   out of memory
        - a dead letter names no chunk of the sweep:
        -   kernel failed:
        -   out of memory
        ");
    }

    #[test]
    fn a_sweep_that_started_and_yielded_nothing_fails() {
        let history = History::of(plan()).without(|event| matches!(event, Event::Result(_)));
        assert_snapshot!(judged(&history), @r"
        fail: of 1000 parameters: 1000 missing
        - parameters 0..1000 (chunks 00000 to 00099): their tasks are settled without a result; nobody was seen with them
        ");
    }

    /// A run of which no worker but the last was there when the sweep began, and nobody did anything.
    fn deserted() -> History {
        let left = |event: &Event| match event {
            Event::ProcessExited { process, .. } => process.starts_with("worker-"),
            Event::Result(_) | Event::Aggregate(_) => true,
            _ => false,
        };
        let exit = |process: &str| Event::ProcessExited {
            process: process.into(),
            pid: 7,
            code: Some(0),
            signal: None,
            said: None,
        };
        let waits = Event::Waits { why: Some("1 of 3 workers had not asked for tasks".into()) };
        let mut history = History::of(plan())
            .without(left)
            .with(0.3, exit("worker-0"))
            .with(0.3, exit("worker-1"))
            .ended(EndReason::Stalled);
        // Before the first task.
        history.records.insert(2, crate::history::Record { t_s: 0.2, event: waits });
        history
    }

    #[test]
    fn a_sweep_that_began_when_its_workers_had_left_is_inconclusive_with_that_reason() {
        assert_snapshot!(judged(&deserted()), @"
        inconclusive: worker-0 and worker-1 left before the first task was there, and nobody else committed anything: nothing was tested
        - 1 of 3 workers had not asked for tasks
        ");
        let results = super::super::testing::judged(&deserted());
        assert_eq!(results.verdict, crate::verdict::Verdict::Inconclusive, "{:?}", results.reasons);
    }

    #[test]
    fn workers_that_had_their_chance_and_left_too_early_are_no_excuse_for_those_who_stayed() {
        let result = History::of(plan()).result_of("00007");
        assert!(judged(&deserted().with(2.0, result)).starts_with("fail: of 1000 parameters: 990"));
        let crashed = deserted().spoil(|record| {
            if let Event::ProcessExited { code, .. } = &mut record.event {
                *code = Some(1);
            }
        });
        assert!(judged(&crashed).starts_with("fail: of 1000 parameters: 1000 missing"));
    }

    #[test]
    fn a_sweep_that_never_started_is_inconclusive() {
        let history = History::of(plan())
            .without(|event| matches!(event, Event::Result(_) | Event::SweepStarted));
        assert_snapshot!(judged(&history), @"inconclusive: worker-0, worker-1 and worker-2 left before the first task was there, and nobody else committed anything: nothing was tested");
    }

    #[test]
    fn a_sweep_without_parameters_is_inconclusive() {
        let mut plan = plan();
        plan.sweep.end = 0;
        assert_snapshot!(judged(&History::of(plan)), @"inconclusive: the sweep has no parameters: nothing was tested");
    }

    #[test]
    fn parameters_missing_from_a_run_that_was_interrupted_are_inconclusive() {
        let history = History::of(plan()).without_chunk("00099").ended(EndReason::Interrupted);
        assert_snapshot!(judged(&history), @r"
        inconclusive: of 1000 parameters: 10 missing so far, when the watching ended
        - parameters 990..1000 (chunk 00099): its task is settled without a result; nobody was seen with it
        ");
    }

    #[test]
    fn the_control_passes_when_it_loses_what_its_struck_worker_had() {
        assert_snapshot!(judged(&History::of(static_plan())), @r"
        pass: lost with its worker, as it must be: parameters 433..666 (233 parameters)
        - parameters 433..666: of the range of worker-1, which was killed at 10.8 s
        ");
    }

    #[test]
    fn the_control_fails_when_it_loses_nothing() {
        let mut plan = static_plan();
        plan.faults.clear();
        assert_snapshot!(judged(&History::of(plan)), @"fail: nothing was lost, though the control must lose what a worker held");
    }

    #[test]
    fn the_control_fails_when_another_worker_lost_something_too() {
        assert_snapshot!(judged(&History::of(static_plan()).without_chunk("2-666")), @r"
        fail: 10 of 243 parameters missing are of no worker that a fault struck
        - parameters 666..676: of the range of worker-2, which left at 34.6 s
        ");
    }

    #[test]
    fn the_control_fails_when_its_struck_worker_left_something_out_long_before() {
        assert_snapshot!(judged(&History::of(static_plan()).without_chunk("1-353")), @r"
        fail: 10 of 243 parameters missing are of no worker that a fault struck
        - parameters 353..363: of the range of worker-1, which was killed at 10.8 s
        ");
    }

    #[test]
    fn a_dead_letter_that_nobody_was_told_of_fails() {
        let history = History::of(plan()).spoil(|record| {
            if let Event::Depths { letters, .. } = &mut record.event {
                *letters = 1;
            }
        });
        assert_snapshot!(judged(&history), @"fail: of 1000 parameters: 1 dead letter that nobody was told of");
    }

    #[test]
    fn the_control_fails_when_something_is_wrong_besides_the_loss() {
        let history = History::of(static_plan()).spoil_result("0-0", |result| result.max = 1e9);
        assert_snapshot!(judged(&history), @r"
        fail: more is wrong than what was lost: 10 with a wrong value
        - range 0..10 was reported by worker-0 with max 1000000000 instead of 76.9
        ");
    }

    #[test]
    fn a_range_beyond_the_sweep_is_unexpected_and_the_rest_of_it_counts() {
        let mut plan = static_plan();
        plan.expect.coverage = Coverage::ExactlyOnce;
        plan.faults.clear();
        let history =
            History::of(plan).spoil_result("2-996", |result| result.range = Some((996, 1010)));
        let facts = history.facts();
        assert_eq!(facts.ledger.unexpected.ranges().ranges, [(1000, 1010)]);
        assert!(facts.ledger.missing().is_empty());
    }
}
