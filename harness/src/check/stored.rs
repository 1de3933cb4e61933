//! What was committed is stored at the end, as it was seen: whoever reads the results then gets them.

use std::collections::BTreeMap;

use super::Outcome;
use super::unsettled::{BACK_S, OUT_OF_ORDER_S, of_commit};
use crate::facts::{ChangedResult, Exit, Facts, Strike};
use crate::history::Reread;
use crate::plan::{BROKER, Backend, Coverage, Plan};
use crate::words::{FirstLines, counted, quoted};

/// How long before its death a server may have left a message in one of its two queues alone, in seconds.
const UNWRITTEN_S: f64 = 2.0;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    if plan.backend == Backend::Static {
        return Outcome::not_judged("static mode stores nothing");
    }
    if plan.expect.coverage == Coverage::LostWithBroker {
        return Outcome::not_judged("its data is gone");
    }
    if plan.may_take_unseen() {
        return Outcome::not_judged("a foreign aggregator may take the results from their queue");
    }
    let Some(reread) = &facts.reread else {
        return Outcome::inconclusive("not known: the results could not be read again at the end");
    };
    let Reread { place, seen, stored, lost, taken, changed, unreadable, .. } = reread;
    let place = quoted(place);
    let mut words = Vec::new();
    if *lost > 0 && !lost_with_the_server(plan, facts, reread) {
        let of = counted(*seen, "result");
        words.push(format!("{lost} of {of} that were committed are not there any more"));
    }
    let again = all_stored_again(plan, facts, *changed);
    if *changed > 0 && !again {
        words.push(format!("{changed} are there that were not committed so"));
    }
    if *unreadable > 0 {
        words.push(format!(
            "{} are there that cannot be read",
            counted(*unreadable, "more message")
        ));
    }
    if words.is_empty() && (*stored > seen + changed || stored + lost + taken < *seen) {
        words.push(format!("{stored} are there, and {seen} were seen"));
    }
    if !words.is_empty() {
        let mut evidence = changed_results(facts);
        if reread.taken_by_others > 0 {
            let taken = counted(reread.taken_by_others, "result");
            evidence.push(format!("delivered to somebody who is not to take any: {taken}"));
        }
        evidence.extend(lost_chunks(reread));
        return Outcome::fail(format!("{}, in {place}", words.join(", "))).because(evidence);
    }
    let mut told = format!("{}, as they were committed", counted(stored - changed, "result"));
    if *taken > 0 {
        told += &format!("; taken by the aggregator: {}", counted(*taken, "result"));
    }
    if *lost > 0 {
        let lost = counted(*lost, "result");
        told += &format!(
            "; {lost} in the journal alone, because the server was killed before it had stored them in \
             {place}"
        );
    }
    if again {
        let again = counted(*changed, "result");
        told += &format!("; {again} of equal value stored again after a delivery was lost");
    }
    Outcome::pass(told)
}

/// On RabbitMQ a worker that has lost its delivery stores its result all the same, where its confirm was
/// lost too, and of a server that is killed the journal may lack what its queue has. Then the result of a
/// chunk is there twice, with the same value, by a cause that was seen.
fn all_stored_again(plan: &Plan, facts: &Facts, changed: u64) -> bool {
    let mut times: BTreeMap<Option<u64>, u64> = BTreeMap::new();
    for result in &facts.changed {
        *times.entry(facts.ledger.index(&result.chunk_id)).or_default() += 1;
    }
    let has_causes = |(index, times): (&Option<u64>, &u64)| {
        index.is_some_and(|index| *times <= of_commit(plan, facts, index))
    };
    plan.backend == Backend::RabbitMq
        && changed > 0
        && changed == facts.changed.len() as u64
        && facts.changed.iter().all(ChangedResult::is_equal)
        && times.iter().all(has_causes)
}

/// Whether it ends the server without a word.
fn kills_the_server(strike: &Strike) -> bool {
    strike.bit && strike.target == BROKER && strike.kind == "kill"
}

