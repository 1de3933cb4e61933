//! Wall time, from the first task submitted to the last result committed.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::{Coverage, Plan};
use crate::words::seconds;

/// Whether all was committed that should be: a sweep that never finished took no time that could
/// be compared.
pub(super) fn finished(plan: &Plan, facts: &Facts) -> bool {
    let lost = plan.expect.coverage != Coverage::ExactlyOnce;
    lost || facts.ledger.committed().len() == plan.sweep.params()
}

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let wall_s = facts.wall_s().filter(|_| finished(plan, facts));
    match (wall_s, plan.expect.duration_max) {
        (None, None) => Outcome::pass("the sweep did not finish; not judged"),
        (None, Some(_)) => {
            Outcome::inconclusive("the sweep did not finish, so it took no time that can be judged")
        }
        (Some(wall_s), None) => Outcome::pass(format!("{}, not judged", seconds(wall_s))),
        (Some(wall_s), Some(most)) => {
            let most_s = most.as_secs_f64();
            if wall_s <= most_s {
                Outcome::pass(format!("{wall_s:.2} s, at most {most_s} s expected"))
            } else {
                Outcome::fail(format!("{wall_s:.2} s, and at most {most_s} s expected"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        insta::assert_snapshot!(judged(&History::of(plan())), @"pass: 34.0 s, not judged");
    }
}
