//! Every planned fault struck, was proved to have taken effect, and struck something that mattered.

use super::{Outcome, untested};
use crate::facts::{Facts, Strike};
use crate::plan::{Plan, PlannedFault, Target, Trigger};
use crate::words::{counted, quoted, seconds};

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    if plan.faults.is_empty() {
        return Outcome::not_judged("none planned");
    }
    let without_bite: Vec<String> =
        plan.faults.iter().filter_map(|fault| no_bite(plan, fault, facts)).collect();
    let all = counted(plan.faults.len() as u64, "fault");
    if without_bite.is_empty() {
        return Outcome::pass(format!("{all} planned, proved to have taken effect"));
    }
    Outcome::inconclusive(format!("{} of {all} did not bite", without_bite.len()))
        .because(without_bite)
}

/// Why nothing is tested by this fault, if so.
fn no_bite(plan: &Plan, fault: &PlannedFault, facts: &Facts) -> Option<String> {
    let strikes: Vec<&Strike> =
        facts.strikes.iter().filter(|strike| fault.owns(&strike.fault)).collect();
    // A node is struck with all who are on it.
    let is_whole = |strike: &Strike| match fault.target {
        Target::Node(_) => {
            strikes.iter().filter(|other| other.fault == strike.fault).all(|it| it.bit)
        }
        _ => strike.bit,
    };
    let mut first = None;
    for strike in strikes.iter().copied().filter(|strike| is_whole(strike)) {
        // One that tested something is enough.
        let why = untested::why(plan, facts, strike)?;
        first.get_or_insert((strike, why));
    }
    if let Some((strike, why)) = first {
        return Some(format!("{}, on {}: {why}", fault.name, quoted(&strike.target)));
    }
    Some(strikes.iter().find(|strike| !strike.bit).map_or_else(
        || format!("{}: {}", fault.name, never_triggered(fault)),
        |strike| format!("{}, on {}: {}", fault.name, strike.target, quoted(&strike.proof)),
    ))
}

/// Why a fault that never struck did not.
pub(crate) fn never_triggered(fault: &PlannedFault) -> String {
    match &fault.trigger {
        Trigger::Start => "the sweep ended before it struck anybody".to_owned(),
        Trigger::Submitted(percent) => format!("{percent} % were never seen to be submitted"),
        Trigger::Progress(percent) => format!("the sweep ended before {percent} %"),
        Trigger::Time(after) => format!("the sweep ended before {}", seconds(after.as_secs_f64())),
        Trigger::After(other) => format!("the sweep ended before {other} was over"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, plan_with_kill, told};
    use super::*;
    use crate::history::Event;
    use crate::plan::Occupant;
    use insta::assert_snapshot;

    fn judged(history: &History) -> String {
        told(&history.judged_by(judge))
    }

    #[test]
    fn where_no_fault_is_planned_nothing_is_judged() {
        assert_snapshot!(judged(&History::of(plan())), @"not judged: none planned");
    }

    #[test]
    fn a_fault_that_bit_passes() {
        assert_snapshot!(judged(&History::of(plan_with_kill())), @"pass: 1 fault planned, proved to have taken effect");
    }

    #[test]
    fn a_fault_that_did_not_bite_is_inconclusive_with_the_reason() {
        let history = History::of(plan_with_kill()).spoil(|record| {
            if let Event::FaultInjected { bit, proof, .. } = &mut record.event {
                (*bit, *proof) = (false, "process 101 had already exited".into());
            }
        });
        assert_snapshot!(judged(&history), @r"
        inconclusive: 1 of 1 fault did not bite
        - kill-1, on worker-1: process 101 had already exited
        ");
    }

    #[test]
    fn a_fault_that_was_never_triggered_is_inconclusive() {
        let history = History::of(plan_with_kill())
            .without(|event| matches!(event, Event::FaultInjected { .. }));
        assert_snapshot!(judged(&history), @r"
        inconclusive: 1 of 1 fault did not bite
        - kill-1: the sweep ended before 30 %
        ");
    }

    #[test]
    fn a_worker_that_was_struck_after_the_last_result_tests_nothing() {
        let mut history = History::of(plan_with_kill());
        let last_s = history.facts().last_result_s.unwrap();
        history = history.spoil(|record| {
            if let Event::FaultInjected { .. } = record.event {
                record.t_s = last_s + 0.1;
            }
        });
        assert_snapshot!(judged(&history), @r"
        inconclusive: 1 of 1 fault did not bite
        - kill-1, on worker-1: it struck after the last result
        ");
    }

    #[test]
    fn one_bite_among_several_targets_is_enough() {
        let mut history = History::of(plan_with_kill());
        let is_strike = |event: &Event| matches!(event, Event::FaultInjected { .. });
        let mut other =
            history.records.iter().find(|record| is_strike(&record.event)).unwrap().event.clone();
        if let Event::FaultInjected { bit, target, .. } = &mut other {
            (*bit, *target) = (false, "worker-2".into());
        }
        history = history.with(11.0, other);
        assert!(judged(&history).starts_with("pass"));
    }

    #[test]
    fn a_node_is_struck_with_all_who_are_on_it_or_not_at_all() {
        let judged_with = |bit: bool| {
            let mut plan = plan_with_kill();
            plan.faults[0].target = Target::Node(Occupant::Busy);
            let mut history = History::of(plan);
            let is_strike = |event: &Event| matches!(event, Event::FaultInjected { .. });
            let mut other = history
                .records
                .iter()
                .find(|record| is_strike(&record.event))
                .map(|record| record.event.clone())
                .unwrap();
            if let Event::FaultInjected { bit: bites, target, proof, .. } = &mut other {
                (*bites, *target, *proof) = (bit, "node-1".into(), "one of two stayed".into());
            }
            history = history.with(11.0, other);
            judged(&history)
        };
        assert!(judged_with(true).starts_with("pass"));
        assert_snapshot!(judged_with(false), @r"
        inconclusive: 1 of 1 fault did not bite
        - kill-1, on node-1: one of two stayed
        ");
    }
}
