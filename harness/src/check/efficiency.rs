//! Ideal time ÷ wall time.

use super::{Outcome, duration};
use crate::facts::Facts;
use crate::ideal::ideal_s;
use crate::plan::Plan;
use crate::words::{beside, millis_beside};

/// Nothing is faster than the ideal; what seems to be by more than this was measured wrongly.
/// Where a kernel has no nominal duration, the workers' own measure includes their waiting for a
/// processor.
const POSSIBLE: f64 = 1.02;

/// The ideal and the wall time, where the sweep finished and both are known.
fn times(plan: &Plan, facts: &Facts) -> Option<(f64, f64)> {
    // A broker that lost its data took work away.
    let is_whole = duration::finished(plan, facts) && !plan.loses_with_broker();
    let wall_s = facts.wall_s().filter(|_| is_whole)?;
    Some((ideal_s(plan, facts)?, wall_s))
}

/// The figure, where it is known and can be.
pub(crate) fn share(plan: &Plan, facts: &Facts) -> Option<f64> {
    let (ideal_s, wall_s) = times(plan, facts)?;
    Some(ideal_s / wall_s).filter(|share| *share <= POSSIBLE)
}

/// That the sweep was faster than it can have been, if so.
fn impossible(plan: &Plan, facts: &Facts) -> Option<String> {
    let (ideal_s, wall_s) = times(plan, facts).filter(|(ideal, wall)| ideal / wall > POSSIBLE)?;
    let (ideal_ms, wall_ms) = (ideal_s * 1e3, wall_s * 1e3);
    let (wall, ideal) = (millis_beside(wall_ms, ideal_ms), millis_beside(ideal_ms, wall_ms));
    Some(format!(
        "not known: the sweep took {wall}, less than its ideal time of {ideal}, so its chunks cannot \
         have taken as long as they should, or say that they did"
    ))
}

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    if let Some(impossible) = impossible(plan, facts) {
        return match plan.expect.efficiency_min {
            Some(_) => Outcome::inconclusive(impossible),
            None => Outcome::not_judged(impossible),
        };
    }
    match (share(plan, facts), plan.expect.efficiency_min) {
        (None, None) => Outcome::not_judged("not known"),
        (None, Some(_)) => Outcome::inconclusive(
            "not known: the sweep did not finish, or its chunks have no duration to rely on",
        ),
        (Some(share), None) => Outcome::not_judged(format!("{:.1} %", share * 100.0)),
        (Some(share), Some(least)) => {
            let least_percent = rounded(least * 100.0);
            let is = format!("{} %", beside(share * 100.0, least_percent, 1));
            let least_is = format!("{least_percent} %");
            if share >= least {
                Outcome::pass(format!("{is} of the ideal speed, at least {least_is} expected"))
            } else {
                Outcome::fail(format!("{is} of the ideal speed, and at least {least_is} expected"))
            }
        }
    }
}

/// A bound in percent, without what the multiplication adds.
fn rounded(percent: f64) -> f64 {
    (percent * 1e9).round() / 1e9
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
        let mut history =
            History::of(plan).spoil_result("00007", |result| result.duration_s = 1000.0);
        insta::assert_snapshot!(judged(&history), @"inconclusive: not known: the sweep took 34.00 s, less than its ideal time of 373.66 s, so its chunks cannot have taken as long as they should, or say that they did");
        history.plan.expect.efficiency_min = None;
        assert!(
            judged(&history).starts_with("not judged: not known: the sweep took 34.00 s, less")
        );
    }

    #[test]
    fn a_difference_beyond_the_first_digit_is_shown() {
        let history = expecting(plan(), 0.98).spoil(|record| {
            record.t_s = 0.5 + (record.t_s - 0.5) / 0.9796;
        });
        insta::assert_snapshot!(judged(&history), @"fail: 97.96 % of the ideal speed, and at least 98 % expected");
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
        insta::assert_snapshot!(judged(&expecting(plan_with_kill(), 0.99)), @"pass: 100.0 % of the ideal speed, at least 99 % expected");
    }

    #[test]
    fn an_efficiency_that_is_too_low_fails() {
        let history = expecting(plan(), 0.9).spoil(|record| record.t_s *= 1.5);
        insta::assert_snapshot!(judged(&history), @"fail: 66.7 % of the ideal speed, and at least 90 % expected");
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
        insta::assert_snapshot!(judged(&History::of(plan())), @"not judged: 100.0 %");
    }
}
