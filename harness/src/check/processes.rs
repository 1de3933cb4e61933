//! No process of the system ends badly by itself, and the run comes to an end of its own.

use super::{Outcome, limit, reports, wiped};
use crate::facts::{Exit, Facts, Strike};
use crate::history::EndReason;
use crate::last_words::{self, line_by_line, masked};
use crate::plan::{Ends, Plan};
use crate::words::{FirstLines, quoted, seconds};

/// The end of a process may be recorded a little before the proof of what ended it.
const OUT_OF_ORDER_S: f64 = 1.0;

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// Exit code of a process of ours that ends because it was asked to.
const INTERRUPTED: i32 = 128 + SIGTERM;

/// And of one that has given up its broker.
const UNREACHABLE: i32 = 69;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let ended = how_it_ended(facts.ended.map(|(_, why)| why));
    let Found { unexplained: evidence, count, foreign } = look(plan, facts);
    if count > 0 {
        let (processes, them) = if count == 1 {
            ("1 process", "that")
        } else {
            (&*format!("{count} processes"), "those")
        };
        let summary = format!("{processes} ended badly, and no fault explains {them}; {ended}");
        return match facts.ended {
            // What explains it may have been told after the history was cut off.
            None => Outcome::inconclusive(summary).because(evidence),
            Some(_) => Outcome::fail(summary).because(evidence),
        };
    }
    match facts.ended {
        Some((_, EndReason::Interrupted | EndReason::Crashed)) | None => {
            Outcome::inconclusive(ended)
        }
        Some((_, EndReason::TimedOut)) => Outcome::inconclusive(limit::ended_by(plan, facts)),
        Some(_) => Outcome::pass(format!("none ended badly by itself; {ended}")).because(foreign),
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
        Some(EndReason::Crashed) => "the run was ended because the harness itself crashed",
        None => "how the run ended is not recorded",
    }
}

/// How processes ended.
struct Found {
    /// The first of those that ended badly with no fault to explain it, and how many there are.
    unexplained: Vec<String>,
    count: u64,
    /// How foreign programs ended that were asked to.
    foreign: Vec<String>,
}

/// A strike explains one end, and so does the harness itself, which stops what has not left when a
/// run that is not complete is over.
fn look(plan: &Plan, facts: &Facts) -> Found {
    let mut strikes: Vec<&Strike> = facts.strikes.iter().collect();
    let (mut lines, mut foreign, mut count) = (FirstLines::default(), FirstLines::default(), 0);
    let mut ends: Vec<Vec<&Exit>> = Vec::new();
    let complete = matches!(facts.ended, Some((_, EndReason::Complete)));
    let wipe = wiped::wipe(facts).filter(|_| plan.loses_with_broker());
    for exit in &facts.exits {
        let stopped = facts.was_stopped(exit);
        if stopped && complete {
            count += 1;
            let process = quoted(&exit.process);
            lines.push(|| format!("{process} did not leave when the sweep was complete"));
        }
        let wiped = wipe.is_some_and(|wipe| wiped::told(plan, exit, wipe).is_some());
        if stopped || exit.is_clean() || says_incomplete(facts, exit) || wiped {
            continue;
        }
        if let Some(by) = strikes.iter().position(|strike| explains(plan, facts, strike, exit)) {
            if strikes.remove(by).ends() == Ends::Asked && plan.foreign(&exit.process).is_some() {
                foreign.push(|| format!("a foreign program was asked to end: {}", describe(exit)));
            }
            continue;
        }
        count += 1;
        match ends.iter_mut().find(|ends| are_alike(ends[0], exit)) {
            Some(ends) => ends.push(exit),
            None => ends.push(vec![exit]),
        }
    }
    for alike in ends {
        lines.push(|| describe_all(&alike));
    }
    Found {
        unexplained: line_by_line(&lines.lines()),
        count,
        foreign: line_by_line(&foreign.lines()),
    }
}

/// An aggregator says by its exit code what it has reported, that the sweep is not complete: it is right
/// to, or the check of its report will tell.
fn says_incomplete(facts: &Facts, exit: &Exit) -> bool {
    exit.code == Some(1) && reports::said_incomplete(facts, exit)
}

fn explains(plan: &Plan, facts: &Facts, strike: &Strike, exit: &Exit) -> bool {
    let as_implied = match strike.ends() {
        Ends::Killed | Ends::Replaced => exit.signal == Some(SIGKILL),
        Ends::Asked => ends_as_asked(plan, facts, strike, exit),
        Ends::No => false,
    };
    as_implied && strike.target == exit.process && strike.t_s <= exit.t_s + OUT_OF_ORDER_S
}

/// Whether a process that was asked to end did so, and did nothing else: one that crashes over it is
/// as broken as any. How a foreign worker ends, only its maker knows.
fn ends_as_asked(plan: &Plan, facts: &Facts, asked: &Strike, exit: &Exit) -> bool {
    let until = exit.t_s + OUT_OF_ORDER_S;
    match exit.code {
        None => exit.signal == Some(SIGTERM),
        Some(_) if plan.foreign(&exit.process).is_some() => true,
        Some(0 | INTERRUPTED) => true,
        Some(UNREACHABLE) => {
            let cuts_off = |it: &Strike| it.cuts_off(&exit.process, asked.t_s, until);
            facts.strikes.iter().any(cuts_off)
        }
        Some(_) => false,
    }
}

