//! Parameters per second, from the first task submitted to the last result committed.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::Plan;
use crate::words::beside;

/// The figure, where there is one.
pub(crate) fn per_second(facts: &Facts) -> Option<f64> {
    let committed = facts.ledger.committed().len();
    facts.wall_s().filter(|_| committed > 0).map(|wall| committed as f64 / wall)
}

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    match (per_second(facts), plan.expect.throughput_min) {
        (None, None) => Outcome::not_judged("not known"),
        (None, Some(_)) => Outcome::inconclusive("not known: too little was committed to tell"),
        (Some(rate), None) => Outcome::not_judged(format!("{rate:.1} parameters/s")),
        (Some(rate), Some(least)) => {
            let is = beside(rate, least, 1);
            if rate >= least {
                Outcome::pass(format!("{is} parameters/s, at least {least} expected"))
            } else {
                Outcome::fail(format!("{is} parameters/s, and at least {least} expected"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;

    fn expecting(least: f64) -> Plan {
        let mut plan = plan();
        plan.expect.throughput_min = Some(least);
        plan
    }

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn a_throughput_that_is_high_enough_passes() {
        insta::assert_snapshot!(judged(&History::of(expecting(29.0))), @"pass: 29.4 parameters/s, at least 29 expected");
    }

    #[test]
    fn a_difference_beyond_the_first_digit_is_shown() {
        insta::assert_snapshot!(judged(&History::of(expecting(29.4))), @"pass: 29.41 parameters/s, at least 29.4 expected");
        insta::assert_snapshot!(judged(&History::of(expecting(29.42))), @"fail: 29.4 parameters/s, and at least 29.42 expected");
    }

    #[test]
    fn a_throughput_that_is_too_low_fails() {
        insta::assert_snapshot!(judged(&History::of(expecting(30.0))), @"fail: 29.4 parameters/s, and at least 30 expected");
    }

    #[test]
    fn an_expected_throughput_that_is_not_known_is_inconclusive() {
        let nothing = |event: &Event| matches!(event, Event::SweepStarted);
        insta::assert_snapshot!(judged(&History::of(expecting(1.0)).without(nothing)), @"inconclusive: not known: too little was committed to tell");
    }

    #[test]
    fn a_throughput_that_is_not_expected_is_not_judged() {
        insta::assert_snapshot!(judged(&History::of(plan())), @"not judged: 29.4 parameters/s");
    }
}
