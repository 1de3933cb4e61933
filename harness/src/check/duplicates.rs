//! Results that are stored twice though they count once. AMQP has no step that both stores a result
//! and acknowledges its task: a worker that ends between the two leaves a task that is delivered
//! again, and may be computed again. That is no defect, as long as every such result is due to a
//! delivery more of that very chunk, and the aggregator left it out.

use crate::facts::Facts;
use crate::plan::{Backend, Plan};
use crate::words::{FirstLines, chunk_id, counted};

/// How many results were stored again, where all of that is as it may be; else nothing.
pub(super) fn explained(plan: &Plan, facts: &Facts) -> Option<u64> {
    let stored_again = facts.ledger.duplicates;
    let removed = facts.aggregate.as_ref().map_or(0, |aggregate| aggregate.duplicates_removed);
    let may_be = plan.backend == Backend::RabbitMq
        && beyond_deliveries(facts).next().is_none()
        && stored_again == removed;
    (stored_again > 0 && may_be).then_some(stored_again)
}

/// Where a result may be stored again: the chunks of which too many were.
pub(super) fn evidence(plan: &Plan, facts: &Facts) -> Vec<String> {
    if plan.backend != Backend::RabbitMq {
        return Vec::new();
    }
    let mut lines = FirstLines::default();
    for (chunk, results, deliveries) in beyond_deliveries(facts) {
        lines.push(|| {
            let (id, results) = (chunk_id(chunk), results + 1);
            let times = counted(deliveries + 1, "time");
            format!("chunk {id} has {results} results, and was delivered {times}")
        });
    }
    lines.lines()
}

/// Chunks of which more results came after the first than deliveries did, and how many of each.
fn beyond_deliveries(facts: &Facts) -> impl Iterator<Item = (u64, u64, u64)> {
    let again = |chunk| facts.redelivered_chunks.get(chunk).copied().unwrap_or(0);
    let both =
        facts.ledger.duplicates_of.iter().map(move |(chunk, it)| (*chunk, *it, again(chunk)));
    both.filter(|(_, results, deliveries)| results > deliveries)
}

#[cfg(test)]
mod tests {
    use super::super::coverage;
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;
    use insta::assert_snapshot;

    /// A sweep of which one chunk is reported twice, and these were delivered again.
    fn judged(backend: Backend, again: &[(&str, u64)], removed: u64) -> String {
        let history = History::of(Plan { backend, ..plan() });
        let result = history.result_of("00031");
        let chunks = again.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
        let deliveries = again.iter().map(|(_, times)| times).sum();
        let history = history
            .with(39.0, result)
            .with(40.0, Event::Redelivered { deliveries, chunks })
            .spoil_aggregate(|aggregate| aggregate.duplicates_removed = removed);
        told(&history.judged_by(coverage::judge))
    }

    #[test]
    fn one_for_a_delivery_more_of_its_chunk_is_told_and_passes() {
        assert_snapshot!(judged(Backend::RabbitMq, &[("00031", 1)], 1), @"pass: all 1000 parameters in 100 chunks, each counted exactly once; 1 result stored twice and removed");
    }

    #[test]
    fn one_that_no_second_delivery_explains_fails() {
        assert!(judged(Backend::RabbitMq, &[], 1).starts_with("fail: "));
    }

    #[test]
    fn however_often_other_chunks_were_delivered_again_it_fails_and_names_the_chunk() {
        let others = [("00030", 1), ("00032", 70)];
        assert_snapshot!(judged(Backend::RabbitMq, &others, 1), @r"
        fail: of 1000 parameters: 10 committed more than once
        - chunk 00031 was committed by worker-1 at 11.5 s and again by worker-1 at 39.0 s
        - chunk 00031 has 2 results, and was delivered 1 time
        ");
    }

    #[test]
    fn two_for_one_delivery_more_fail() {
        let history = History::of(Plan { backend: Backend::RabbitMq, ..plan() });
        let result = history.result_of("00031");
        let again = Event::Redelivered { deliveries: 1, chunks: [("00031".into(), 1)].into() };
        let history = history
            .with(39.0, result.clone())
            .with(39.5, result)
            .with(40.0, again)
            .spoil_aggregate(|aggregate| aggregate.duplicates_removed = 2);
        assert!(told(&history.judged_by(coverage::judge)).starts_with("fail: "));
    }

    #[test]
    fn a_history_that_does_not_say_of_which_chunks_excuses_nothing() {
        let old = r#"{"t_s":40.0,"event":"redelivered","deliveries":1}"#;
        let old: crate::history::Record = serde_json::from_str(old).unwrap();
        let history = History::of(Plan { backend: Backend::RabbitMq, ..plan() });
        let result = history.result_of("00031");
        let history = history
            .with(39.0, result)
            .with(40.0, old.event)
            .spoil_aggregate(|aggregate| aggregate.duplicates_removed = 1);
        assert_eq!(history.facts().redelivered, Some(1));
        assert!(told(&history.judged_by(coverage::judge)).starts_with("fail: "));
    }

    #[test]
    fn one_that_the_aggregator_did_not_leave_out_fails() {
        assert!(judged(Backend::RabbitMq, &[("00031", 1)], 0).starts_with("fail: "));
    }

    #[test]
    fn where_a_commit_is_one_step_any_fails() {
        for backend in [Backend::Redis, Backend::Embedded] {
            assert!(judged(backend, &[("00031", 1)], 1).starts_with("fail: "));
        }
    }
}
