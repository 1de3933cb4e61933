//! No process of the system ends badly by itself, and the run comes to an end of its own.

use super::{Outcome, wiped};
use crate::facts::{Exit, Facts, Strike};
use crate::fault::Ends;
use crate::history::EndReason;
use crate::plan::{Coverage, Plan};
use crate::words::{FirstLines, quoted, seconds};

/// The end of a process may be recorded a little before the proof of what ended it.
const OUT_OF_ORDER_S: f64 = 1.0;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let ended = how_it_ended(facts.ended.map(|(_, why)| why));
    let (evidence, count) = unexplained(plan, facts);
    if count > 0 {
        let (processes, them) = if count == 1 {
            ("1 process", "that")
        } else {
            (&*format!("{count} processes"), "those")
        };
        let summary = format!("{processes} ended badly, and no fault explains {them}; {ended}");
        return Outcome::fail(summary).because(evidence);
    }
    match facts.ended {
        Some((_, EndReason::Interrupted)) | None => Outcome::inconclusive(ended),
        Some(_) => Outcome::pass(format!("none ended badly by itself; {ended}")),
    }
}

fn how_it_ended(why: Option<EndReason>) -> &'static str {
    match why {
        Some(EndReason::Complete) => "the run completed",
        Some(EndReason::WorkersGone) => "every worker left while chunks were open",
        Some(EndReason::BrokerGone) => "the broker ended by itself",
        Some(EndReason::Stalled) => "the run was ended because nothing was committed any more",
        Some(EndReason::TimedOut) => "the run was ended at its time limit",
        Some(EndReason::Interrupted) => "the run was interrupted",
        None => "how the run ended is not recorded",
    }
}

/// Processes that ended badly with no fault to explain it. A strike explains one end, and so does
/// the harness itself, which stops what has not left when a run that is not complete is over.
fn unexplained(plan: &Plan, facts: &Facts) -> (Vec<String>, u64) {
    let mut strikes: Vec<&Strike> = facts.strikes.iter().collect();
    let (mut lines, mut count) = (FirstLines::default(), 0);
    let complete = matches!(facts.ended, Some((_, EndReason::Complete)));
    let loses = plan.expect.coverage == Coverage::LostWithBroker;
    let wipe = wiped::wipe(facts).filter(|_| loses);
    for exit in &facts.exits {
        let stopped = facts.was_stopped(exit);
        if stopped && complete {
            count += 1;
            let process = quoted(&exit.process);
            lines.push(|| format!("{process} did not leave when the sweep was complete"));
        }
        let wiped = wipe.is_some_and(|wipe| wiped::told(plan, exit, wipe).is_some());
        if stopped || exit.is_clean() || says_incomplete(exit) || wiped {
            continue;
        }
        if let Some(by) = strikes.iter().position(|strike| explains(strike, exit)) {
            strikes.remove(by);
            continue;
        }
        count += 1;
        lines.push(|| describe(exit));
    }
    (lines.lines(), count)
}

/// An aggregator says by its exit code that the sweep is not complete: it is right to, or the check
/// of its report will tell.
fn says_incomplete(exit: &Exit) -> bool {
    exit.process == "aggregator" && exit.code == Some(1)
}

fn explains(strike: &Strike, exit: &Exit) -> bool {
    let as_implied = match strike.ends() {
        Ends::Killed | Ends::Replaced => exit.signal == Some(SIGKILL),
        Ends::Asked => exit.code.is_some() || exit.signal == Some(SIGTERM),
        Ends::No => false,
    };
    as_implied && strike.target == exit.process && strike.t_s <= exit.t_s + OUT_OF_ORDER_S
}

