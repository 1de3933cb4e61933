//! Coverage where the broker loses its data: a part of coverage. Parameters are lost, and nothing
//! can bring them back; what the system owes its users is to say so, and to report no success.

use ttg_contract::exit::SWEEP_LOST;

use super::Outcome;
use crate::facts::{Exit, Facts, IntervalSet, Strike, first_ranges};
use crate::plan::Plan;
use crate::words::{counted, parameters, quoted, seconds};

const AGGREGATOR: &str = "aggregator";

/// By what a process has told that the data was gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// One of ours, by an exit code that it has for nothing else.
    Code,
    /// A foreign worker, by leaving with an error: the wire contract knows no more. That may mean
    /// anything, so it explains the worker's end and proves nothing.
    Error,
}

pub(super) fn judge(plan: &Plan, facts: &Facts, missing: &IntervalSet) -> Outcome {
    let Some(wipe) = wipe(facts) else {
        return Outcome::inconclusive("the broker was not wiped, so nothing was tested");
    };
    if facts.aggregate.as_ref().is_some_and(|aggregate| aggregate.complete) {
        return Outcome::fail("the aggregator called the sweep complete, after its data was gone");
    }
    if missing.is_empty() {
        return Outcome::inconclusive("every parameter was committed before the data was gone");
    }
    let by_itself = || facts.exits.iter().filter(|exit| !facts.was_stopped(exit));
    let tellers: Vec<(&Exit, Rule)> =
        by_itself().filter_map(|exit| Some((exit, told(plan, exit, wipe)?))).collect();
    let kept_quiet: Vec<String> = facts
        .exits
        .iter()
        .filter(|exit| exit.is_clean() && exit.t_s > wipe.t_s && exit.process != "coordinator")
        .map(|exit| format!("{} left at {} as if done", quoted(&exit.process), seconds(exit.t_s)))
        .collect();
    if !kept_quiet.is_empty() {
        return Outcome::fail("processes ended as if the sweep were done, after its data was gone")
            .because(kept_quiet);
    }
    let evidence = tellers.iter().map(|(exit, _)| describe(exit)).collect();
    if let Some(who) = kept_it_to_themselves(facts, &tellers) {
        let summary = format!("{who} said that the data was gone (exit code {SWEEP_LOST})");
        return match facts.is_final() {
            true => Outcome::fail(summary).because(evidence),
            false => Outcome::inconclusive(summary + ", but the watching ended early"),
        };
    }
    let lost = counted(missing.len(), "parameter");
    let ranges: Vec<String> = first_ranges(missing).into_iter().map(parameters).collect();
    Outcome::pass(format!(
        "lost with the broker's data: {} ({lost}); said so: {}, and none reported success",
        ranges.join(", "),
        by_rule(&tellers)
    ))
    .because(evidence)
}

/// How long the aggregator may take to see the sweep once it is started, in seconds.
const SEES_S: f64 = 1.0;

/// Who had to tell it and did not. The aggregator is always ours, and is given the time for it; one
/// that a fault has ended for good, or that had hardly begun and may have seen no sweep, is excused,
/// and then some other process of ours must.
fn kept_it_to_themselves(facts: &Facts, tellers: &[(&Exit, Rule)]) -> Option<&'static str> {
    let may_know = |wipe: &Strike| !is_gone(facts, AGGREGATOR) && was_there(facts, wipe);
    let by_code = || tellers.iter().filter(|(_, rule)| *rule == Rule::Code);
    let has_told = by_code().any(|(exit, _)| exit.process == AGGREGATOR);
    match wipe(facts).is_some_and(may_know) {
        true => (!has_told).then_some("the aggregator never"),
        false => by_code().next().is_none().then_some("no process of ours"),
    }
}

/// Whether the aggregator had seen the sweep when the data was gone.
fn was_there(facts: &Facts, wipe: &Strike) -> bool {
    let first = facts.starts.iter().find(|(process, _)| process == AGGREGATOR);
    first.is_none_or(|(_, t_s)| t_s + SEES_S <= wipe.t_s)
}

/// Whether a fault has ended this process, and nobody came in its place.
fn is_gone(facts: &Facts, process: &str) -> bool {
    let ended = facts.strikes.iter().rfind(|it| it.ends_process() && it.target == process);
    let is_later = |(name, t_s): &(String, f64), than: f64| name == process && *t_s > than;
    ended.is_some_and(|strike| !facts.starts.iter().any(|start| is_later(start, strike.t_s)))
}

