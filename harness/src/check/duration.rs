//! Wall time, from the first task submitted to the last result committed.

use std::time::Duration;

use super::Outcome;
use crate::facts::Facts;
use crate::plan::{Coverage, Plan};
use crate::words::{beside, seconds};

/// Whether all was committed that should be: a sweep that never finished took no time that could
/// be compared.
pub(super) fn finished(plan: &Plan, facts: &Facts) -> bool {
    let lost = plan.expect.coverage != Coverage::ExactlyOnce;
    lost || facts.ledger.committed().len() == plan.sweep.params()
}

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let wall_s = facts.wall_s().filter(|_| finished(plan, facts));
    match (wall_s, plan.expect.duration_max) {
        (None, most) if finished(plan, facts) && facts.took_no_time() => no_time(most),
        (None, None) => Outcome::not_judged("the sweep did not finish"),
        (None, Some(_)) => {
            Outcome::inconclusive("the sweep did not finish, so it took no time that can be judged")
        }
        (Some(wall_s), None) => Outcome::not_judged(seconds(wall_s)),
        (Some(wall_s), Some(most)) => {
            let most_s = most.as_secs_f64();
            let took = beside(wall_s, most_s, 2);
            if wall_s <= most_s {
                Outcome::pass(format!("{took} s, at most {most_s} s expected"))
            } else {
                Outcome::fail(format!("{took} s, and at most {most_s} s expected"))
            }
        }
    }
}

/// Of a sweep that was over within the millisecond in which it began: no limit is shorter.
fn no_time(most: Option<Duration>) -> Outcome {
    let took = "less time than can be measured";
    match most.map(|most| most.as_secs_f64()) {
        None => Outcome::not_judged(took),
        Some(most_s) => Outcome::pass(format!("{took}, at most {most_s} s expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, told};
    use super::*;

    fn expecting(seconds: u64) -> Plan {
        let mut plan = plan();
        plan.expect.duration_max = Some(Duration::from_secs(seconds));
        plan
    }

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn a_duration_that_is_short_enough_passes() {
        insta::assert_snapshot!(judged(&History::of(expecting(35))), @"pass: 34.00 s, at most 35 s expected");
    }

    #[test]
    fn a_duration_that_is_too_long_fails() {
        insta::assert_snapshot!(judged(&History::of(expecting(33))), @"fail: 34.00 s, and at most 33 s expected");
    }

    #[test]
    fn the_duration_of_a_sweep_that_did_not_finish_is_inconclusive() {
        let history = History::of(expecting(35)).without_chunk("00099");
        insta::assert_snapshot!(judged(&history), @"inconclusive: the sweep did not finish, so it took no time that can be judged");
    }

    #[test]
    fn a_duration_that_is_not_expected_is_not_judged() {
        insta::assert_snapshot!(judged(&History::of(plan())), @"not judged: 34.0 s");
        let open = History::of(plan()).without_chunk("00099");
        insta::assert_snapshot!(judged(&open), @"not judged: the sweep did not finish");
    }

    /// As if everything had happened within this many seconds.
    fn squeezed(wall_s: f64, most_ms: u64) -> History {
        let mut plan = plan();
        plan.expect.duration_max = Some(Duration::from_millis(most_ms));
        History::of(plan).spoil(|record| record.t_s = 0.5 + (record.t_s - 0.5) / 34.0 * wall_s)
    }

    #[test]
    fn what_was_measured_is_compared_and_the_difference_is_shown() {
        insta::assert_snapshot!(judged(&squeezed(0.0014, 1)), @"fail: 0.0014 s, and at most 0.001 s expected");
        insta::assert_snapshot!(judged(&squeezed(0.0008, 1)), @"pass: 0.0008 s, at most 0.001 s expected");
        insta::assert_snapshot!(judged(&squeezed(0.3, 300)), @"pass: 0.30 s, at most 0.3 s expected");
    }

    #[test]
    fn a_sweep_that_took_no_time_that_can_be_measured_passes() {
        insta::assert_snapshot!(judged(&squeezed(0.0, 1)), @"pass: less time than can be measured, at most 0.001 s expected");
    }
}
