//! Every chunk is submitted once, and every task asks for what the plan has for its chunk.

use super::Outcome;
use crate::facts::Facts;
use crate::history::EndReason;
use crate::plan::{Backend, Coverage, Plan};
use crate::words::counted;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    if plan.backend == Backend::Static {
        return Outcome::not_judged("static mode submits nothing");
    }
    if plan.expect.coverage == Coverage::LostWithBroker {
        return Outcome::not_judged("its data is gone");
    }
    let submitted = &facts.submitted;
    let mut words = Vec::new();
    if submitted.wrong > 0 {
        let ask = if submitted.wrong == 1 { "asks" } else { "ask" };
        let tasks = counted(submitted.wrong, "task");
        words.push(format!("{tasks} {ask} for something else than the plan"));
    }
    if submitted.unreadable > 0 {
        words.push(format!("{} that cannot be read", counted(submitted.unreadable, "task")));
    }
    if submitted.again > 0 {
        words.push(format!("{} submitted other than once", counted(submitted.again, "chunk")));
    }
    if submitted.bypassed > 0 {
        let tasks = counted(submitted.bypassed, "task");
        words.push(format!("{tasks} delivered that did not come by the exchange of tasks"));
    }
    if !words.is_empty() {
        return Outcome::fail(words.join(", ")).because(submitted.evidence());
    }
    if !submitted.is_known {
        return Outcome::inconclusive("not known: the tasks could not be read at the end");
    }
    let unseen = plan.sweep.chunks().saturating_sub(submitted.chunks);
    let is_complete = matches!(facts.ended, Some((_, EndReason::Complete)));
    match unseen {
        0 => {
            let by = if plan.coordinator.is_none() { "submitted by the harness; " } else { "" };
            Outcome::pass(format!("{by}every chunk once, with the range of the plan"))
        }
        // What is missing then is a matter of coverage.
        _ if !is_complete => Outcome::pass(format!(
            "{} of {} submitted, none twice, with the range of the plan",
            submitted.chunks,
            counted(plan.sweep.chunks(), "chunk")
        )),
        _ => Outcome::inconclusive(format!(
            "the tasks of {} are not at the broker any more, so that it is not known what they asked for",
            counted(unseen, "chunk")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;

    #[test]
    fn chunks_submitted_once_pass() {
        let outcome = History::of(plan()).judged_by(judge);
        insta::assert_snapshot!(told(&outcome), @"pass: every chunk once, with the range of the plan");
    }

    #[test]
    fn a_chunk_submitted_twice_fails_and_is_named() {
        let twice = Event::Resubmitted { chunk_id: "00050".into(), times: 2 };
        let outcome = History::of(plan()).with(40.0, twice).judged_by(judge);
        insta::assert_snapshot!(told(&outcome), @r"
        fail: 1 chunk submitted other than once
        - chunk 00050 was submitted 2 times
        ");
    }

    #[test]
    fn a_task_that_came_by_another_way_fails() {
        let history = History::of(plan()).spoil(|record| {
            if let Event::Submitted { bypassed, .. } = &mut record.event {
                *bypassed = 2;
            }
        });
        insta::assert_snapshot!(told(&history.judged_by(judge)), @"fail: 2 tasks delivered that did not come by the exchange of tasks");
    }

    #[test]
    fn a_task_with_another_range_fails_and_says_both() {
        let wrong =
            |id: &str, range, totals| Event::WrongTask { chunk_id: id.into(), range, totals };
        let history = History::of(plan())
            .spoil(|record| {
                if let Event::Submitted { wrong, .. } = &mut record.event {
                    *wrong = 3;
                }
            })
            .with(40.0, wrong("00050", (0, 10), (1000, 100)))
            .with(40.0, wrong("00060", (600, 610), (70, 7)))
            .with(40.0, wrong("00100", (1000, 1010), (1000, 100)));
        insta::assert_snapshot!(told(&history.judged_by(judge)), @r"
        fail: 3 tasks ask for something else than the plan
        - the task of chunk 00050 asks for 0..10, and the plan has 500..510
        - the task of chunk 00060 speaks of 70 parameters in 7 chunks, and the plan has 1000 in 100
        - the task of chunk 00100 asks for 1000..1010, and the sweep ends with chunk 00099
        ");
    }

    #[test]
    fn a_task_that_cannot_be_read_fails_and_says_why() {
        let reason = "start_param is \"one\", not a whole number".to_owned();
        let history = History::of(plan())
            .spoil(|record| {
                if let Event::Submitted { unreadable, .. } = &mut record.event {
                    *unreadable = 1;
                }
            })
            .with(40.0, Event::UnreadableTask { reason });
        insta::assert_snapshot!(told(&history.judged_by(judge)), @r#"
        fail: 1 task that cannot be read
        - one of the tasks cannot be read: start_param is "one", not a whole number
        "#);
    }

    #[test]
    fn tasks_that_are_not_there_any_more_are_inconclusive() {
        let history = History::of(plan()).spoil(|record| {
            if let Event::Submitted { chunks, .. } = &mut record.event {
                *chunks = 97;
            }
        });
        insta::assert_snapshot!(told(&history.judged_by(judge)), @"inconclusive: the tasks of 3 chunks are not at the broker any more, so that it is not known what they asked for");
        let unread = history.without(|event| matches!(event, Event::Submitted { .. }));
        insta::assert_snapshot!(told(&unread.judged_by(judge)), @"inconclusive: not known: the tasks could not be read at the end");
    }
}
