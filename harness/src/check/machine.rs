//! What the machine lacked: room on a disk, a program, a broker that lives. What follows from that is
//! not held against the system; what cannot follow from it still is.

use super::Finding;
use crate::facts::{Exit, Facts};
use crate::history::EndReason;
use crate::last_words::telling;
use crate::plan::{BROKER, FaultKind, Plan};
use crate::verdict::Verdict;
use crate::words::quoted;

/// How programs say that there is no room on a disk.
const FULL: &[&str] = &[
    "No space left on device",
    "no storage space",
    "Disk quota exceeded",
    "database or disk is full",
    "File too large",
    "disk I/O error",
];

/// Exit codes by which a shell, or `env`, says that it cannot start a program.
const NOT_STARTED: [i32; 2] = [126, 127];

/// The harness's own, with which a process ends that did not become its program.
const GUARD: i32 = 69;

/// What the machine lacked, if it did, in one line.
pub(crate) fn lack(plan: &Plan, facts: &Facts) -> Option<String> {
    facts
        .lack
        .clone()
        .or_else(|| broker_that_ended(facts))
        .or_else(|| full_disk(plan, facts))
        .or_else(|| absent(plan, facts))
}

/// The same finding, unless the lack may be why it fails: then nothing can be said.
pub(super) fn excuse(mut finding: Finding, facts: &Facts, lack: &str) -> Finding {
    if finding.verdict == Verdict::Fail && !is_the_systems_own(&finding.check, facts) {
        finding.verdict = Verdict::Inconclusive;
        finding.evidence.push(format!("not held against the system: {lack}"));
    }
    finding
}

/// What no lack of the machine's explains.
fn is_the_systems_own(check: &str, facts: &Facts) -> bool {
    let ledger = &facts.ledger;
    let tallies = [&ledger.duplicated, &ledger.wrong_value, &ledger.unexpected];
    match check {
        "coverage" => tallies.iter().any(|tally| tally.count() > 0),
        "submission" | "stored" => true,
        _ => false,
    }
}

/// A broker that no fault struck is the machine's.
pub(crate) fn broker_that_ended(facts: &Facts) -> Option<String> {
    if !matches!(facts.ended, Some((_, EndReason::BrokerGone))) {
        return None;
    }
    let is_struck = facts.strikes.iter().any(|it| it.target == BROKER || it.is_on_node());
    let how = facts.flaw.as_deref().unwrap_or("the broker ended by itself");
    (!is_struck).then(|| how.to_owned())
}

fn full_disk(plan: &Plan, facts: &Facts) -> Option<String> {
    if plan.has_fault(|fault| fault.kind == FaultKind::DiskFull) {
        return None;
    }
    let is_full = |said: &str| FULL.iter().any(|words| said.contains(words));
    let of_exit = |exit: &Exit| {
        let said = exit.said.as_deref().filter(|said| !exit.is_clean() && is_full(said))?;
        let line = said.lines().rfind(|line| is_full(line)).unwrap_or(said);
        Some(format!("a disk is full or fails, says {}: {}", quoted(&exit.process), telling(line)))
    };
    let of_attempt = || {
        let reason = facts.failures.reason_that(is_full)?;
        Some(format!("a disk is full or fails: {}", telling(reason)))
    };
    facts.exits.iter().find_map(of_exit).or_else(of_attempt)
}

/// A program that is not there, or not to be executed.
fn absent(plan: &Plan, facts: &Facts) -> Option<String> {
    let exit = facts.exits.iter().find(|exit| is_absent(facts, exit));
    let of_exit = |exit: &Exit| {
        let said = exit.said.as_deref().map(telling).unwrap_or_default();
        format!("a program is not there: {}, {said}", quoted(&exit.process))
    };
    let kernels = || {
        let ours = matches!(plan.sweep.kernel, crate::plan::Kernel::Exec { .. });
        let cannot_start = |reason: &str| reason.starts_with("cannot start the kernel ");
        facts.failures.reason_that(cannot_start).filter(|_| ours).map(telling)
    };
    exit.map(of_exit).or_else(kernels)
}