/// How many told it, and how many foreign workers may have.
fn by_rule(tellers: &[(&Exit, Rule)]) -> String {
    let count = |rule| tellers.iter().filter(|(_, by)| *by == rule).count() as u64;
    let ours = format!("{} by exit code {SWEEP_LOST}", count(Rule::Code));
    match count(Rule::Error) {
        0 => ours,
        foreign => format!("{ours} ({} left with an error)", counted(foreign, "foreign worker")),
    }
}

/// The first wipe that took.
pub(super) fn wipe(facts: &Facts) -> Option<&Strike> {
    facts.strikes.iter().find(|strike| strike.bit && strike.kind == "wipe")
}

/// By what a process told that the data was gone when it ended, if it did.
pub(super) fn told(plan: &Plan, exit: &Exit, wipe: &Strike) -> Option<Rule> {
    let code = exit.code.filter(|_| exit.t_s >= wipe.t_s)?;
    match plan.foreign(&exit.process) {
        None => (code == i32::from(SWEEP_LOST)).then_some(Rule::Code),
        Some(_) => (code != 0 && exit.said.is_some()).then_some(Rule::Error),
    }
}

fn describe(exit: &Exit) -> String {
    let said = exit.said.as_deref().map(quoted).unwrap_or_default();
    format!("{} at {}: {said}", quoted(&exit.process), seconds(exit.t_s))
}

#[cfg(test)]
mod tests {
    use super::super::coverage;
    use super::super::testing::{History, plan, told};
    use crate::history::{EndReason, Event};
    use crate::plan::{Coverage, Foreign};

    /// A run in which the broker was wiped, or was to be, and the last chunk is missing.
    fn wiped(bit: bool) -> History {
        let mut plan = plan();
        plan.expect.coverage = Coverage::LostWithBroker;
        let strike = Event::FaultInjected {
            fault: "wipe-1".into(),
            kind: "wipe".into(),
            target: "broker".into(),
            bit,
            proof: "its data removed".into(),
            held: Vec::new(),
        };
        History::of(plan)
            .without_chunk("00099")
            .with(30.0, strike)
            .without(|event| matches!(event, Event::ProcessExited { .. }))
            .spoil_aggregate(|aggregate| aggregate.complete = false)
    }

    fn exit(history: History, process: &str, code: i32, said: Option<&str>) -> History {
        let (process, said) = (process.to_owned(), said.map(str::to_owned));
        let code = Some(code);
        history.with(31.0, Event::ProcessExited { process, pid: 100, code, signal: None, said })
    }

    /// The same, and the aggregator has told.
    fn told_wiped(bit: bool) -> History {
        exit(wiped(bit), "aggregator", 65, Some("its data was lost"))
    }

    fn judged(history: &History) -> String {
        told(&history.judged_by(coverage::judge))
    }

    fn with_foreign_worker(mut history: History) -> History {
        let command = vec!["worker.py".to_owned()];
        history.plan.foreign = Some(Foreign { command, image: None, workers: 1 });
        history
    }

