//! Why a run did not pass, in one line: the cause, before its symptoms.

use crate::check::machine::{broker_that_ended, is_absent, lack};
use crate::check::{Finding, are_alike, how, throughput_per_second};
use crate::facts::{Exit, Facts};
use crate::history::EndReason;
use crate::last_words::telling;
use crate::plan::Plan;
use crate::verdict::Verdict;
use crate::words::{counted, listed, quoted, quoted_to, seconds};

/// A worker that has ended by then, and committed nothing, has not come to its work.
const AT_ONCE_S: f64 = 30.0;

/// Longest line, in characters.
const LONGEST: usize = 320;

/// All that a cause is found in.
#[derive(Clone, Copy)]
struct Run<'a> {
    plan: &'a Plan,
    facts: &'a Facts,
}

/// A cause, if it is this one.
type Cause = fn(Run<'_>) -> Option<String>;

/// Causes for which nothing can be said of the system, in the order in which they are looked for.
const OF_DOUBT: &[Cause] = &[crash, interrupt, machine, flaw];

/// Causes in the system itself, likewise.
const OF_FAILURE: &[Cause] =
    &[cannot_start, every_attempt_fails, all_ended_alike, workers_gone, stalled, timed_out];

/// Why the run did not pass; nothing where it did.
pub fn why(plan: &Plan, facts: &Facts, findings: &[Finding]) -> Option<String> {
    let verdict = Verdict::gravest(findings.iter().map(|finding| finding.verdict));
    if verdict == Verdict::Pass {
        return None;
    }
    let run = Run { plan, facts };
    let doubt = OF_DOUBT.iter().filter(|_| verdict == Verdict::Inconclusive);
    // What was reported wrongly has no cause in how processes ended.
    let failure = OF_FAILURE.iter().filter(|_| !is_wrong(facts));
    let cause = doubt.chain(failure).find_map(|cause| cause(run));
    let cause = cause.or_else(|| findings.iter().max_by(graver).map(gravest))?;
    Some(quoted_to(&cause, LONGEST))
}

/// Of two that are equally grave the first is the one.
fn graver(one: &&Finding, other: &&Finding) -> std::cmp::Ordering {
    one.verdict.cmp(&other.verdict).then(std::cmp::Ordering::Greater)
}

/// A finding, with the first of what it rests on.
fn gravest(finding: &Finding) -> String {
    let Finding { summary, evidence, .. } = finding;
    let first = evidence.first().map(|line| format!("; {}", line.trim_end_matches(':')));
    format!("{summary}{}", first.unwrap_or_default())
}

fn is_wrong(facts: &Facts) -> bool {
    let ledger = &facts.ledger;
    [&ledger.duplicated, &ledger.wrong_value, &ledger.unexpected]
        .iter()
        .any(|tally| tally.count() > 0)
}

fn crash(run: Run<'_>) -> Option<String> {
    run.facts.crash.as_ref().map(|what| format!("internal error: {what}"))
}

fn interrupt(run: Run<'_>) -> Option<String> {
    let interrupted = matches!(run.facts.ended, Some((_, EndReason::Interrupted)));
    interrupted.then(|| "interrupted".to_owned())
}

/// A program that is not there is told of as one that cannot start.
fn machine(run: Run<'_>) -> Option<String> {
    let of_broker = broker_that_ended(run.facts);
    of_broker.or_else(|| cannot_start(run)).or_else(|| lack(run.plan, run.facts))
}

fn flaw(run: Run<'_>) -> Option<String> {
    let flaw = run.facts.flaw.as_ref().map(|flaw| format!("the history is not whole: {flaw}"));
    let cut = run.facts.ended.is_none();
    flaw.or_else(|| cut.then(|| "the history does not reach to the end of the run".to_owned()))
}

/// The program of workers, or of another role, is not there, or ends before it has done anything.
fn cannot_start(run: Run<'_>) -> Option<String> {
    let ends = bad_ends(run);
    let absent: Vec<&Exit> = ends.iter().filter(|it| is_absent(run.facts, it)).copied().collect();
    let absent = absent.first().map(|first| {
        let alike = absent.iter().filter(|exit| are_alike(first, exit));
        (*first, names(alike.copied()))
    });
    let (first, names) = absent.or_else(|| ended_at_once(run, &ends))?;
    let role = if first.process.starts_with("worker-") { "worker" } else { &*first.process };
    let said = first.said.as_deref().map(telling).filter(|said| !said.is_empty());
    let said = said.unwrap_or_else(|| format!("it {}, and said nothing", how(first)));
    let said = said.strip_prefix("cannot start ").unwrap_or(&said);
    let of = match role {
        "worker" => {
            format!(" ({} of {})", names.len(), counted(run.plan.workers.into(), "worker"))
        }
        _ => String::new(),
    };
    Some(format!("the {}'s program cannot start: {said}{of}", quoted(role)))
}

/// Every worker, where all end soon after their start with the same words and nothing is committed.
fn ended_at_once<'a>(run: Run<'_>, ends: &[&'a Exit]) -> Option<(&'a Exit, Vec<String>)> {
    let Run { plan, facts } = run;
    let (first, alike) = all_alike(plan, ends)?;
    let started = |exit: &Exit| {
        let of_it = |(name, t_s): &&(String, f64)| *name == exit.process && *t_s <= exit.t_s;
        facts.starts.iter().rfind(of_it).map(|(_, t_s)| exit.t_s - t_s)
    };
    let at_once = |exit: &&Exit| started(exit).is_some_and(|lived_s| lived_s <= AT_ONCE_S);
    let nothing = facts.ledger.chunks_committed() == 0;
    let is_so = nothing && facts.failures.letters == 0 && alike.iter().all(at_once);
    is_so.then(|| (first, names(alike.iter().copied())))
}

/// Processes that ended badly though nobody ended them.
fn bad_ends<'a>(run: Run<'a>) -> Vec<&'a Exit> {
    let facts = run.facts;
    let is_struck = |exit: &Exit| {
        facts.strikes.iter().any(|strike| strike.ends_process() && strike.target == exit.process)
    };
    // Whoever finds that the sweep is lost is right to end.
    let may_end = run.plan.loses_with_broker();
    let is_bad =
        |exit: &&Exit| !exit.is_clean() && !may_end && !facts.was_stopped(exit) && !is_struck(exit);
    facts.exits.iter().filter(is_bad).collect()
}