fn changed_results(facts: &Facts) -> Vec<String> {
    let mut lines = FirstLines::default();
    for ChangedResult { chunk_id, was, is, worker } in &facts.changed {
        lines.push(|| {
            let (id, worker) = (quoted(chunk_id), quoted(worker));
            let was = was.map_or_else(
                || "no result of it was seen".to_owned(),
                |was| format!("the one that was seen has sum {was}"),
            );
            format!("chunk {id} is stored with sum {is}, by {worker}, and {was}")
        });
    }
    lines.lines()
}

fn lost_chunks(reread: &Reread) -> Vec<String> {
    let mut lines = FirstLines::default();
    for id in &reread.chunks {
        lines.push(|| format!("the result of chunk {} is gone", quoted(id)));
    }
    lines.lines()
}

/// A message goes to its queue and to the journal, and of a RabbitMQ server that is killed before it has
/// confirmed it, the one may be left and the other not. A worker sends it again, or whoever has the chunk
/// then computes it again; unless the worker has died then too, and the journal alone has it.
fn lost_with_the_server(plan: &Plan, facts: &Facts, reread: &Reread) -> bool {
    let died_too = |worker: &str, strike: &Strike| {
        let healed_s = strike.healed_s.unwrap_or(strike.t_s);
        let meanwhile = |exit: &Exit| {
            let until_s = if exit.is_clean() { healed_s } else { healed_s + BACK_S };
            (strike.t_s - OUT_OF_ORDER_S..=until_s).contains(&exit.t_s)
        };
        facts.exits.iter().any(|exit| exit.process == worker && meanwhile(exit))
    };
    let explains = |index: u64, strike: &Strike| {
        let Some((worker, committed_s)) = facts.ledger.commit(index) else { return false };
        let before = committed_s - OUT_OF_ORDER_S..=committed_s + UNWRITTEN_S;
        let has_another = || facts.ledger.duplicates_of.contains_key(&index);
        kills_the_server(strike)
            && before.contains(&strike.t_s)
            && (has_another() || died_too(worker, strike))
    };
    let is_explained = |id: &String| {
        let index = facts.ledger.index(id);
        index.is_some_and(|index| facts.strikes.iter().any(|it| explains(index, it)))
    };
    plan.backend == Backend::RabbitMq
        && reread.lost < reread.seen
        // What was delivered to somebody had reached its queue.
        && reread.taken_by_others == 0
        && reread.chunks.len() as u64 == reread.lost
        && reread.chunks.iter().all(is_explained)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, STRUCK_S, plan, plan_with_kill, told};
    use super::*;
    use crate::history::Event;
    use insta::assert_snapshot;

    fn reread(history: History, lost: &[&str], changed: u64) -> History {
        history.spoil(|record| {
            if let Event::Reread(Reread { stored, lost: gone, changed: other, chunks, .. }) =
                &mut record.event
            {
                *stored -= lost.len() as u64;
                (*gone, *other) = (lost.len() as u64, changed);
                *chunks = lost.iter().map(|id| (*id).to_owned()).collect();
            }
        })
    }

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn results_that_are_there_as_they_were_pass() {
        assert_snapshot!(judged(&History::of(plan())), @"pass: 100 results, as they were committed");
    }

    #[test]
    fn results_that_are_gone_fail_and_are_named() {
        let history = reread(History::of(plan()), &["00003", "00007"], 0);
        assert_snapshot!(judged(&history), @r"
        fail: 2 of 100 results that were committed are not there any more, in the stream ttg:results
        - the result of chunk 00003 is gone
        - the result of chunk 00007 is gone
        ");
    }

    #[test]
    fn a_result_that_was_changed_fails_with_both_values() {
        let changed = Event::Changed {
            chunk_id: "00003".into(),
            was: Some(12.5),
            is: 13.0,
            worker: "worker-1".into(),
        };
        let history = reread(History::of(plan()), &[], 1).with(40.0, changed);
        assert_snapshot!(judged(&history), @r"
        fail: 1 are there that were not committed so, in the stream ttg:results
        - chunk 00003 is stored with sum 13, by worker-1, and the one that was seen has sum 12.5
        ");
    }

    #[test]
    fn what_is_there_twice_on_rabbitmq_for_a_cause_is_told_and_passes_if_it_is_equal() {
        let stored = |id: &str, was: f64, is: f64, target: &str| {
            let mut plan = plan_with_kill();
            plan.backend = Backend::RabbitMq;
            let (chunk_id, worker) = (id.to_owned(), "worker-1".to_owned());
            let again = Event::Changed { chunk_id, was: Some(was), is, worker };
            let healed =
                Event::FaultHealed { fault: "kill-1".into(), target: target.into(), seen: None };
            let history = reread(History::of(plan), &[], 1)
                .with(40.0, again)
                .with(STRUCK_S + 1.0, healed)
                .spoil(|record| match &mut record.event {
                    Event::FaultInjected { target: struck, .. } => target.clone_into(struck),
                    Event::Reread(reread) => reread.stored += 1,
                    _ => {}
                });
            judged(&history)
        };
        assert_snapshot!(stored("00030", 12.5, 12.5, BROKER), @"pass: 100 results, as they were committed; 1 result of equal value stored again after a delivery was lost");
        assert!(stored("00030", 12.5, 13.0, BROKER).starts_with("fail"));
        assert!(stored("00090", 12.5, 12.5, BROKER).starts_with("fail"), "long after the strike");
        assert!(
            stored("00031", 12.5, 12.5, "worker-1").starts_with("pass"),
            "who was struck had it"
        );
        assert!(stored("00003", 12.5, 12.5, "worker-1").starts_with("fail"));
    }

    #[test]
    fn what_a_foreign_aggregator_takes_is_told_and_what_others_take_is_gone() {
        let taken = |by_aggregator: bool| {
            let plan = Plan { backend: Backend::RabbitMq, ..plan() };
            judged(&History::of(plan).spoil(move |record| {
                let Event::Reread(reread) = &mut record.event else { return };
                reread.stored -= 1;
                if by_aggregator {
                    reread.taken = 1;
                } else {
                    (reread.lost, reread.taken_by_others) = (1, 1);
                    reread.chunks = vec!["00003".to_owned()];
                }
            }))
        };
        assert_snapshot!(taken(true), @"pass: 99 results, as they were committed; taken by the aggregator: 1 result");
        assert_snapshot!(taken(false), @r"
        fail: 1 of 100 results that were committed are not there any more, in the stream ttg:results
        - delivered to somebody who is not to take any: 1 result
        - the result of chunk 00003 is gone
        ");
    }

    #[test]
    fn what_was_not_read_again_is_inconclusive() {
        let history = History::of(plan()).without(|event| matches!(event, Event::Reread(_)));
        assert_snapshot!(judged(&history), @"inconclusive: not known: the results could not be read again at the end");
    }

    #[test]
    fn what_a_killed_rabbitmq_had_not_stored_is_told_and_passes() {
        let mut plan = plan_with_kill();
        plan.backend = Backend::RabbitMq;
        let history = History::of(plan);
        let last = history.records.iter().rev().find_map(|record| match &record.event {
            Event::Result(result) if record.t_s < STRUCK_S => Some(result.clone()),
            _ => None,
        });
        let last = last.unwrap();
        let history = reread(history, &[&last.chunk_id], 0);
        assert!(judged(&history).starts_with("fail"), "a worker was struck, and not the broker");
        let history = history.spoil(|record| {
            if let Event::FaultInjected { target, .. } = &mut record.event {
                *target = BROKER.to_owned();
            }
        });
        assert!(judged(&history).starts_with("fail"), "a worker that lives sends it again");
        let died = Event::ProcessExited {
            process: last.worker,
            pid: 7,
            code: Some(1),
            signal: None,
            said: None,
        };
        let history = history.with(STRUCK_S + 0.5, died);
        assert_snapshot!(judged(&history), @"pass: 99 results, as they were committed; 1 result in the journal alone, because the server was killed before it had stored them in the stream ttg:results");
    }
}
