//! Nothing is left to do: no task is open, pending or waiting for another attempt. The next worker
//! would compute it again, whatever became of its result.

use super::Outcome;
use super::unsettled::of_commit;
use crate::facts::{Depths, Facts, OpenTask};
use crate::history::EndReason;
use crate::plan::{Backend, Coverage, Plan};
use crate::words::{FirstLines, counted, quoted};

/// How long a worker may take to acknowledge what it has stored, in seconds; or three times as long as a
/// chunk takes.
const SETTLE_S: f64 = 5.0;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    if plan.backend == Backend::Static {
        return Outcome::not_judged("static mode has no queue");
    }
    if plan.expect.coverage == Coverage::LostWithBroker {
        return Outcome::not_judged("its data is gone");
    }
    let Some(Depths { tasks, retry, .. }) = facts.depths else {
        return Outcome::inconclusive("not known: the queues could not be read at the end");
    };
    let open = (tasks + retry).max(facts.open_tasks.len() as u64);
    if open == 0 {
        return Outcome::pass("no task is open");
    }
    if let Some(harmless) = left_by_the_server(plan, facts, open) {
        return Outcome::pass(harmless);
    }
    let are = if open == 1 { "is" } else { "are" };
    let summary = format!(
        "{} {are} still open: the next worker computes what they ask for",
        counted(open, "task")
    );
    if facts.is_final() || nobody_settles(plan, facts) {
        Outcome::fail(summary).because(evidence(facts))
    } else {
        Outcome::inconclusive(summary).because(evidence(facts))
    }
}

/// Whether all results were there long before a time limit ended the run: whoever has stored the last of
/// them had the time to acknowledge it too.
fn nobody_settles(plan: &Plan, facts: &Facts) -> bool {
    let Some((ended_s, EndReason::TimedOut)) = facts.ended else { return false };
    let all = facts.flaw.is_none() && facts.ledger.chunks_committed() == plan.sweep.chunks();
    let patience_s = SETTLE_S.max(3.0 * plan.sweep.chunk_time().as_secs_f64());
    all && facts.last_result_s.is_some_and(|last_s| ended_s - last_s >= patience_s)
}

fn evidence(facts: &Facts) -> Vec<String> {
    let mut lines = FirstLines::default();
    for OpenTask { chunk_id, holder } in &facts.open_tasks {
        lines.push(|| {
            let id = chunk_id.as_deref().map_or_else(
                || "a task that cannot be read".to_owned(),
                |id| format!("the task of chunk {}", quoted(id)),
            );
            let with = holder.as_deref().map_or_else(
                || "is with nobody".to_owned(),
                |holder| format!("is with {}", quoted(holder)),
            );
            format!("{id} {with}")
        });
    }
    lines.lines()
}