/// The ends of all workers, where they are alike.
fn all_alike<'a>(plan: &Plan, ends: &[&'a Exit]) -> Option<(&'a Exit, Vec<&'a Exit>)> {
    let workers = || ends.iter().filter(|exit| exit.process.starts_with("worker-")).copied();
    let first = workers().next()?;
    let alike: Vec<&Exit> = workers().filter(|exit| are_alike(first, exit)).collect();
    (names(alike.iter().copied()).len() >= plan.workers as usize).then_some((first, alike))
}

fn names<'a>(exits: impl Iterator<Item = &'a Exit>) -> Vec<String> {
    let mut names: Vec<String> = exits.map(|exit| exit.process.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Nothing was ever computed, or chunks are dead, and all for one reason.
fn every_attempt_fails(run: Run<'_>) -> Option<String> {
    let failures = &run.facts.failures;
    let reason = telling(failures.one_reason()?);
    if run.facts.ledger.chunks_committed() == 0 {
        let attempts = match (failures.attempts, failures.letters) {
            (0, letters) => counted(letters, "dead letter"),
            (attempts, _) => counted(attempts, "attempt"),
        };
        return Some(format!("every attempt fails: {reason} ({attempts})"));
    }
    let unexpected = failures.letters > run.plan.expect.dead_letters;
    let chunks = counted(failures.letters, "dead letter");
    unexpected.then(|| format!("attempts fail until they are given up: {reason} ({chunks})"))
}

/// Every worker ended in the same way, at whatever time.
fn all_ended_alike(run: Run<'_>) -> Option<String> {
    let (first, alike) = all_alike(run.plan, &bad_ends(run))?;
    let said = first.said.as_deref().map(telling).filter(|said| !said.is_empty());
    let said = said.map_or_else(String::new, |said| format!(": {said}"));
    let (names, of) = (names(alike.into_iter()).len(), run.plan.workers);
    Some(format!("every worker {}{said} ({names} of {})", how(first), counted(of.into(), "worker")))
}

fn workers_gone(run: Run<'_>) -> Option<String> {
    let open = open(run).filter(|_| ended_by(run, EndReason::WorkersGone))?;
    let bad = bad_ends(run);
    let first = bad.iter().find(|exit| exit.process.starts_with("worker-"));
    let first = first.map(|exit| {
        let said = exit.said.as_deref().map(telling).filter(|said| !said.is_empty());
        let said = said.map_or_else(String::new, |said| format!(": {said}"));
        format!("; the first, {}, {}{said}", quoted(&exit.process), how(exit))
    });
    Some(format!("every worker left while {open}{}", first.unwrap_or_default()))
}

fn stalled(run: Run<'_>) -> Option<String> {
    let open = open(run).filter(|_| ended_by(run, EndReason::Stalled))?;
    let last = match run.facts.last_result_s {
        Some(last_s) => format!("nothing was committed after {}", seconds(last_s)),
        None => "nothing was ever committed".to_owned(),
    };
    Some(format!("{last} while {open}; {}", holders(run)))
}

fn timed_out(run: Run<'_>) -> Option<String> {
    let open = open(run).filter(|_| ended_by(run, EndReason::TimedOut))?;
    let limit = seconds(run.plan.timeout.as_secs_f64());
    let rate = throughput_per_second(run.facts);
    let rate = rate.map(|rate| format!(", at {rate:.1} parameters/s")).unwrap_or_default();
    Some(format!("the time limit of {limit} came while {open}{rate}; {}", holders(run)))
}

fn ended_by(run: Run<'_>, reason: EndReason) -> bool {
    run.facts.ended.is_some_and(|(_, why)| why == reason)
}

/// What was not done yet, if something was not.
fn open(run: Run<'_>) -> Option<String> {
    let sweep = &run.plan.sweep;
    let missing = run.facts.ledger.missing();
    let mut chunks: Vec<u64> = Vec::new();
    let mut open = 0;
    for (start, end) in missing.iter() {
        let (first, last) =
            ((start - sweep.start) / sweep.chunk_size, (end - 1 - sweep.start) / sweep.chunk_size);
        open += last - first + 1;
        chunks.extend((first..=last).take(3usize.saturating_sub(chunks.len())));
    }
    match open {
        // All have results: that their tasks are open is for a check to say.
        0 => None,
        1 => Some(format!("chunk {} was open", crate::words::chunk_id(chunks[0]))),
        _ => Some(format!("{open} of {} were open", counted(sweep.chunks(), "chunk"))),
    }
}

/// Who had them.
fn holders(run: Run<'_>) -> String {
    let Some(held) = &run.facts.still_held else {
        return "who had them is not known".to_owned();
    };
    if held.chunks == 0 {
        return "no worker had one".to_owned();
    }
    let each = held.workers.iter().map(|(worker, chunks)| {
        let chunks: Vec<String> = chunks.iter().map(|id| quoted(id)).collect();
        format!("{} had {}", quoted(worker), listed(&chunks))
    });
    each.take(3).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::check::testing::{History, judged, plan, plan_with_kill};
    use crate::history::Event;
    use insta::assert_snapshot;

    fn told(history: &History) -> String {
        judged(history).why.unwrap_or_else(|| "it passes".to_owned())
    }

    fn exit(process: &str, code: i32, said: &str) -> Event {
        Event::ProcessExited {
            process: process.into(),
            pid: 7,
            code: Some(code),
            signal: None,
            said: Some(said.into()),
        }
    }

    /// A run in which nothing was computed, and every worker ended like this.
    fn all_end(code: i32, said: &str) -> History {
        let history = History::of(plan()).without(|event| {
            matches!(event, Event::Result(_) | Event::Aggregate(_) | Event::ProcessExited { .. })
        });
        let end = |history: History, n| history.with(1.0, exit(&format!("worker-{n}"), code, said));
        (0..3).fold(history, end).ended(EndReason::WorkersGone)
    }

    const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"mini.py\", line 3\n    import numpy\nModuleNotFoundError: No module named 'numpy'";

    #[test]
    fn a_pass_has_no_reason() {
        assert_snapshot!(told(&History::of(plan_with_kill())), @"it passes");
    }

    #[test]
    fn a_program_that_cannot_start_comes_before_what_is_missing() {
        let history = all_end(1, TRACEBACK);
        assert_eq!(judged(&history).verdict, Verdict::Fail);
        assert_snapshot!(told(&history), @"the worker's program cannot start: ModuleNotFoundError: No module named 'numpy' (3 of 3 workers)");
    }

    #[test]
    fn a_program_that_is_not_there_is_said_and_inconclusive() {
        let said = "error: cannot start \"mini\": No such file or directory (os error 2)";
        let history = all_end(69, said);
        assert_eq!(judged(&history).verdict, Verdict::Inconclusive);
        assert_snapshot!(told(&history), @r#"the worker's program cannot start: "mini": No such file or directory (os error 2) (3 of 3 workers)"#);
    }

    #[test]
    fn an_interrupt_is_the_reason_of_all_that_is_open() {
        let history = History::of(plan_with_kill()).without_chunk("00031");
        assert_snapshot!(told(&history.ended(EndReason::Interrupted)), @"interrupted");
    }

    #[test]
    fn a_wrong_value_is_no_matter_of_the_interrupt() {
        let history = History::of(plan()).spoil_result("00007", |result| result.sum += 1.0);
        let told = told(&history.ended(EndReason::Interrupted));
        assert!(told.starts_with("of 1000 parameters: 10 with a wrong value; "), "{told}");
    }

    #[test]
    fn what_crashed_of_the_harness_itself_comes_first_of_all() {
        let what = "fault kill-1: at the disco".to_owned();
        let history = History::of(plan()).with(9.0, Event::HarnessCrashed { what });
        let history = history.without_chunk("00031").ended(EndReason::Crashed);
        assert_eq!(judged(&history).verdict, Verdict::Inconclusive);
        assert_snapshot!(told(&history), @"internal error: fault kill-1: at the disco");
    }

    #[test]
    fn a_broker_that_ended_by_itself_is_the_reason() {
        let reason = "redis-server ended by itself (exit status: 1): out of memory".to_owned();
        let history = History::of(plan()).without_chunk("00099");
        let history = history.with(9.0, Event::BrokerLost { reason }).ended(EndReason::BrokerGone);
        assert_snapshot!(told(&history), @"redis-server ended by itself (exit status: 1): out of memory");
    }

    #[test]
    fn what_cannot_be_written_down_is_the_reason() {
        let mut facts = History::of(plan()).facts();
        facts.flaw = Some("cannot write events.jsonl: no".into());
        let findings = crate::check::judge_all(&plan(), &facts);
        let told = why(&plan(), &facts, &findings).unwrap();
        assert_snapshot!(told, @"the history is not whole: cannot write events.jsonl: no");
    }

    fn letter(chunk: u64, reason: &str) -> Event {
        Event::DeadLettered {
            chunk_id: Some(format!("{chunk:05}")),
            range: None,
            reason: reason.into(),
            attempts: 4,
        }
    }

    #[test]
    fn where_every_attempt_fails_for_one_reason_that_is_it() {
        let none = History::of(plan()).without(|event| matches!(event, Event::Result(_)));
        let reason = format!("the kernel ended without an answer (exit status: 1):\n{TRACEBACK}");
        let attempts = Event::Attempts { failed: 400, waiting: 0, reason: Some(reason.clone()) };
        let dead = (0..100).fold(none, |history, n| history.with(3.0, letter(n, &reason)));
        assert_snapshot!(told(&dead.with(3.0, attempts)), @"every attempt fails: the kernel ended without an answer (exit status: 1): ModuleNotFoundError: No module named 'numpy' (400 attempts)");
        let some =
            History::of(plan()).without_chunk("00007").with(3.0, letter(7, "no luck with 7"));
        assert_snapshot!(told(&some), @"attempts fail until they are given up: no luck with 7 (1 dead letter)");
    }

    #[test]
    fn where_nothing_comes_any_more_it_is_said_who_has_what() {
        let stalled = || History::of(plan()).without_chunk("00031").without_chunk("00032");
        let workers = BTreeMap::from([("worker-1".to_owned(), vec!["00031".to_owned()])]);
        let held = Event::StillHeld { workers, chunks: 1 };
        let with = stalled().with(40.0, held).ended(EndReason::Stalled);
        assert_snapshot!(told(&with), @"nothing was committed after 34.5 s while 2 of 100 chunks were open; worker-1 had 00031");
        let nobody = Event::StillHeld { workers: BTreeMap::new(), chunks: 0 };
        let late = stalled().with(40.0, nobody).ended(EndReason::TimedOut);
        assert_snapshot!(told(&late), @"the time limit of 120.0 s came while 2 of 100 chunks were open, at 28.8 parameters/s; no worker had one");
    }

    #[test]
    fn workers_that_leave_are_the_reason_with_the_first_of_them() {
        let history = History::of(plan()).without_chunk("00031");
        let history = history.with(9.0, exit("worker-2", 3, "out of cheese"));
        assert_snapshot!(told(&history.ended(EndReason::WorkersGone)), @"every worker left while chunk 00031 was open; the first, worker-2, exited with code 3: out of cheese");
    }

    #[test]
    fn otherwise_it_is_the_gravest_finding_with_its_evidence() {
        let history = History::of(plan_with_kill()).without_chunk("00031");
        assert_snapshot!(told(&history), @"of 1000 parameters: 10 missing; parameters 310..320 (chunk 00031): last held by worker-1, which was killed at 10.8 s, and never taken over");
    }
}
