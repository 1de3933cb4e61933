//! Attempts failed and were made again, where the scenario is about that.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::Plan;
use crate::words::counted;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
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
    use insta::assert_snapshot;

    fn judged(expected: u64, attempts: Option<u64>) -> String {
        let mut plan = plan();
        plan.expect.retries_min = expected;
        let history = History::of(plan);
        let history = match attempts {
            Some(attempts) => history.with(40.0, Event::Retried { attempts }),
            None => history,
        };
        told(&history.judged_by(judge))
    }

    #[test]
    fn as_many_as_expected_pass() {
        assert_snapshot!(judged(2, Some(2)), @"pass: 2 attempts failed and made again");
        assert_snapshot!(judged(0, Some(0)), @"not judged: no attempt was made again, and none expected");
        assert_snapshot!(judged(0, None), @"not judged: not known, and none expected");
    }

    #[test]
    fn fewer_than_expected_say_nothing_of_retries() {
        assert_snapshot!(judged(2, Some(1)), @"inconclusive: 1 attempt made again, and at least 2 expected: too little was tested");
        assert_snapshot!(judged(1, Some(0)), @"inconclusive: 0 attempts made again, and at least 1 expected: too little was tested");
        assert_snapshot!(judged(1, None), @"inconclusive: not known, and at least 1 attempt expected");
    }
}