/// A RabbitMQ server that is killed or cut off brings tasks back that were acknowledged at that time, and a
/// message that is sent again after that is there twice. Of a chunk that has its result, that is harmless:
/// a worker of ours looks before it computes what comes again.
fn left_by_the_server(plan: &Plan, facts: &Facts, open: u64) -> Option<String> {
    let is_harmless = |task: &OpenTask| {
        let index = task.chunk_id.as_deref().and_then(|id| facts.ledger.index(id));
        index.is_some_and(|index| {
            facts.ledger.committed_s(index).is_some() && of_commit(plan, facts, index) > 0
        })
    };
    let harmless = plan.backend == Backend::RabbitMq
        && plan.foreign.is_none()
        && facts.open_tasks.len() as u64 == open
        && facts.open_tasks.iter().all(is_harmless);
    harmless.then(|| {
        let tasks = counted(open, "task");
        format!(
            "{tasks} of chunks that have their results came back when their workers lost the broker"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, STRUCK_S, plan, plan_with_kill, told};
    use super::*;
    use crate::history::{EndReason, Event, Record};
    use crate::plan::BROKER;
    use insta::assert_snapshot;

    fn with_open(plan: Plan, tasks: u64, retry: u64) -> History {
        History::of(plan).spoil(|record| {
            if let Event::Depths { tasks: open, retry: waiting, .. } = &mut record.event {
                (*open, *waiting) = (tasks, retry);
            }
        })
    }

    fn open_task(holder: Option<&str>) -> Event {
        Event::OpenTask { chunk_id: Some("00031".into()), holder: holder.map(str::to_owned) }
    }

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn nothing_open_passes() {
        assert_snapshot!(judged(&History::of(plan())), @"pass: no task is open");
    }

    #[test]
    fn a_task_that_is_open_fails_though_its_result_is_there() {
        let history = with_open(plan(), 2, 0)
            .with(40.0, open_task(Some("worker-1")))
            .with(40.0, open_task(None));
        assert_snapshot!(judged(&history), @r"
        fail: 2 tasks are still open: the next worker computes what they ask for
        - the task of chunk 00031 is with worker-1
        - the task of chunk 00031 is with nobody
        ");
    }

    #[test]
    fn one_that_is_open_long_after_its_result_fails_though_a_time_limit_ended_the_run() {
        let open = || with_open(plan(), 1, 0).with(40.0, open_task(Some("worker-1")));
        assert!(judged(&open().ended(EndReason::TimedOut)).starts_with("fail"));
        let sooner = with_open(plan(), 1, 0).ended(EndReason::TimedOut);
        assert!(judged(&sooner).starts_with("inconclusive"), "it may have been about to settle it");
        let more = open().without_chunk("00099").ended(EndReason::TimedOut);
        assert!(judged(&more).starts_with("inconclusive"), "the sweep was going on");
    }

    #[test]
    fn what_is_open_counts_whatever_the_depths_say() {
        let hidden = History::of(plan()).with(40.0, open_task(None));
        assert!(judged(&hidden).starts_with("fail: 1 task is still open"), "{}", judged(&hidden));
    }

    #[test]
    fn one_that_waits_for_another_attempt_fails() {
        assert_snapshot!(judged(&with_open(plan(), 0, 1)), @"fail: 1 task is still open: the next worker computes what they ask for");
    }

    #[test]
    fn one_that_is_open_so_far_is_inconclusive() {
        let history = with_open(plan(), 1, 0).ended(EndReason::Interrupted);
        assert!(judged(&history).starts_with("inconclusive"));
    }

    #[test]
    fn what_was_not_read_is_inconclusive() {
        let history = History::of(plan()).without(|event| matches!(event, Event::Depths { .. }));
        assert_snapshot!(judged(&history), @"inconclusive: not known: the queues could not be read at the end");
    }

    #[test]
    fn what_a_struck_rabbitmq_brings_back_of_settled_chunks_is_told_and_passes() {
        let mut struck = plan_with_kill();
        struck.backend = Backend::RabbitMq;
        let open = |id: &str| {
            let open = Event::OpenTask { chunk_id: Some(id.to_owned()), holder: None };
            with_open(struck.clone(), 1, 0).with(40.0, open)
        };
        assert!(judged(&open("00030")).starts_with("fail"), "another than the struck one had it");
        let by_broker = |record: &mut Record| {
            if let Event::FaultInjected { target, .. } = &mut record.event {
                *target = BROKER.to_owned();
            }
        };
        let healed =
            Event::FaultHealed { fault: "kill-1".into(), target: BROKER.into(), seen: None };
        let late = open("00090").spoil(by_broker).with(STRUCK_S + 1.0, healed);
        assert!(judged(&late).starts_with("fail"), "it was committed long after the strike");
        let history = open("00031").spoil(by_broker);
        assert_snapshot!(judged(&history), @"pass: 1 task of chunks that have their results came back when their workers lost the broker");
        let unsettled = history.without_chunk("00031");
        assert!(judged(&unsettled).starts_with("fail"));
    }
}
