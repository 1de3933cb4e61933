//! Coverage where the broker loses its data: a part of coverage. Parameters are lost, and nothing
//! can bring them back; what the system owes its users is to say so, and to report no success.

use ttg_system::cli::SWEEP_LOST;

use super::Outcome;
use crate::facts::{Exit, Facts, IntervalSet, Strike, first_ranges};
use crate::plan::Plan;
use crate::words::{counted, parameters, quoted, seconds};

/// By what a process has told that the data was gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// One of ours, by an exit code that it has for nothing else.
    Code,
    /// A foreign worker, by leaving with an error: the wire contract knows no more.
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
    if tellers.is_empty() {
        return Outcome::fail(format!(
            "no process said that the data was gone (exit code {SWEEP_LOST}; a foreign worker: any \
             but 0)"
        ));
    }
    let lost = counted(missing.len(), "parameter");
    let ranges: Vec<String> = first_ranges(missing).into_iter().map(parameters).collect();
    Outcome::pass(format!(
        "lost with the broker's data: {} ({lost}); said so: {}, and none reported success",
        ranges.join(", "),
        by_rule(&tellers)
    ))
    .because(tellers.iter().map(|(exit, _)| describe(exit)).collect())
}

/// How many told it by which rule.
fn by_rule(tellers: &[(&Exit, Rule)]) -> String {
    let count = |rule| tellers.iter().filter(|(_, by)| *by == rule).count();
    let ours = format!("{} by exit code {SWEEP_LOST}", count(Rule::Code));
    match count(Rule::Error) {
        0 => ours,
        foreign => {
            format!("{ours}, {} by an exit code above 0", counted(foreign as u64, "foreign worker"))
        }
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
    use crate::history::Event;
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

    fn exit(history: History, code: i32, said: Option<&str>) -> History {
        history.with(
            31.0,
            Event::ProcessExited {
                process: "worker-0".into(),
                pid: 100,
                code: Some(code),
                signal: None,
                said: said.map(str::to_owned),
            },
        )
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
        insta::assert_snapshot!(judged(&exit(wiped(true), 65, Some("its data was lost"))), @"
        pass: lost with the broker's data: parameters 990..1000 (10 parameters); said so: 1 by exit code 65, and none reported success
        - worker-0 at 31.0 s: its data was lost
        ");
    }

    #[test]
    fn a_crash_with_its_last_words_tells_nothing_and_fails() {
        for code in [1, 69, 101] {
            let judged = judged(&exit(wiped(true), code, Some("thread 'main' panicked")));
            assert!(judged.starts_with("fail: no process said"), "{code}: {judged}");
        }
    }

    #[test]
    fn a_foreign_worker_tells_it_by_leaving_with_an_error() {
        let history = exit(with_foreign_worker(wiped(true)), 1, Some("NOGROUP"));
        insta::assert_snapshot!(judged(&history), @"
        pass: lost with the broker's data: parameters 990..1000 (10 parameters); said so: 0 by exit code 65, 1 foreign worker by an exit code above 0, and none reported success
        - worker-0 at 31.0 s: NOGROUP
        ");
    }

    #[test]
    fn a_worker_that_the_harness_told_to_end_tells_nothing() {
        let stopped = Event::Stopped { process: "worker-0".into(), signal: 15 };
        let history = with_foreign_worker(wiped(true)).with(30.5, stopped);
        let judged = judged(&exit(history, 143, Some("interrupted")));
        assert!(judged.starts_with("fail: no process said"), "{judged}");
    }

    #[test]
    fn a_loss_that_nobody_tells_fails() {
        insta::assert_snapshot!(judged(&wiped(true)), @"fail: no process said that the data was gone (exit code 65; a foreign worker: any but 0)");
    }

    #[test]
    fn a_worker_that_leaves_as_if_done_fails() {
        insta::assert_snapshot!(judged(&exit(wiped(true), 0, None)), @"
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
        let history = exit(wiped(true), 65, Some("its data was lost"));
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