/// Whether a process ended because its program could not be started.
pub(crate) fn is_absent(facts: &Facts, exit: &Exit) -> bool {
    let committed = || facts.ledger.workers().any(|(worker, _)| worker == exit.process);
    match exit.code {
        Some(GUARD) => exit.said.as_deref().is_some_and(|said| {
            said.lines().next_back().is_some_and(|line| line.starts_with("error: cannot start \""))
        }),
        Some(code) => NOT_STARTED.contains(&code) && !committed(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, judged, plan, plan_with_kill};
    use super::*;
    use crate::history::Event;

    /// A worker of a run of which a chunk is missing has ended with this code and these words.
    fn crashed(code: i32, said: &str) -> History {
        History::of(plan()).without_chunk("00031").with(
            12.0,
            Event::ProcessExited {
                process: "worker-7".into(),
                pid: 7,
                code: Some(code),
                signal: None,
                said: Some(said.into()),
            },
        )
    }

    fn verdict(history: &History) -> Verdict {
        judged(history).verdict
    }

    #[test]
    fn a_full_disk_is_inconclusive_whoever_says_so() {
        for said in ["error: queue.db refused: database or disk is full", "No space left on device"]
        {
            assert_eq!(verdict(&crashed(1, said)), Verdict::Inconclusive, "{said}");
        }
        let what = "the disk of runs is full".to_owned();
        let history = History::of(plan()).without_chunk("00031");
        let history = history.with(9.0, Event::MachineLacks { what });
        assert_eq!(verdict(&history), Verdict::Inconclusive);
        let letter = Event::DeadLettered {
            chunk_id: Some("00031".into()),
            range: None,
            reason: "OSError: [Errno 28] No space left on device".into(),
            attempts: 4,
        };
        let history = History::of(plan()).without_chunk("00031").with(9.0, letter);
        assert_eq!(verdict(&history), Verdict::Inconclusive);
    }

    #[test]
    fn a_program_that_is_not_there_is_inconclusive() {
        let guard = "error: cannot start \"mini\": No such file or directory (os error 2)";
        assert_eq!(verdict(&crashed(69, guard)), Verdict::Inconclusive);
        assert_eq!(verdict(&crashed(127, "env: 'mini': No such file")), Verdict::Inconclusive);
    }

    #[test]
    fn a_crash_of_another_kind_fails() {
        assert_eq!(verdict(&crashed(1, "ModuleNotFoundError: numpy")), Verdict::Fail);
        assert_eq!(verdict(&crashed(69, "error: redis refused")), Verdict::Fail);
    }

    #[test]
    fn what_no_lack_explains_fails_all_the_same() {
        let said = "No space left on device";
        let wrong = crashed(1, said).spoil_result("00007", |result| result.sum += 1.0);
        assert_eq!(verdict(&wrong), Verdict::Fail);
        let twice = crashed(1, said).with(9.0, History::of(plan()).result_of("00007"));
        assert_eq!(verdict(&twice), Verdict::Fail);
    }

    #[test]
    fn a_lack_that_explains_nothing_is_no_reason_not_to_pass() {
        let what = "the disk of runs is full".to_owned();
        let history = History::of(plan()).with(9.0, Event::MachineLacks { what });
        assert_eq!(verdict(&history), Verdict::Pass);
    }

    /// The broker has ended, and a worker gives up before the harness has told it to leave.
    fn without_broker(history: History) -> History {
        let reason = "redis-server ended by itself (exit status: 1): out of memory".to_owned();
        history
            .without_chunk("00099")
            .with(40.0, Event::BrokerLost { reason })
            .with(
                40.1,
                Event::ProcessExited {
                    process: "worker-0".into(),
                    pid: 100,
                    code: Some(69),
                    signal: None,
                    said: Some("error: redis cannot be reached".into()),
                },
            )
            .ended(EndReason::BrokerGone)
    }

    #[test]
    fn a_broker_that_ends_by_itself_is_the_machines_unless_a_fault_struck_it() {
        assert_eq!(verdict(&without_broker(History::of(plan_with_kill()))), Verdict::Inconclusive);
        let strike = Event::FaultInjected {
            fault: "kill-2".into(),
            kind: "kill".into(),
            target: BROKER.into(),
            bit: true,
            proof: "seen".into(),
            held: vec![],
        };
        let struck = without_broker(History::of(plan_with_kill()).with(20.0, strike));
        assert_eq!(verdict(&struck), Verdict::Fail);
    }
}
