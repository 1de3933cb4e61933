//! Coverage where the broker loses its data: a part of coverage. Parameters are lost, and nothing
//! can bring them back; what the system owes its users is to say so, and to report no success.

use super::Outcome;
use crate::facts::{Exit, Facts, IntervalSet, Strike, first_ranges};
use crate::words::{counted, parameters, quoted, seconds};

pub(super) fn judge(facts: &Facts, missing: &IntervalSet) -> Outcome {
    let Some(wipe) = wipe(facts) else {
        return Outcome::inconclusive("the broker was not wiped, so nothing was tested");
    };
    if facts.aggregate.as_ref().is_some_and(|aggregate| aggregate.complete) {
        return Outcome::fail("the aggregator called the sweep complete, after its data was gone");
    }
    if missing.is_empty() {
        return Outcome::inconclusive("every parameter was committed before the data was gone");
    }
    let said = || facts.exits.iter().filter(|exit| says_so(exit, wipe));
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
    if said().next().is_none() {
        return Outcome::fail("no process said that the data was gone");
    }
    let lost = counted(missing.len(), "parameter");
    let ranges: Vec<String> = first_ranges(missing).into_iter().map(parameters).collect();
    Outcome::pass(format!(
        "lost with the broker's data: {} ({lost}); said so: {}, and none reported success",
        ranges.join(", "),
        said().count()
    ))
    .because(said().map(describe).collect())
}

/// The first wipe that took.
pub(super) fn wipe(facts: &Facts) -> Option<&Strike> {
    facts.strikes.iter().find(|strike| strike.bit && strike.kind == "wipe")
}

/// Whether a process ended because the data was gone, and said something.
pub(super) fn says_so(exit: &Exit, wipe: &Strike) -> bool {
    exit.code.is_some_and(|code| code != 0) && exit.t_s >= wipe.t_s && exit.said.is_some()
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
    use crate::plan::Coverage;

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

    #[test]
    fn a_loss_that_is_told_passes() {
        insta::assert_snapshot!(judged(&exit(wiped(true), 1, Some("its data was lost"))), @"
        pass: lost with the broker's data: parameters 990..1000 (10 parameters); said so: 1, and none reported success
        - worker-0 at 31.0 s: its data was lost
        ");
    }

    #[test]
    fn a_loss_that_nobody_tells_fails() {
        insta::assert_snapshot!(judged(&wiped(true)), @"fail: no process said that the data was gone");
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
        let history = exit(wiped(true), 1, Some("its data was lost"));
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
