//! A run that its time limit ended: how far it had come, and what it would have needed. That is nobody's
//! fault, and no reason to pass.

use crate::facts::Facts;
use crate::plan::{Backend, Plan};
use crate::words::counted;

/// What is said of a run that its time limit ended.
pub(super) fn ended_by(plan: &Plan, facts: &Facts) -> String {
    let set = if plan.timeout_is_set { " that the scenario sets" } else { "" };
    let limit = plan.timeout.as_secs_f64();
    // Static workers have ranges instead of chunks.
    let (done, all, noun) = match plan.backend {
        Backend::Static => (facts.ledger.committed().len(), plan.sweep.params(), "parameter"),
        _ => (facts.ledger.chunks_committed(), plan.sweep.chunks(), "chunk"),
    };
    let said =
        format!("the time limit of {limit} s{set} ended the run: {done} of {}", counted(all, noun));
    let watched_s = facts.ended.zip(facts.sweep_started_s).map(|((end, _), begin)| end - begin);
    let rate = watched_s.filter(|it| *it > 0.0).map(|watched_s| done as f64 / watched_s);
    let Some(rate) = rate.filter(|_| done > 0) else { return said };
    let left = all.saturating_sub(done);
    if left == 0 {
        return format!("{said}, {}", each(rate));
    }
    let needed_s = (left as f64 / rate).ceil();
    format!("{said}, {}; {needed_s} s more would have been needed", each(rate))
}

/// So many in a second, or in a minute where that is less than ten.
fn each(rate: f64) -> String {
    if rate >= 10.0 {
        format!("{rate:.0} a second")
    } else if rate >= 1.0 {
        format!("{rate:.1} a second")
    } else {
        format!("{:.1} a minute", rate * 60.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use insta::assert_snapshot;

    use super::super::testing::{History, judged, plan, static_plan};
    use super::*;
    use crate::history::{EndReason, Event};
    use crate::verdict::Verdict;

    /// A run that its time limit ended when this chunk, and all after it, were not yet there.
    fn cut_off(mut plan: Plan, from: u64, is_set: bool) -> History {
        (plan.timeout, plan.timeout_is_set) = (Duration::from_secs(20), is_set);
        let history = History::of(plan).without(|event| match event {
            Event::Result(result) => {
                let start = result.chunk_id.split_once('-').map_or(&*result.chunk_id, |(_, it)| it);
                start.parse::<u64>().unwrap() >= from
            }
            Event::Aggregate(_) => true,
            _ => false,
        });
        history.ended(EndReason::TimedOut)
    }

    fn said(history: &History) -> String {
        ended_by(&history.plan, &history.facts())
    }

    #[test]
    fn it_says_how_far_the_run_had_come_and_what_was_left() {
        assert_snapshot!(said(&cut_off(plan(), 50, true)), @"the time limit of 20 s that the scenario sets ended the run: 50 of 100 chunks, 1.5 a second; 35 s more would have been needed");
        assert_snapshot!(said(&cut_off(plan(), 0, true)), @"the time limit of 20 s that the scenario sets ended the run: 0 of 100 chunks");
        assert_snapshot!(said(&cut_off(plan(), 100, true)), @"the time limit of 20 s that the scenario sets ended the run: 100 of 100 chunks, 2.9 a second");
        assert_snapshot!(said(&cut_off(plan(), 50, false)), @"the time limit of 20 s ended the run: 50 of 100 chunks, 1.5 a second; 35 s more would have been needed");
        assert_snapshot!(said(&cut_off(static_plan(), 500, true)), @"the time limit of 20 s that the scenario sets ended the run: 433 of 1000 parameters, 13 a second; 45 s more would have been needed");
    }

    #[test]
    fn rates_are_told_so_that_they_can_be_read() {
        assert_eq!([343.2, 9.87, 0.05].map(each), ["343 a second", "9.9 a second", "3.0 a minute"]);
    }

    #[test]
    fn a_run_that_was_cut_off_is_inconclusive_and_what_was_wrong_by_then_fails() {
        let results = judged(&cut_off(plan(), 50, true));
        assert_eq!(results.verdict, Verdict::Inconclusive, "{:?}", results.reasons);
        let twice = cut_off(plan(), 50, true);
        let again = twice.result_of("00007");
        assert_eq!(judged(&twice.with(20.0, again)).verdict, Verdict::Fail);
    }
}
