//! The sweep came to its own end.

use super::{Outcome, limit};
use crate::facts::Facts;
use crate::history::EndReason;
use crate::plan::{Coverage, Plan};

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let Some((_, why)) = facts.ended else {
        return Outcome::inconclusive("how the run ended is not recorded");
    };
    let may_end_early = plan.expect.coverage != Coverage::ExactlyOnce;
    match why {
        EndReason::Complete => Outcome::pass("the sweep completed"),
        EndReason::Interrupted => Outcome::inconclusive("the run was interrupted"),
        EndReason::Crashed => Outcome::inconclusive("the harness itself crashed"),
        EndReason::BrokerGone => Outcome::inconclusive("the broker ended by itself"),
        EndReason::TimedOut => Outcome::inconclusive(limit::ended_by(plan, facts)),
        EndReason::WorkersGone | EndReason::Stalled if may_end_early => {
            Outcome::not_judged("the sweep cannot complete, as expected")
        }
        EndReason::WorkersGone if facts.sweep_started_s.is_none() => {
            Outcome::inconclusive("every worker left before a task was there")
        }
        EndReason::Stalled if facts.sweep_started_s.is_none() => Outcome::inconclusive(
            "the sweep had not begun when the run was ended: no task was there",
        ),
        EndReason::WorkersGone | EndReason::Stalled
            if !facts.left_before_the_sweep().is_empty() =>
        {
            Outcome::inconclusive("workers left before a task was there")
        }
        EndReason::WorkersGone => {
            Outcome::fail("the sweep did not complete: every worker left while chunks were open")
        }
        EndReason::Stalled => Outcome::fail(format!(
            "the sweep did not complete: nothing was committed any more for {:.1} s",
            plan.stall_after.as_secs_f64()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;
    use insta::assert_snapshot;

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn a_sweep_that_completes_passes() {
        assert_snapshot!(judged(&History::of(plan())), @"pass: the sweep completed");
    }

    #[test]
    fn one_that_does_not_fails_though_every_result_is_there() {
        let ended = |why| judged(&History::of(plan()).ended(why));
        assert_snapshot!(ended(EndReason::Stalled), @"fail: the sweep did not complete: nothing was committed any more for 10.0 s");
        assert_snapshot!(ended(EndReason::WorkersGone), @"fail: the sweep did not complete: every worker left while chunks were open");
    }

    #[test]
    fn one_that_was_not_let_complete_is_inconclusive() {
        for why in [EndReason::Interrupted, EndReason::BrokerGone, EndReason::TimedOut] {
            let said = judged(&History::of(plan()).ended(why));
            assert!(said.starts_with("inconclusive"), "{said}");
        }
        let unknown = History::of(plan()).without(|event| matches!(event, Event::RunEnded { .. }));
        assert_snapshot!(judged(&unknown), @"inconclusive: how the run ended is not recorded");
    }

    #[test]
    fn workers_that_leave_before_there_is_anything_to_do_say_nothing_of_the_queue() {
        let history = History::of(plan())
            .without(|event| matches!(event, Event::SweepStarted))
            .ended(EndReason::WorkersGone);
        assert_snapshot!(judged(&history), @"inconclusive: every worker left before a task was there");
    }

    #[test]
    fn where_a_loss_is_expected_it_need_not_complete() {
        let mut plan = plan();
        plan.expect.coverage = Coverage::LostWithBroker;
        let history = History::of(plan).ended(EndReason::Stalled);
        assert_snapshot!(judged(&history), @"not judged: the sweep cannot complete, as expected");
    }
}
