//! Once the last fault is over, the sweep comes to its end soon enough.

use super::Outcome;
use super::duration::finished;
use crate::facts::Facts;
use crate::plan::Plan;
use crate::words::seconds;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let Some(most) = plan.expect.finish_max else { return Outcome::pass("not judged") };
    let over = facts.strikes.iter().map(|strike| strike.healed_s.unwrap_or(strike.t_s));
    let (Some(over_s), Some(last_s)) = (over.reduce(f64::max), facts.last_result_s) else {
        return Outcome::inconclusive("no fault struck, or nothing was committed");
    };
    let most_s = most.as_secs_f64();
    if !finished(plan, facts) {
        let waited_s = facts.ended.map_or(0.0, |(ended_s, _)| ended_s - over_s);
        let summary =
            format!("the sweep did not finish after the last fault at {}", seconds(over_s));
        return if facts.is_final() && waited_s > most_s {
            Outcome::fail(summary)
        } else {
            Outcome::inconclusive(summary)
        };
    }
    let took_s = (last_s - over_s).max(0.0);
    let took = format!("{took_s:.2} s after the last fault");
    if took_s <= most_s {
        Outcome::pass(format!("{took}, at most {most_s} s expected"))
    } else {
        Outcome::fail(format!("{took}, and at most {most_s} s expected"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{History, plan_with_kill, told};
    use super::*;
    use crate::history::Event;
    use insta::assert_snapshot;

    fn within(seconds: u64) -> History {
        let mut plan = plan_with_kill();
        plan.expect.finish_max = Some(Duration::from_secs(seconds));
        History::of(plan)
    }

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn soon_enough_passes() {
        assert_snapshot!(judged(&within(40)), @"pass: 34.72 s after the last fault, at most 40 s expected");
    }

    #[test]
    fn too_late_fails() {
        assert_snapshot!(judged(&within(20)), @"fail: 34.72 s after the last fault, and at most 20 s expected");
    }

    #[test]
    fn a_sweep_that_never_finishes_fails() {
        assert_snapshot!(judged(&within(20).without_chunk("00031")), @"fail: the sweep did not finish after the last fault at 10.8 s");
    }

    #[test]
    fn where_no_fault_struck_nothing_is_known() {
        let is_strike = |event: &Event| matches!(event, Event::FaultInjected { .. });
        assert_snapshot!(judged(&within(20).without(is_strike)), @"inconclusive: no fault struck, or nothing was committed");
    }
}
