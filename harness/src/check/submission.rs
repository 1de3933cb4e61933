//! Every chunk is submitted once.

use super::Outcome;
use crate::facts::Facts;
use crate::plan::{Backend, Plan};
use crate::words::counted;

pub(super) fn judge(plan: &Plan, facts: &Facts) -> Outcome {
    if plan.backend == Backend::Static {
        return Outcome::not_judged("static mode submits nothing");
    }
    if facts.resubmitted == 0 {
        return Outcome::pass("no chunk was submitted twice");
    }
    let chunks = counted(facts.resubmitted, "chunk");
    Outcome::fail(format!("{chunks} submitted other than once")).because(facts.resubmissions())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan, told};
    use super::*;
    use crate::history::Event;

    #[test]
    fn chunks_submitted_once_pass() {
        let outcome = History::of(plan()).judged_by(judge);
        insta::assert_snapshot!(told(&outcome), @"pass: no chunk was submitted twice");
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
}
