//! Every chunk that a struck worker held finds another worker, soon enough.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::facts::{Facts, TakeOver};
use crate::plan::{Coverage, Plan};
use crate::words::{FirstLines, counted, millis, quoted, seconds};

/// How long chunks of struck workers were without one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// Number of chunks taken over.
    pub count: u64,
    /// The median, in milliseconds: of an even number, the lower one.
    pub p50: Option<f64>,
    /// The longest, in milliseconds.
    pub max: Option<f64>,
}

impl Recovery {
    /// Of everything that was taken over.
    pub fn of(facts: &Facts) -> Self {
        let mut after: Vec<f64> =
            facts.takeovers.iter().map(|takeover| takeover.after_ms).collect();
        after.sort_by(f64::total_cmp);
        let p50 = after.get(after.len().saturating_sub(1) / 2).copied();
        Self { count: after.len() as u64, p50, max: after.last().copied() }
    }
}

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    if plan.expect.coverage == Coverage::LostWithWorker {
        return Outcome::pass("none expected: the control does not recover");
    }
    let orphans = orphans(plan, facts);
    if !orphans.is_empty() {
        let summary = format!("{} never taken over", counted(orphans.len() as u64, "held chunk"));
        let evidence = first_lines(orphans);
        return if facts.is_final() {
            Outcome::fail(summary).because(evidence)
        } else {
            Outcome::inconclusive(summary).because(evidence)
        };
    }
    let recovery = Recovery::of(facts);
    let Some(max) = recovery.max else {
        return nothing_to_recover(plan);
    };
    let chunks = counted(recovery.count, "chunk");
    let took = format!("{chunks} taken over within {}", millis(max));
    match plan.expect.recovery_max.map(|most| most.as_secs_f64() * 1000.0) {
        None => Outcome::pass(format!("{took}, not judged")),
        Some(most) if max <= most => {
            Outcome::pass(format!("{took}, at most {} expected", millis(most)))
        }
        Some(most) => Outcome::fail(format!("{took}, and at most {} expected", millis(most)))
            .because(first_lines(too_late(facts, most))),
    }
}

fn nothing_to_recover(plan: &Plan) -> Outcome {
    if plan.expect.recovery_max.is_some() {
        return Outcome::inconclusive(
            "no chunk of a struck worker had to be taken over: there is nothing to judge",
        );
    }
    Outcome::pass("no chunk of a struck worker had to be taken over")
}

/// Chunks held by struck workers that nobody took over and nobody committed. Those in the dead
/// letters are a matter of coverage.
fn orphans(plan: &Plan, facts: &Facts) -> Vec<String> {
    let taken: BTreeSet<(&str, &str)> =
        facts.takeovers.iter().map(|taken| (&*taken.fault, &*taken.chunk_id)).collect();
    let missing = facts.ledger.missing();
    let mut orphans = Vec::new();
    for strike in facts.strikes.iter().filter(|strike| strike.bit) {
        for held in &strike.held {
            let range = facts.ledger.index(&held.chunk_id).map(|index| plan.sweep.chunk(index));
            let lost = range.is_some_and(|(start, end)| !missing.within(start, end).is_empty());
            if lost && !taken.contains(&(&*strike.fault, &*held.chunk_id)) {
                let (id, target) = (quoted(&held.chunk_id), quoted(&strike.target));
                let (did, at) = (strike.did(), seconds(strike.t_s));
                orphans.push(format!("chunk {id}, held by {target}, which was {did} at {at}"));
            }
        }
    }
    orphans
}

fn too_late(facts: &Facts, most: f64) -> Vec<String> {
    let mut late: Vec<&TakeOver> =
        facts.takeovers.iter().filter(|takeover| takeover.after_ms > most).collect();
    late.sort_by(|a, b| b.after_ms.total_cmp(&a.after_ms));
    let line = |takeover: &&TakeOver| {
        let (id, fault) = (quoted(&takeover.chunk_id), quoted(&takeover.fault));
        let (from, to) = (quoted(&takeover.from), quoted(&takeover.to));
        format!("chunk {id} went from {from} to {to} {} after {fault}", millis(takeover.after_ms))
    };
    late.iter().map(line).collect()
}

fn first_lines(lines: Vec<String>) -> Vec<String> {
    let mut first = FirstLines::default();
    lines.into_iter().for_each(|line| first.push(|| line));
    first.lines()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{History, plan_with_kill, static_plan, told};
    use super::*;
    use crate::history::{EndReason, Event};
    use insta::assert_snapshot;

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    fn expecting(millis: u64) -> History {
        let mut plan = plan_with_kill();
        plan.expect.recovery_max = Some(Duration::from_millis(millis));
        History::of(plan)
    }

    #[test]
    fn a_recovery_that_is_soon_enough_passes() {
        assert_snapshot!(judged(&expecting(40)), @"pass: 1 chunk taken over within 40 ms, at most 40 ms expected");
    }

    #[test]
    fn a_recovery_that_is_too_late_fails_and_names_the_chunk() {
        assert_snapshot!(judged(&expecting(39)), @r"
        fail: 1 chunk taken over within 40 ms, and at most 39 ms expected
        - chunk 00031 went from worker-1 to worker-0 40 ms after kill-1
        ");
    }

    #[test]
    fn a_held_chunk_that_nobody_took_over_fails() {
        assert_snapshot!(judged(&expecting(1000).without_chunk("00031")), @r"
        fail: 1 held chunk never taken over
        - chunk 00031, held by worker-1, which was killed at 10.8 s
        ");
    }

    #[test]
    fn a_held_chunk_that_nobody_took_over_in_an_interrupted_run_is_inconclusive() {
        let history = expecting(1000).without_chunk("00031").ended(EndReason::Interrupted);
        assert!(judged(&history).starts_with("inconclusive"));
    }

    #[test]
    fn a_held_chunk_that_was_committed_all_the_same_passes() {
        let history =
            History::of(plan_with_kill()).without(|event| matches!(event, Event::TakenOver { .. }));
        assert_snapshot!(judged(&history), @"pass: no chunk of a struck worker had to be taken over");
    }

    #[test]
    fn an_expected_recovery_with_nothing_to_recover_is_inconclusive() {
        let history = expecting(1000)
            .without(|event| matches!(event, Event::TakenOver { .. }))
            .spoil(|record| {
                if let Event::FaultInjected { held, .. } = &mut record.event {
                    held.clear();
                }
            });
        assert_snapshot!(judged(&history), @"inconclusive: no chunk of a struck worker had to be taken over: there is nothing to judge");
    }

    #[test]
    fn the_control_is_not_judged() {
        assert_snapshot!(judged(&History::of(static_plan())), @"pass: none expected: the control does not recover");
    }

    #[test]
    fn the_median_is_the_lower_of_the_two_in_the_middle() {
        let mut facts = History::of(plan_with_kill()).facts();
        let one = facts.takeovers[0].clone();
        facts.takeovers.clear();
        assert_eq!(Recovery::of(&facts), Recovery::default());
        for after_ms in [30.0, 10.0, 40.0, 20.0] {
            facts.takeovers.push(TakeOver { after_ms, ..one.clone() });
        }
        assert_eq!(Recovery::of(&facts), Recovery { count: 4, p50: Some(20.0), max: Some(40.0) });
    }
}
