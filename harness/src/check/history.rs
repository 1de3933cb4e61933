//! The history itself can be relied on.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::Plan;

pub(super) fn judge(_: &Plan, facts: &Facts) -> Outcome {
    if let Some(flaw) = &facts.flaw {
        return Outcome::inconclusive("the history is not whole").because(vec![flaw.clone()]);
    }
    if facts.ended.is_none() {
        return Outcome::inconclusive("the history does not reach to the end of the run");
    }
    Outcome::pass("whole, from the start of the run to its end")
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
}
