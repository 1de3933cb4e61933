//! Results that are stored twice though they count once. AMQP has no step that both stores a result
//! and acknowledges its task: a worker that ends between the two leaves a task that is delivered
//! again, and may be computed again. That is no defect, as long as every such result is due to a
//! task that was delivered again and the aggregator left it out.

use crate::facts::Facts;
use crate::plan::{Backend, Plan};

/// How many results were stored again, where all of that is as it may be; else nothing.
pub(super) fn explained(plan: &Plan, facts: &Facts) -> Option<u64> {
    let stored_again = facts.ledger.duplicates;
    let removed = facts.aggregate.as_ref().map_or(0, |aggregate| aggregate.duplicates_removed);
    let may_be = plan.backend == Backend::RabbitMq
        && stored_again <= facts.redelivered.unwrap_or(0)
        && stored_again == removed;
    (stored_again > 0 && may_be).then_some(stored_again)
}

#[cfg(test)]
mod tests {
    use super::super::coverage;
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;
    use insta::assert_snapshot;

    /// A sweep of which one chunk is reported twice.
    fn judged(backend: Backend, deliveries: u64, removed: u64) -> String {
        let history = History::of(Plan { backend, ..plan() });
        let again = history.result_of("00031");
        let history = history
            .with(39.0, again)
            .with(40.0, Event::Redelivered { deliveries })
            .spoil_aggregate(|aggregate| aggregate.duplicates_removed = removed);
        told(&history.judged_by(coverage::judge))
    }

    #[test]
    fn one_for_each_task_that_was_delivered_again_is_told_and_passes() {
        assert_snapshot!(judged(Backend::RabbitMq, 1, 1), @"pass: all 1000 parameters in 100 chunks, each counted exactly once; 1 result stored twice and removed");
    }

    #[test]
    fn one_that_no_second_delivery_explains_fails() {
        assert!(judged(Backend::RabbitMq, 0, 1).starts_with("fail: "));
    }

    #[test]
    fn one_that_the_aggregator_did_not_leave_out_fails() {
        assert!(judged(Backend::RabbitMq, 1, 0).starts_with("fail: "));
    }

    #[test]
    fn where_a_commit_is_one_step_any_fails() {
        for backend in [Backend::Redis, Backend::Embedded] {
            assert!(judged(backend, 1, 1).starts_with("fail: "));
        }
    }
}
