//! Parameters per second, from the first task submitted to the last result committed.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::Plan;

/// The figure, where there is one.
pub(crate) fn per_second(facts: &Facts) -> Option<f64> {
    let committed = facts.ledger.committed().len();
    facts.wall_s().filter(|_| committed > 0).map(|wall| committed as f64 / wall)
}

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    match (per_second(facts), plan.expect.throughput_min) {
        (None, None) => Outcome::pass("not known, and not judged"),
        (None, Some(_)) => Outcome::inconclusive("not known: too little was committed to tell"),
        (Some(rate), None) => Outcome::pass(format!("{rate:.1} parameters/s, not judged")),
        (Some(rate), Some(least)) if rate >= least => {
            Outcome::pass(format!("{rate:.1} parameters/s, at least {least} expected"))
        }
        (Some(rate), Some(least)) => {
            Outcome::fail(format!("{rate:.1} parameters/s, and at least {least} expected"))
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
        insta::assert_snapshot!(judged(&History::of(plan())), @"pass: 29.4 parameters/s, not judged");
    }
}
