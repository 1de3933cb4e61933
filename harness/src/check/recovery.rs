//! Every chunk that a struck worker held finds another worker, soon enough.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::facts::{Facts, Strike, TakeOver};
use crate::plan::{Coverage, Plan};
use crate::words::{FirstLines, bound_millis, counted, millis, millis_beside, quoted, seconds};

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
        return Outcome::not_judged("none expected: the control does not recover");
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
    let in_time = facts.takeovers.iter().filter(|it| had_work_left(facts, it));
    let (count, max) = in_time.fold((0, None), |(count, max), takeover| {
        (count + 1, Some(takeover.after_ms.max(max.unwrap_or(0.0))))
    });
    let Some(max) = max else {
        return nothing_to_recover(plan, facts);
    };
    let chunks = counted(count, "chunk");
    let Some(most) = plan.expect.recovery_max.map(|most| most.as_secs_f64() * 1000.0) else {
        return Outcome::pass(format!("{chunks} taken over within {}", millis(max)));
    };
    let took = format!("{chunks} taken over within {}", millis_beside(max, most));
    let at_most = format!("at most {} expected", bound_millis(most));
    if max <= most {
        Outcome::pass(format!("{took}, {at_most}"))
    } else {
        Outcome::fail(format!("{took}, and {at_most}")).because(first_lines(too_late(facts, most)))
    }
}

/// Whether the strike that this came of was not too late to test anything.
fn had_work_left(facts: &Facts, takeover: &TakeOver) -> bool {
    let of = |strike: &&Strike| strike.fault == takeover.fault && strike.target == takeover.from;
    facts.strikes.iter().find(of).is_none_or(|strike| !facts.came_too_late(strike))
}

fn nothing_to_recover(plan: &Plan, facts: &Facts) -> Outcome {
    if plan.expect.recovery_max.is_some() {
        return Outcome::inconclusive(
            "no chunk of a struck worker had to be taken over: there is nothing to judge",
        );
    }
    let held = facts.strikes.iter().any(|strike| strike.bit && !strike.held.is_empty());
    if held {
        // That none is left without a result has been judged.
        return Outcome::pass("no chunk of a struck worker had to be taken over");
    }
    Outcome::not_judged("no struck worker is known to have held a chunk")
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
        let after = millis_beside(takeover.after_ms, most);
        format!("chunk {id} went from {from} to {to} {after} after {fault}")
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

    use super::super::testing::{History, plan, plan_with_kill, static_plan, told};
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
    fn a_difference_of_less_than_a_millisecond_is_shown() {
        let history = expecting(40).spoil(|record| {
            if let Event::TakenOver { after_ms, .. } = &mut record.event {
                *after_ms = 40.3;
            }
        });
        assert_snapshot!(judged(&history), @r"
        fail: 1 chunk taken over within 40.3 ms, and at most 40 ms expected
        - chunk 00031 went from worker-1 to worker-0 40.3 ms after kill-1
        ");
    }

    #[test]
    fn what_no_limit_is_expected_of_passes_if_somebody_has_it_again() {
        assert_snapshot!(judged(&History::of(plan_with_kill())), @"pass: 1 chunk taken over within 40 ms");
        assert_snapshot!(judged(&History::of(plan())), @"not judged: no struck worker is known to have held a chunk");
    }

    #[test]
    fn the_recovery_from_a_strike_after_the_last_result_is_inconclusive() {
        let history = expecting(40);
        let last_s = history.facts().last_result_s.unwrap();
        let history = history.spoil(|record| {
            if let Event::FaultInjected { .. } = record.event {
                record.t_s = last_s + 0.1;
            }
        });
        assert!(judged(&history).starts_with("inconclusive: no chunk"), "{}", judged(&history));
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
        assert_snapshot!(judged(&History::of(static_plan())), @"not judged: none expected: the control does not recover");
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