fn describe(exit: &Exit) -> String {
    let process = quoted(&exit.process);
    let at = seconds(exit.t_s);
    let how = match (exit.code, exit.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    };
    let said = exit.said.as_deref().map(quoted).filter(|said| !said.is_empty());
    let said =
        said.map_or_else(|| ", and said nothing".into(), |said| format!(", and said: {said}"));
    format!("{process} {how} at {at}{said}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, plan_with_kill, told};
    use super::*;
    use crate::history::Event;
    use insta::assert_snapshot;

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    fn exit(process: &str, code: Option<i32>, signal: Option<i32>, said: Option<&str>) -> Event {
        let (process, said) = (process.into(), said.map(Into::into));
        Event::ProcessExited { process, pid: 7, code, signal, said }
    }

    #[test]
    fn a_kill_that_was_planned_passes() {
        assert_snapshot!(judged(&History::of(plan_with_kill())), @"pass: none ended badly by itself; the run completed");
    }

    #[test]
    fn an_exit_with_an_error_fails_with_what_was_said_last() {
        let crash = exit("worker-2", Some(101), None, Some("thread 'main' panicked: no luck"));
        assert_snapshot!(judged(&History::of(plan()).with(12.0, crash)), @r"
        fail: 1 process ended badly, and no fault explains that; the run completed
        - worker-2 exited with code 101 at 12.0 s, and said: thread 'main' panicked: no luck
        ");
    }

    #[test]
    fn a_signal_that_no_fault_explains_fails() {
        let crash = exit("coordinator", None, Some(11), None);
        assert_snapshot!(judged(&History::of(plan_with_kill()).with(12.0, crash)), @r"
        fail: 1 process ended badly, and no fault explains that; the run completed
        - coordinator was ended by signal 11 at 12.0 s, and said nothing
        ");
    }

    #[test]
    fn one_kill_does_not_explain_two_deaths() {
        let again = exit("worker-1", None, Some(SIGKILL), None);
        assert!(judged(&History::of(plan_with_kill()).with(12.0, again)).starts_with("fail"));
    }

    #[test]
    fn a_terminated_worker_may_exit_with_an_error_or_by_the_signal() {
        for (code, signal) in [(Some(1), None), (None, Some(SIGTERM)), (Some(0), None)] {
            let history = History::of(plan_with_kill()).spoil(|record| match &mut record.event {
                Event::FaultInjected { kind, .. } => *kind = "terminate".into(),
                Event::ProcessExited { process, code: c, signal: s, .. }
                    if process == "worker-1" =>
                {
                    (*c, *s) = (code, signal);
                }
                _ => {}
            });
            assert!(judged(&history).starts_with("pass"), "{code:?} {signal:?}");
        }
    }

    fn stopped_by_us(why: EndReason) -> String {
        let stop = Event::Stopped { process: "worker-2".into(), signal: SIGTERM };
        let left = exit("worker-2", Some(143), None, None);
        let own = |event: &Event| matches!(event, Event::ProcessExited { process, .. } if process == "worker-2");
        judged(&History::of(plan()).without(own).with(30.0, stop).with(30.1, left).ended(why))
    }

    #[test]
    fn what_the_harness_stops_in_an_open_run_is_explained() {
        assert!(stopped_by_us(EndReason::Stalled).starts_with("pass"));
    }

    #[test]
    fn a_process_that_stays_after_a_complete_sweep_fails() {
        assert_snapshot!(stopped_by_us(EndReason::Complete), @r"
        fail: 1 process ended badly, and no fault explains that; the run completed
        - worker-2 did not leave when the sweep was complete
        ");
    }

    #[test]
    fn what_is_ended_after_the_run_is_not_judged() {
        let mut history = History::of(plan());
        let event = exit("worker-0", None, Some(SIGKILL), None);
        history.records.push(crate::history::Record { t_s: 60.0, event });
        assert!(judged(&history).starts_with("pass"));
    }

    #[test]
    fn how_the_run_ended_is_said() {
        assert_snapshot!(judged(&History::of(plan()).ended(EndReason::Stalled)), @"pass: none ended badly by itself; the run was ended because nothing was committed any more");
    }

    #[test]
    fn an_interrupted_run_is_inconclusive() {
        assert_snapshot!(judged(&History::of(plan()).ended(EndReason::Interrupted)), @"inconclusive: the run was interrupted");
    }
}