    #[test]
    fn a_loss_that_is_told_passes() {
        let history = exit(told_wiped(true), "worker-0", 65, Some("its data was lost"));
        insta::assert_snapshot!(judged(&history), @"
        pass: lost with the broker's data: parameters 990..1000 (10 parameters); said so: 2 by exit code 65, and none reported success
        - aggregator at 31.0 s: its data was lost
        - worker-0 at 31.0 s: its data was lost
        ");
    }

    #[test]
    fn a_crash_with_its_last_words_tells_nothing_and_fails() {
        for code in [1, 69, 101] {
            let said = Some("thread 'main' panicked");
            let judged = judged(&exit(wiped(true), "aggregator", code, said));
            assert!(judged.starts_with("fail: the aggregator never said"), "{code}: {judged}");
        }
    }

    #[test]
    fn workers_do_not_tell_it_for_the_aggregator() {
        let history = exit(wiped(true), "worker-0", 65, Some("its data was lost"));
        insta::assert_snapshot!(judged(&history), @"
        fail: the aggregator never said that the data was gone (exit code 65)
        - worker-0 at 31.0 s: its data was lost
        ");
    }

    #[test]
    fn a_foreign_worker_that_leaves_with_an_error_is_told_and_proves_nothing() {
        let foreign = |history| exit(with_foreign_worker(history), "worker-0", 1, Some("NOGROUP"));
        insta::assert_snapshot!(judged(&foreign(told_wiped(true))), @"
        pass: lost with the broker's data: parameters 990..1000 (10 parameters); said so: 1 by exit code 65 (1 foreign worker left with an error), and none reported success
        - aggregator at 31.0 s: its data was lost
        - worker-0 at 31.0 s: NOGROUP
        ");
        let judged = judged(&foreign(wiped(true)));
        assert!(judged.starts_with("fail: the aggregator never said"), "{judged}");
    }

    /// The aggregator is killed at this moment.
    fn without_aggregator(history: History, t_s: f64) -> History {
        let (fault, kind, target) = ("kill-2".into(), "kill".into(), "aggregator".into());
        let (proof, held) = ("ended by signal 9".into(), Vec::new());
        history.with(t_s, Event::FaultInjected { fault, kind, target, bit: true, proof, held })
    }

    #[test]
    fn where_a_fault_ended_the_aggregator_another_process_of_ours_must_tell() {
        let gone = || without_aggregator(wiped(true), 29.0);
        let told = exit(gone(), "worker-1", 65, Some("its data was lost"));
        assert!(judged(&told).starts_with("pass: "), "{}", judged(&told));
        let kept = exit(with_foreign_worker(gone()), "worker-0", 1, Some("NOGROUP"));
        insta::assert_snapshot!(judged(&kept), @"
        fail: no process of ours said that the data was gone (exit code 65)
        - worker-0 at 31.0 s: NOGROUP
        ");
    }

    #[test]
    fn an_aggregator_that_was_started_a_moment_before_need_not_tell() {
        let started = |t_s| {
            let event = Event::ProcessStarted { process: "aggregator".into(), pid: 200 };
            let is_first = |event: &Event| matches!(event, Event::ProcessStarted { process, .. } if process == "aggregator");
            exit(wiped(true).without(is_first).with(t_s, event), "worker-1", 65, Some("lost"))
        };
        assert!(judged(&started(29.5)).starts_with("pass: "), "{}", judged(&started(29.5)));
        let judged = judged(&started(28.9));
        assert!(judged.starts_with("fail: the aggregator never said"), "{judged}");
    }

    #[test]
    fn an_aggregator_that_was_started_again_must_tell() {
        let again = Event::ProcessStarted { process: "aggregator".into(), pid: 200 };
        let history = without_aggregator(wiped(true), 29.0).with(29.5, again);
        let history = exit(history, "worker-1", 65, Some("its data was lost"));
        assert!(judged(&history).starts_with("fail: the aggregator never said"));
    }

    #[test]
    fn an_aggregator_that_the_harness_had_to_end_has_not_told() {
        let stopped = Event::Stopped { process: "aggregator".into(), signal: 15 };
        let history = exit(wiped(true).with(30.5, stopped), "aggregator", 65, None);
        assert!(judged(&history).starts_with("fail: the aggregator never said"));
    }

    #[test]
    fn of_a_run_that_was_interrupted_it_is_not_known() {
        let history = wiped(true).ended(EndReason::Interrupted);
        insta::assert_snapshot!(judged(&history), @"inconclusive: the aggregator never said that the data was gone (exit code 65), but the watching ended early");
    }

    #[test]
    fn a_loss_that_nobody_tells_fails() {
        insta::assert_snapshot!(judged(&wiped(true)), @"fail: the aggregator never said that the data was gone (exit code 65)");
    }

    #[test]
    fn a_worker_that_leaves_as_if_done_fails() {
        insta::assert_snapshot!(judged(&exit(told_wiped(true), "worker-0", 0, None)), @"
        fail: processes ended as if the sweep were done, after its data was gone
        - worker-0 left at 31.0 s as if done
        ");
    }

    #[test]
    fn an_aggregator_that_calls_it_complete_fails() {
        let history = wiped(true).spoil_aggregate(|aggregate| aggregate.complete = true);
        insta::assert_snapshot!(judged(&history), @"fail: the aggregator called the sweep complete, after its data was gone");
    }

    #[test]
    fn a_result_that_counts_twice_is_no_loss_and_fails() {
        let history = told_wiped(true);
        let again = history.result_of("00031");
        let judged = judged(&history.with(29.0, again));
        assert!(
            judged.starts_with("fail: more is wrong than what was lost: 10 committed"),
            "{judged}"
        );
    }

    #[test]
    fn a_wipe_that_did_not_take_is_inconclusive() {
        insta::assert_snapshot!(judged(&wiped(false)), @"inconclusive: the broker was not wiped, so nothing was tested");
    }
}
