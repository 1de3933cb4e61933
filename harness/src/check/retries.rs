//! Attempts failed and were made again, where the scenario is about that.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::Plan;
use crate::words::counted;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    let unexplained = &facts.unexplained_retries;
    if unexplained.count() > 0 {
        let chunks = counted(unexplained.count(), "chunk");
        return Outcome::fail(format!("{chunks} attempted again though no failure explains it"))
            .because(unexplained.evidence());
    }
    match (facts.retried, plan.expect.retries_min) {
        (None, 0) => Outcome::not_judged("not known, and none expected"),
        (None, least) => Outcome::inconclusive(format!(
            "not known, and at least {} expected",
            counted(least, "attempt")
        )),
        (Some(0), 0) => Outcome::not_judged("no attempt was made again, and none expected"),
        (Some(retried), least) if retried < least => Outcome::inconclusive(format!(
            "{} made again, and at least {least} expected: too little was tested",
            counted(retried, "attempt")
        )),
        (Some(retried), least) if plan.foreign.is_some() => {
            let attempts = counted(retried, "attempt");
            let said = format!(
                "{attempts} made again; whether any had failed, foreign workers do not say"
            );
            if least == 0 { Outcome::not_judged(said) } else { Outcome::inconclusive(said) }
        }
        (Some(retried), _) => {
            Outcome::pass(format!("{} failed and made again", counted(retried, "attempt")))
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
    use std::collections::BTreeMap;
    use ttg_contract::builtin::fails_on_purpose;

    fn judged(expected: u64, attempts: Option<u64>) -> String {
        let mut plan = plan();
        plan.expect.retries_min = expected;
        let history = History::of(plan);
        let history = match attempts {
            Some(attempts) => {
                history.with(40.0, Event::Retried { attempts, chunks: BTreeMap::new() })
            }
            None => history,
        };
        told(&history.judged_by(judge))
    }

    #[test]
    fn of_foreign_workers_nobody_knows_whether_anything_had_failed() {
        let retried = |expected: u64| {
            let mut plan = plan();
            plan.expect.retries_min = expected;
            plan.foreign = Some(Foreign { command: vec!["w".into()], image: None, workers: 3 });
            let retried = Event::Retried { attempts: 2, chunks: BTreeMap::new() };
            told(&History::of(plan).with(40.0, retried).judged_by(judge))
        };
        assert_snapshot!(retried(0), @"not judged: 2 attempts made again; whether any had failed, foreign workers do not say");
        assert_snapshot!(retried(2), @"inconclusive: 2 attempts made again; whether any had failed, foreign workers do not say");
    }

    #[test]
    fn as_many_as_expected_pass() {
        assert_snapshot!(judged(2, Some(2)), @"pass: 2 attempts failed and made again");
        assert_snapshot!(judged(0, Some(0)), @"not judged: no attempt was made again, and none expected");
        assert_snapshot!(judged(0, None), @"not judged: not known, and none expected");
    }

    /// Chunk 31 was attempted once more, where this share of the attempts fails.
    fn again(rate: f64, chunk: u64) -> String {
        let mut plan = plan();
        plan.env.insert("SIMULATE_FAULT_RATE".into(), rate.to_string());
        let chunks = [(crate::words::chunk_id(chunk), 1)].into();
        told(&History::of(plan).with(40.0, Event::Retried { attempts: 1, chunks }).judged_by(judge))
    }

    #[test]
    fn a_retry_that_no_failure_explains_fails() {
        assert_snapshot!(again(0.0, 31), @r"
        fail: 1 chunk attempted again though no failure explains it
        - chunk 00031 was attempted again after 1 failure, of which 0 happened
        ");
        let fails = |chunk: &u64| fails_on_purpose(plan().seed, 0.2, *chunk, 0);
        let failing = (0..100).find(fails).unwrap();
        let sound = (0..100).find(|chunk| !fails(chunk)).unwrap();
        assert!(again(0.2, failing).starts_with("pass"), "{}", again(0.2, failing));
        assert!(again(0.2, sound).starts_with("fail"), "{}", again(0.2, sound));
    }

    #[test]
    fn why_a_program_of_the_users_own_failed_is_not_known_and_may_be() {
        let mut plan = plan();
        plan.sweep.kernel = crate::plan::Kernel::Exec { command: vec!["./simulate".into()] };
        let chunks = [("00031".to_owned(), 1)].into();
        let history = History::of(plan).with(40.0, Event::Retried { attempts: 1, chunks });
        assert!(told(&history.judged_by(judge)).starts_with("pass"));
    }

    #[test]
    fn fewer_than_expected_say_nothing_of_retries() {
        assert_snapshot!(judged(2, Some(1)), @"inconclusive: 1 attempt made again, and at least 2 expected: too little was tested");
        assert_snapshot!(judged(1, Some(0)), @"inconclusive: 0 attempts made again, and at least 1 expected: too little was tested");
        assert_snapshot!(judged(1, None), @"inconclusive: not known, and at least 1 attempt expected");
    }
}
