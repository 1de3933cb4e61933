//! What is told of a run the moment it happens.

use super::state::State;
use super::terminal::{WIDTH, wrapped};
use crate::history::{Event, HeldChunk, Record};
use crate::last_words::telling;
use crate::plan::Plan;
use crate::words::{counted, millis, quoted, quoted_to, seconds};

/// What a run begins with: enough to repeat it.
pub(super) fn beginning(plan: &Plan) -> String {
    let workers = counted(u64::from(plan.workers), "worker");
    format!("{}: {} backend, {workers}, seed {}", plan.scenario, plan.backend, plan.seed)
}

/// What is told of an event the moment it happens, if anything.
pub(super) fn news(record: &Record, state: &State) -> Vec<String> {
    match line(record, state) {
        // Others look for it in one line.
        Some(line) if matches!(record.event, Event::Waits { .. }) => {
            vec![format!("{:>8}  {line}", seconds(record.t_s))]
        }
        Some(line) => set(&seconds(record.t_s), &line),
        None => Vec::new(),
    }
}

fn line(record: &Record, state: &State) -> Option<String> {
    let facts = &state.facts;
    Some(match &record.event {
        Event::FaultInjected { fault, kind, target, bit, proof, held } => {
            let (fault, target, proof) = (quoted(fault), quoted(target), quoted(proof));
            if *bit {
                format!("{fault}: {} {target}{}", quoted(kind), holding(held))
            } else {
                format!("{fault}: did not bite {target} ({proof})")
            }
        }
        Event::FaultHealed { fault, target, seen } => {
            let seen = seen.as_ref().map(|seen| format!(" ({})", quoted(seen)));
            let (fault, target) = (quoted(fault), quoted(target));
            format!("{fault}: over, {target} goes on{}", seen.unwrap_or_default())
        }
        Event::TakenOver { fault, chunk_id, to, after_ms, .. } => {
            let strikes = facts.strikes.iter().filter(|strike| strike.fault == *fault);
            let held: usize = strikes.map(|strike| strike.held.len()).sum();
            let taken = facts.takeovers.iter().filter(|taken| taken.fault == *fault).count();
            let (fault, after) = (quoted(fault), millis(*after_ms));
            match held {
                0 | 1 => {
                    let (id, to) = (quoted(chunk_id), quoted(to));
                    format!("{fault}: chunk {id} is with {to} after {after}")
                }
                // One line for many chunks, once the last of them is safe.
                _ if taken < held => return None,
                _ => format!("{fault}: {held} chunks are with others after {after}"),
            }
        }
        Event::Attempts { reason: Some(reason), .. } if state.reason_is_new => {
            format!("attempts fail: {}", telling(reason))
        }
        Event::ProcessStarted { process, .. } if state.lives(process) > 1 => {
            format!("{} is started again", quoted(process))
        }
        Event::ProcessExited { process, code, signal, said, .. } => {
            let how = unasked(*code, *signal)?;
            let said = said.as_deref().map(telling).filter(|said| !said.is_empty());
            let said = said.map_or_else(String::new, |said| format!(": {said}"));
            format!("{} {how}{said}", quoted(process))
        }
        Event::MachineLacks { what } | Event::HarnessCrashed { what } => quoted(what),
        Event::Waits { why: Some(why) } => quoted_to(why, 400),
        Event::Waits { why: None } => "nothing is waited for any more".to_owned(),
        _ => return None,
    })
}

/// How a process ended that was not asked to, nor killed.
fn unasked(code: Option<i32>, signal: Option<i32>) -> Option<String> {
    const ASKED: [i32; 2] = [15, 9];
    match (code, signal) {
        (Some(0), _) => None,
        (Some(code), _) if ASKED.iter().any(|signal| code == 128 + signal) => None,
        (Some(code), _) => Some(format!("exited with code {code}")),
        (None, Some(signal)) if ASKED.contains(&signal) => None,
        (None, Some(signal)) => Some(format!("was ended by signal {signal}")),
        (None, None) => Some("ended in an unknown way".to_owned()),
    }
}

/// A line beside its moment, in as many lines as it takes.
fn set(moment: &str, line: &str) -> Vec<String> {
    const LEFT: usize = 10;
    let beside = |(number, line): (usize, &String)| match number {
        0 => format!("{moment:>8}  {line}"),
        _ => format!("{:LEFT$}{line}", ""),
    };
    wrapped(line, WIDTH - LEFT).iter().enumerate().map(beside).collect()
}

fn holding(held: &[HeldChunk]) -> String {
    match held {
        [] => String::new(),
        [one] => format!(", which held chunk {}", quoted(&one.chunk_id)),
        many => format!(", which held {}", counted(many.len() as u64, "chunk")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::plan;

    /// What is told of these events.
    fn told(events: Vec<Event>) -> String {
        let mut state = State::new(&plan());
        let mut lines = Vec::new();
        for (t_s, event) in (0..).map(f64::from).zip(events) {
            let record = Record { t_s, event };
            state.observe(&record);
            lines.extend(news(&record, &state));
        }
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:#?}");
        lines.join("\n")
    }

    fn exit(code: Option<i32>, signal: Option<i32>, said: Option<&str>) -> Event {
        let (process, said) = ("worker-1".to_owned(), said.map(str::to_owned));
        Event::ProcessExited { process, pid: 7, code, signal, said }
    }

    fn start() -> Event {
        Event::ProcessStarted { process: "worker-1".into(), pid: 7 }
    }

    #[test]
    fn workers_that_end_by_themselves_or_come_again_are_told() {
        let traceback = "Traceback (most recent call last):\n  x\nModuleNotFoundError: numpy";
        insta::assert_snapshot!(told(vec![
            start(),
            exit(Some(1), None, Some(traceback)),
            start(),
            exit(None, Some(11), None),
            exit(Some(0), None, None),
            exit(Some(143), None, None),
            exit(None, Some(9), None),
        ]), @r"
           1.0 s  worker-1 exited with code 1: ModuleNotFoundError: numpy
           2.0 s  worker-1 is started again
           3.0 s  worker-1 was ended by signal 11
        ");
    }

    #[test]
    fn a_new_reason_of_attempts_that_fail_is_told_once() {
        let attempts = |failed, reason: &str| Event::Attempts {
            failed,
            waiting: 1,
            reason: Some(reason.to_owned()),
        };
        let long = "the kernel ended without an answer (exit status: 1):\nTraceback (most recent call last):\nModuleNotFoundError: No module named 'numpy'";
        insta::assert_snapshot!(told(vec![
            attempts(1, "no luck with 1"),
            attempts(2, "no luck with 2"),
            attempts(3, long),
        ]), @r"
           0.0 s  attempts fail: no luck with 1
           2.0 s  attempts fail: the kernel ended without an answer (exit status: 1):
                  ModuleNotFoundError: No module named 'numpy'
        ");
    }
}