/// Whether two processes of one role ended in the same way, with the same words.
pub(crate) fn are_alike(one: &Exit, other: &Exit) -> bool {
    let words = |exit: &Exit| exit.said.as_deref().map(|said| masked(&last_words::telling(said)));
    role(one) == role(other)
        && (one.code, one.signal) == (other.code, other.signal)
        && words(one) == words(other)
}

/// `worker` of `worker-3`.
fn role(exit: &Exit) -> &str {
    exit.process.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-')
}

/// The same end of several processes, told once.
fn describe_all(alike: &[&Exit]) -> String {
    let [first, .., last] = alike else { return describe(alike[0]) };
    let (times, role) = (alike.len(), quoted(role(first)));
    let mut names: Vec<String> = alike.iter().map(|exit| quoted(&exit.process)).collect();
    names.sort_unstable();
    names.dedup();
    let names = crate::words::first_listed(&names);
    let (from, to) = (seconds(first.t_s), seconds(last.t_s));
    let when = if from == to { format!("at {from}") } else { format!("from {from} to {to}") };
    said(&format!("{times} × {role} {} {when} ({names})", how(first)), first)
}

pub(super) fn describe(exit: &Exit) -> String {
    said(&format!("{} {} at {}", quoted(&exit.process), how(exit), seconds(exit.t_s)), exit)
}

pub(crate) fn how(exit: &Exit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

fn said(what: &str, exit: &Exit) -> String {
    match exit.said.as_deref().filter(|said| !said.trim().is_empty()) {
        Some(said) => last_words::evidence(&format!("{what}, and said"), said),
        None => format!("{what}, and said nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, plan_with_kill, told};
    use super::*;
    use crate::history::Event;
    use crate::plan::Foreign;
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
    fn ends_that_are_alike_are_told_once_with_their_lines() {
        let traceback = "Traceback (most recent call last):\n  File \"x.py\", line 3\n    import numpy\nModuleNotFoundError: numpy";
        let history = (0..3).fold(History::of(plan()), |history, n| {
            let crash = exit(&format!("worker-{n}"), Some(1), None, Some(traceback));
            history.with(2.0 + f64::from(n), crash)
        });
        assert_snapshot!(judged(&history), @r#"
        fail: 3 processes ended badly, and no fault explains those; the run completed
        - 3 × worker exited with code 1 from 2.0 s to 4.0 s (worker-0, worker-1, worker-2), and said:
        -   Traceback (most recent call last):
        -     File "x.py", line 3
        -       import numpy
        -   ModuleNotFoundError: numpy
        "#);
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

    /// A run in which worker 1 was asked to end, and did so in this way.
    fn terminated(plan: Plan, ended: (Option<i32>, Option<i32>)) -> History {
        History::of(plan).spoil(|record| match &mut record.event {
            Event::FaultInjected { kind, .. } => *kind = "terminate".into(),
            Event::ProcessExited { process, code, signal, said, .. } if process == "worker-1" => {
                (*code, *signal) = ended;
                *said = Some("last words".into());
            }
            _ => {}
        })
    }

    fn strike(kind: &str, target: &str) -> Event {
        let (fault, target, proof) = (format!("{kind}-2"), target.into(), "seen".into());
        Event::FaultInjected { fault, kind: kind.into(), target, bit: true, proof, held: vec![] }
    }

    #[test]
    fn a_terminated_worker_may_say_so_by_its_code_or_end_by_the_signal() {
        for ended in [(Some(INTERRUPTED), None), (None, Some(SIGTERM)), (Some(0), None)] {
            let history = terminated(plan_with_kill(), ended);
            assert!(judged(&history).starts_with("pass"), "{ended:?}");
        }
    }

    #[test]
    fn a_terminated_worker_that_panics_fails() {
        assert_snapshot!(judged(&terminated(plan_with_kill(), (Some(101), None))), @r"
        fail: 1 process ended badly, and no fault explains that; the run completed
        - worker-1 exited with code 101 at 10.8 s, and said: last words
        ");
        for ended in [(Some(1), None), (Some(70), None), (None, Some(6)), (Some(UNREACHABLE), None)]
        {
            let history = terminated(plan_with_kill(), ended);
            assert!(judged(&history).starts_with("fail"), "{ended:?}");
        }
    }

    #[test]
    fn a_terminated_worker_may_give_up_a_broker_that_is_away() {
        let gave_up = || terminated(plan_with_kill(), (Some(UNREACHABLE), None));
        for (kind, target) in [("kill", "broker"), ("partition", "worker-1")] {
            let healed = |at: f64| {
                let fault = format!("{kind}-2");
                let healed = Event::FaultHealed { fault, target: target.into(), seen: None };
                judged(&gave_up().with(2.0, strike(kind, target)).with(at, healed))
            };
            assert!(healed(11.0).starts_with("pass"), "{kind}");
            assert!(healed(3.0).starts_with("fail"), "{kind}, which was over by then");
        }
        let others = gave_up().with(2.0, strike("partition", "worker-2"));
        assert!(judged(&others).starts_with("fail"));
        let reset = gave_up().with(2.0, strike("reset", "worker-1"));
        assert!(judged(&reset).starts_with("fail"));
    }

    #[test]
    fn how_a_foreign_worker_ends_when_it_is_asked_to_is_told() {
        let mut plan = plan_with_kill();
        let command = vec!["worker.py".to_owned()];
        plan.foreign = Some(Foreign { command, image: None, workers: 2 });
        assert_snapshot!(judged(&terminated(plan, (Some(1), None))), @r"
        pass: none ended badly by itself; the run completed
        - a foreign program was asked to end: worker-1 exited with code 1 at 10.8 s, and said: last words
        ");
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
