//! The history itself can be relied on: it reaches to the end of the run, its seal holds, and it does
//! not contradict itself. What it shows to be wrong is wrong even where it cannot be relied on: so no
//! other check looks at this, and a history that was changed is never better for it.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::Plan;

pub(super) fn judge(_: &Plan, facts: &Facts) -> Outcome {
    let contradictions = facts.contradictions();
    let summary = if facts.flaw.is_some() {
        "the history is not whole"
    } else if facts.ended.is_none() {
        "the history does not reach to the end of the run"
    } else if facts.unsealed.is_some() {
        "the history does not prove itself"
    } else if !contradictions.is_empty() {
        "the history contradicts itself"
    } else {
        return Outcome::pass("whole, from the start of the run to its end");
    };
    let why = facts.flaw.iter().chain(&facts.unsealed).cloned().chain(contradictions);
    Outcome::inconclusive(summary).because(why.collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;

    #[test]
    fn a_whole_history_passes() {
        assert!(told(&History::of(plan()).judged_by(judge)).starts_with("pass"));
    }

    #[test]
    fn a_history_with_a_flaw_is_inconclusive_and_says_which() {
        let mut facts = History::of(plan()).facts();
        facts.flaw = Some("no space left".into());
        insta::assert_snapshot!(told(&judge(&plan(), &facts)), @r"
        inconclusive: the history is not whole
        - no space left
        ");
    }

    #[test]
    fn a_history_without_an_end_is_inconclusive() {
        let history = History::of(plan()).without(|event| matches!(event, Event::RunEnded { .. }));
        insta::assert_snapshot!(told(&history.judged_by(judge)), @"inconclusive: the history does not reach to the end of the run");
    }

    #[test]
    fn a_history_whose_seal_does_not_hold_is_inconclusive_and_says_why() {
        let mut facts = History::of(plan()).facts();
        facts.unsealed = Some("the history is not sealed".into());
        insta::assert_snapshot!(told(&judge(&plan(), &facts)), @r"
        inconclusive: the history does not prove itself
        - the history is not sealed
        ");
    }

    #[test]
    fn a_history_that_contradicts_itself_is_inconclusive_and_says_where() {
        let history = History::of(plan()).with(40.0, Event::SweepStarted);
        insta::assert_snapshot!(told(&history.judged_by(judge)), @r"
        inconclusive: the history contradicts itself
        - the sweep started twice
        ");
    }
}
