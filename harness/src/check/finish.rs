//! Once the last fault is over, the sweep comes to its end soon enough.

use super::Outcome;
use super::duration::finished;
use crate::facts::{Facts, span_s};
use crate::history::EndReason;
use crate::plan::Plan;
use crate::words::{beside, seconds};

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let Some(most) = plan.expect.finish_max else { return Outcome::not_judged("none expected") };
    let bit = || facts.strikes.iter().filter(|strike| strike.bit);
    let in_time = bit().filter(|strike| !facts.came_too_late(strike));
    let over = in_time.map(|strike| strike.healed_s.unwrap_or(strike.t_s)).reduce(f64::max);
    let (Some(over_s), Some(last_s)) = (over, facts.last_result_s) else {
        return Outcome::inconclusive(match bit().next() {
            Some(_) if facts.last_result_s.is_some() => {
                "every fault struck after the last result: nothing was left to be finished"
            }
            _ => "no fault took effect, or nothing was committed",
        });
    };
    let most_s = most.as_secs_f64();
    if !finished(plan, facts) {
        let summary =
            format!("the sweep did not finish after the last fault at {}", seconds(over_s));
        return if is_overdue(facts, over_s + most_s) {
            Outcome::fail(summary)
        } else {
            Outcome::inconclusive(summary)
        };
    }
    let took_s = span_s(over_s, last_s);
    if took_s < 0.0 {
        return Outcome::pass(format!(
            "done before the last fault was over, and at most {most_s} s after it expected"
        ));
    }
    let took = format!("{} s after the last fault", beside(took_s, most_s, 2));
    if took_s <= most_s {
        Outcome::pass(format!("{took}, at most {most_s} s expected"))
    } else {
        Outcome::fail(format!("{took}, and at most {most_s} s expected"))
    }
}

/// Whether the run was watched beyond this moment: then it does not matter how it would have gone on.
fn is_overdue(facts: &Facts, due_s: f64) -> bool {
    let watched_s = match facts.ended {
        Some((_, EndReason::Interrupted)) | None => None,
        Some((ended_s, _)) => Some(ended_s),
    };
    facts.flaw.is_none() && watched_s.is_some_and(|watched_s| watched_s > due_s)
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
        assert_snapshot!(judged(&within(20).without(is_strike)), @"inconclusive: no fault took effect, or nothing was committed");
    }

    /// The same with the strike at this moment after the last result, and healed then.
    fn struck(after_s: f64, healed_after_s: Option<f64>) -> History {
        let history = within(20);
        let last_s = history.facts().last_result_s.unwrap();
        let history = history.spoil(|record| {
            if let Event::FaultInjected { .. } = record.event {
                record.t_s = last_s + after_s;
            }
        });
        let healed = |after_s: f64| {
            let (fault, target) = ("kill-1".into(), "worker-1".into());
            (last_s + after_s, Event::FaultHealed { fault, target, seen: None })
        };
        match healed_after_s.map(healed) {
            Some((t_s, healed)) => history.with(t_s, healed),
            None => history,
        }
    }

    #[test]
    fn a_fault_after_the_last_result_leaves_nothing_to_be_finished() {
        assert_snapshot!(judged(&struck(0.1, None)), @"inconclusive: every fault struck after the last result: nothing was left to be finished");
        // Within what can be told apart it may have been before.
        assert_snapshot!(judged(&struck(0.001, None)), @"pass: done before the last fault was over, and at most 20 s after it expected");
    }

    #[test]
    fn a_sweep_that_ends_while_its_last_fault_lasts_passes() {
        assert_snapshot!(judged(&struck(-1.0, Some(3.0))), @"pass: done before the last fault was over, and at most 20 s after it expected");
    }

    #[test]
    fn a_time_limit_that_comes_after_the_expected_end_fails_and_before_it_says_nothing() {
        let open = |seconds| within(seconds).without_chunk("00031").ended(EndReason::TimedOut);
        assert!(judged(&open(20)).starts_with("fail"), "{}", judged(&open(20)));
        assert!(judged(&open(60)).starts_with("inconclusive"), "{}", judged(&open(60)));
    }

    #[test]
    fn what_is_not_expected_is_not_judged() {
        assert_snapshot!(judged(&History::of(plan_with_kill())), @"not judged: none expected");
    }
}
