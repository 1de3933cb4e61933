//! Results that are stored twice though they count once. AMQP has no step that both stores a result
//! and acknowledges its task: a worker that ends between the two leaves a task that is delivered
//! again, and may be computed again. That is no defect, as long as every such result is due to a
//! delivery of that very chunk that was lost, by a cause that was seen, has the same value, and the
//! aggregator left it out.

use super::unsettled;
use crate::facts::{Duplicates, Facts};
use crate::plan::{Backend, Plan};
use crate::words::{FirstLines, chunk_id, counted};

/// How many results were stored again, where all of that is as it may be; else nothing.
pub(super) fn explained(plan: &Plan, facts: &Facts) -> Option<u64> {
    let ledger = &facts.ledger;
    // One that came when the aggregator had all that it needed is none that it has seen.
    let left_out = ledger.duplicates_before_last..=ledger.duplicates;
    let claims = facts.aggregate.as_ref().map(|aggregate| aggregate.duplicates_removed);
    let may_be = plan.backend == Backend::RabbitMq
        && ledger.duplicates_of.iter().all(|it| why_not(plan, facts, it).is_none())
        && claims.is_none_or(|claimed| left_out.contains(&claimed));
    (ledger.duplicates > 0 && may_be).then_some(ledger.duplicates)
}

/// What more there is to say of them, chunk by chunk.
pub(super) fn evidence(plan: &Plan, facts: &Facts) -> Vec<String> {
    let mut lines = FirstLines::default();
    for (chunk, it) in &facts.ledger.duplicates_of {
        let why_not = match plan.backend {
            Backend::RabbitMq => why_not(plan, facts, (chunk, it)),
            _ => unequal(*chunk, it),
        };
        if let Some(why_not) = why_not {
            lines.push(|| why_not);
        }
    }
    lines.lines()
}

/// Why the results of this chunk beyond the first are not explained, if so.
fn why_not(plan: &Plan, facts: &Facts, (chunk, it): (&u64, &Duplicates)) -> Option<String> {
    if let Some(unequal) = unequal(*chunk, it) {
        return Some(unequal);
    }
    let (id, results) = (chunk_id(*chunk), it.count + 1);
    let again = facts.redelivered_chunks.get(chunk).copied().unwrap_or(0);
    if it.count > again && !unsettled::broker_was_ended(plan, facts, *chunk, it) {
        let times = counted(again + 1, "time");
        return Some(format!("chunk {id} has {results} results, and was delivered {times}"));
    }
    let caused = it.count <= unsettled::of_duplicates(plan, facts, *chunk, it);
    (!caused).then(|| {
        format!(
            "chunk {id} has {results} results, and nothing was seen that would have lost a delivery of \
             it: no fault struck who had it just then, and their connections held"
        )
    })
}

fn unequal(chunk: u64, it: &Duplicates) -> Option<String> {
    let (first, other) = it.unequal?;
    let id = chunk_id(chunk);
    Some(format!("chunk {id} has results of different values: sum {first} and sum {other}"))
}

#[cfg(test)]
mod tests {
    use super::super::coverage;
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::{Event, HeldChunk};
    use crate::plan::RoleProgram;
    use std::collections::BTreeMap;

    use insta::assert_snapshot;

    /// A sweep of which one chunk is reported twice, and these were delivered again because their
    /// connections were gone.
    fn judged(backend: Backend, again: &[(&str, u64)], removed: u64) -> String {
        let history = History::of(Plan { backend, ..plan() });
        let result = history.result_of("00031");
        let chunks: BTreeMap<_, _> =
            again.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
        let deliveries = again.iter().map(|(_, times)| times).sum();
        let history = history
            .with(39.0, result)
            .with(40.0, Event::Redelivered { deliveries, lost: chunks.clone(), chunks })
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
        let again = redelivered(true);
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
        let with = |at_s: f64| {
            let history = History::of(Plan { backend: Backend::RabbitMq, ..plan() });
            let result = history.result_of("00031");
            let history = history.with(at_s, result).with(40.0, redelivered(true));
            told(&history.judged_by(coverage::judge))
        };
        assert!(with(20.0).starts_with("fail: "), "{}", with(20.0));
        assert!(with(39.0).starts_with("pass: "), "it had all that it needed: {}", with(39.0));
    }

