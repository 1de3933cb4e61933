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
    let (chunks, wrong) = facts.submitted.unwrap_or_default();
    let mut words = Vec::new();
    if wrong > 0 {
        let ask = if wrong == 1 { "asks" } else { "ask" };
        words.push(format!("{} {ask} for something else than the plan", counted(wrong, "task")));
    }
    if facts.resubmitted > 0 {
        words.push(format!("{} submitted other than once", counted(facts.resubmitted, "chunk")));
    }
    if !words.is_empty() {
        let mut evidence = facts.wrong_tasks();
        evidence.extend(facts.resubmissions());
        return Outcome::fail(words.join(", ")).because(evidence);
    }
    if facts.submitted.is_none() {
        return Outcome::inconclusive("not known: the tasks could not be read at the end");
    }
    let unseen = plan.sweep.chunks().saturating_sub(chunks);
    let is_complete = matches!(facts.ended, Some((_, EndReason::Complete)));
    match unseen {
        0 => {
            let by = if plan.coordinator.is_none() { "submitted by the harness; " } else { "" };
            Outcome::pass(format!("{by}every chunk once, with the range of the plan"))
        }
        // What is missing then is a matter of coverage.
        _ if !is_complete => Outcome::pass(format!(
            "{} of {} submitted, none twice, with the range of the plan",
            chunks,
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
    fn a_task_with_another_range_fails_and_says_both() {
        let wrong = |id: &str, range| Event::WrongTask { chunk_id: id.into(), range };
        let history = History::of(plan())
            .spoil(|record| {
                if let Event::Submitted { wrong, .. } = &mut record.event {
                    *wrong = 2;
                }
            })
            .with(40.0, wrong("00050", (0, 10)))
            .with(40.0, wrong("00100", (1000, 1010)));
        insta::assert_snapshot!(told(&history.judged_by(judge)), @r"
        fail: 2 tasks ask for something else than the plan
        - the task of chunk 00050 asks for 0..10, and the plan has 500..510
        - the task of chunk 00100 asks for 1000..1010, and the sweep ends with chunk 00099
        ");
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
