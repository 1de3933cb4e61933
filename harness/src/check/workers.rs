//! Every result that counts is by a worker that was started: what others put there is nobody's.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::Plan;
use crate::words::{counted, quoted};

/// Names that are told.
const NAMED: usize = 10;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let started = |name: &str| facts.starts.iter().any(|(process, _)| process == name);
    let (known, strangers): (Vec<_>, Vec<_>) =
        facts.ledger.workers().partition(|(worker, _)| started(worker));
    if !strangers.is_empty() {
        let chunks = counted(strangers.iter().map(|(_, chunks)| chunks).sum(), "chunk");
        let evidence = strangers.iter().take(NAMED).map(|(worker, chunks)| {
            format!("{} is said to have committed {}", quoted(worker), counted(*chunks, "chunk"))
        });
        let said = format!("{chunks} committed under a name that no worker of this run has");
        // A foreign one may call itself as it likes: then it is not known whose they are.
        let outcome = match plan.foreign {
            Some(_) => Outcome::inconclusive(said),
            None => Outcome::fail(said),
        };
        return outcome.because(evidence.collect());
    }
    match known.len() as u64 {
        0 => Outcome::not_judged("nobody committed anything"),
        workers => {
            Outcome::pass(format!("every result is by one of {}", counted(workers, "worker")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;
    use crate::plan::Foreign;
    use insta::assert_snapshot;

    fn signed_by(worker: &'static str) -> History {
        History::of(plan()).spoil(move |record| {
            if let Event::Result(result) = &mut record.event
                && result.chunk_id == "00017"
            {
                result.worker = worker.to_owned();
            }
        })
    }

    #[test]
    fn results_of_those_who_were_started_pass() {
        assert_snapshot!(told(&History::of(plan()).judged_by(judge)), @"pass: every result is by one of 3 workers");
    }

    #[test]
    fn a_result_of_somebody_who_was_not_started_fails_and_is_named() {
        assert_snapshot!(told(&signed_by("bob").judged_by(judge)), @r"
        fail: 1 chunk committed under a name that no worker of this run has
        - bob is said to have committed 1 chunk
        ");
        assert_snapshot!(told(&signed_by("worker-77").judged_by(judge)), @r"
        fail: 1 chunk committed under a name that no worker of this run has
        - worker-77 is said to have committed 1 chunk
        ");
    }

    #[test]
    fn a_foreign_worker_may_call_itself_as_it_likes() {
        let mut history = signed_by("host-4711");
        let command = vec!["python3".to_owned()];
        history.plan.foreign = Some(Foreign { command, image: None, workers: 3 });
        assert_snapshot!(told(&history.judged_by(judge)), @r"
        inconclusive: 1 chunk committed under a name that no worker of this run has
        - host-4711 is said to have committed 1 chunk
        ");
    }
}