    #[test]
    fn where_no_aggregator_claims_anything_it_is_told_and_passes() {
        let mut plan = Plan { backend: Backend::RabbitMq, ..plan() };
        plan.aggregator = RoleProgram::None;
        let history = History::of(plan).without(|event| matches!(event, Event::Aggregate(_)));
        let result = history.result_of("00031");
        let history = history.with(20.0, result).with(40.0, redelivered(true));
        let said = told(&history.judged_by(coverage::judge));
        assert!(said.starts_with("pass: "), "{said}");
    }

    #[test]
    fn where_a_commit_is_one_step_any_fails() {
        for backend in [Backend::Redis, Backend::Embedded] {
            assert!(judged(backend, &[("00031", 1)], 1).starts_with("fail: "));
        }
    }

    /// Chunk 31 was delivered once more, because its connection was gone or for no reason that was seen.
    fn redelivered(lost: bool) -> Event {
        let chunks: BTreeMap<_, _> = [("00031".to_owned(), 1)].into();
        let lost = if lost { chunks.clone() } else { BTreeMap::new() };
        Event::Redelivered { deliveries: 1, chunks, lost }
    }

    /// Chunk 31 was reported twice and delivered twice, and no connection was seen to be gone.
    fn given_back(plan: Plan) -> History {
        let history = History::of(Plan { backend: Backend::RabbitMq, ..plan });
        let result = history.result_of("00031");
        history
            .with(20.0, result)
            .with(40.0, redelivered(false))
            .spoil_aggregate(|aggregate| aggregate.duplicates_removed = 1)
    }

    #[test]
    fn a_redelivery_without_a_cause_that_was_seen_excuses_nothing() {
        assert_snapshot!(told(&given_back(plan()).judged_by(coverage::judge)), @r"
        fail: of 1000 parameters: 10 committed more than once
        - chunk 00031 was committed by worker-1 at 11.5 s and again by worker-1 at 20.0 s
        - chunk 00031 has 2 results, and nothing was seen that would have lost a delivery of it: no fault struck who had it just then, and their connections held
        ");
    }

    #[test]
    fn a_fault_that_struck_who_had_the_chunk_is_a_cause_and_one_for_another_chunk_is_none() {
        let strike = |held: &str| Event::FaultInjected {
            fault: "pause-1".into(),
            kind: "pause".into(),
            target: "worker-1".into(),
            bit: true,
            proof: "seen".into(),
            held: vec![HeldChunk { chunk_id: held.into(), delivery: 1 }],
        };
        let struck =
            |held| told(&given_back(plan()).with(11.0, strike(held)).judged_by(coverage::judge));
        assert!(struck("00031").starts_with("pass"), "{}", struck("00031"));
        assert!(struck("00030").starts_with("fail"), "{}", struck("00030"));
    }

    #[test]
    fn results_of_different_values_are_never_explained() {
        let mut plan = plan();
        plan.sweep.kernel = crate::plan::Kernel::Exec { command: vec!["./simulate".into()] };
        let history = History::of(Plan { backend: Backend::RabbitMq, ..plan });
        let Event::Result(mut other) = history.result_of("00031") else { unreachable!() };
        other.sum += 1.0;
        let history = history
            .with(39.0, Event::Result(other))
            .with(40.0, redelivered(true))
            .spoil_aggregate(|aggregate| aggregate.duplicates_removed = 1);
        let said = told(&history.judged_by(coverage::judge));
        assert!(said.contains("results of different values: sum "), "{said}");
    }
}
