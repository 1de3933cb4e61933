//! Ideal time ÷ wall time.

use super::{Outcome, duration};
use crate::facts::Facts;
use crate::ideal::ideal_s;
use crate::plan::Plan;

/// Nothing is faster than the ideal; what seems to be by more than this was measured wrongly.
/// Where a kernel has no nominal duration, the workers' own measure includes their waiting for a
/// processor.
const POSSIBLE: f64 = 1.02;

/// The figure, where the sweep finished and its ideal time is known.
pub(crate) fn share(plan: &Plan, facts: &Facts) -> Option<f64> {
    let wall_s = facts.wall_s().filter(|_| duration::finished(plan, facts))?;
    Some(ideal_s(plan, facts)? / wall_s).filter(|share| *share <= POSSIBLE)
}

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    match (share(plan, facts), plan.expect.efficiency_min) {
        (None, None) => Outcome::pass("not known, and not judged"),
        (None, Some(_)) => Outcome::inconclusive(
            "not known: the sweep did not finish, or its chunks have no duration to rely on",
        ),
        (Some(share), None) => Outcome::pass(format!("{}, not judged", percent(share))),
        (Some(share), Some(least)) => {
            let (is, least_is) = (percent(share), percent(least));
            if share >= least {
                Outcome::pass(format!("{is} of the ideal speed, at least {least_is} expected"))
            } else {
                Outcome::fail(format!("{is} of the ideal speed, and at least {least_is} expected"))
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, plan_with_kill, told};
    use super::*;
    use crate::plan::Kernel;

    #[test]
    fn a_speed_beyond_the_ideal_is_not_believed() {
        let mut plan = plan();
        plan.sweep.kernel = Kernel::Exec { command: vec!["f".into()] };
        plan.expect.efficiency_min = Some(0.5);
        let history = History::of(plan).spoil_result("00007", |result| result.duration_s = 1e6);
        assert!(told(&history.judged_by(judge)).starts_with("inconclusive"));
    }

    fn expecting(mut plan: Plan, least: f64) -> History {
        plan.expect.efficiency_min = Some(least);
        History::of(plan)
    }

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn an_efficiency_that_is_high_enough_passes() {
        insta::assert_snapshot!(judged(&expecting(plan_with_kill(), 0.99)), @"pass: 100.0 % of the ideal speed, at least 99.0 % expected");
    }

    #[test]
    fn an_efficiency_that_is_too_low_fails() {
        let history = expecting(plan(), 0.9).spoil(|record| record.t_s *= 1.5);
        insta::assert_snapshot!(judged(&history), @"fail: 66.7 % of the ideal speed, and at least 90.0 % expected");
    }

    #[test]
    fn without_a_known_duration_of_chunks_it_is_inconclusive() {
        let mut plan = plan();
        plan.sweep.kernel = Kernel::Exec { command: vec!["./simulate".into()] };
        let history = expecting(plan, 0.9).spoil(|record| {
            if let crate::history::Event::Result(result) = &mut record.event {
                result.duration_s = 0.0;
            }
        });
        insta::assert_snapshot!(judged(&history), @"inconclusive: not known: the sweep did not finish, or its chunks have no duration to rely on");
    }

    #[test]
    fn of_a_sweep_that_did_not_finish_it_is_inconclusive() {
        let history = expecting(plan(), 0.9).without_chunk("00099");
        assert!(judged(&history).starts_with("inconclusive"));
    }

    #[test]
    fn an_efficiency_that_is_not_expected_is_not_judged() {
        insta::assert_snapshot!(judged(&History::of(plan())), @"pass: 100.0 %, not judged");
    }
}
