//! What many runs came to, together.

use std::collections::BTreeMap;
use std::fmt;

use crate::check::Finding;
use crate::plan::Backend;
use crate::results::Results;
use crate::verdict::Verdict;
use crate::words::counted;

/// One run in so many may be inconclusive: that a fault found nothing left to strike says nothing
/// of the system. What became of its parameters must be known all the same.
const MAY_BE_INCONCLUSIVE: u64 = 20;

/// What the runs so far came to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    passed: u64,
    inconclusive: u64,
    failed: u64,
    /// Runs of which it is not known what became of every parameter.
    uncovered: u64,
    params: u64,
    missing: u64,
    /// In those: it may have come later.
    missing_so_far: u64,
    duplicated: u64,
    by_contract: u64,
    redelivered: u64,
    /// How often each kind of fault took effect.
    bites: BTreeMap<String, u64>,
}

impl Tally {
    /// Takes a run in.
    pub fn add(&mut self, results: &Results) {
        match results.verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Inconclusive | Verdict::NotJudged => self.inconclusive += 1,
            Verdict::Fail => self.failed += 1,
        }
        let is_coverage = |it: &&Finding| it.check == "coverage";
        let coverage = results.findings.iter().find(is_coverage).map(|it| it.verdict);
        self.params += results.params;
        let missing = results.coverage.missing.count;
        if let Some(Verdict::Pass | Verdict::Fail) = coverage {
            self.missing += missing;
        } else {
            self.uncovered += 1;
            self.missing_so_far += missing;
        }
        // What the check of coverage passes is what the backend's contract allows.
        let stored_twice = results.coverage.duplicated.count;
        if results.backend == Backend::RabbitMq && coverage == Some(Verdict::Pass) {
            self.by_contract += stored_twice;
        } else {
            self.duplicated += stored_twice;
        }
        self.redelivered += results.redelivered.unwrap_or(0);
        for fault in results.faults.iter().filter(|fault| fault.bit) {
            *self.bites.entry(fault.kind.clone()).or_default() += 1;
        }
    }

    /// Runs so far.
    pub fn runs(&self) -> u64 {
        self.passed + self.inconclusive + self.failed
    }

    /// What they come to: the gravest, but that a few may be inconclusive of which every parameter
    /// is accounted for.
    pub fn verdict(&self) -> Verdict {
        let is_whole = self.uncovered == 0 && self.missing + self.duplicated == 0;
        if self.failed > 0 {
            Verdict::Fail
        } else if self.runs() == 0
            || !is_whole
            || self.inconclusive * MAY_BE_INCONCLUSIVE > self.runs()
        {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, inconclusive, failed, .. } = self;
        let runs = counted(self.runs(), "run");
        writeln!(
            f,
            "  {:<13} {runs}: {passed} passed, {failed} failed, {inconclusive} inconclusive",
            "verdicts"
        )?;
        let (params, missing, twice) = (self.params, self.missing, self.duplicated);
        writeln!(f, "  {:<13} {params}: {missing} missing, {twice} counted twice", "parameters")?;
        if self.uncovered > 0 {
            let (more, runs) = (self.missing_so_far, counted(self.uncovered, "run"));
            writeln!(f, "  {:<13} {more} more missing when the watching of {runs} ended", "")?;
        }
        if self.by_contract > 0 {
            let stored = self.by_contract;
            writeln!(f, "  {:<13} {stored} stored twice and counted once, as RabbitMQ allows", "")?;
        }
        let bites: u64 = self.bites.values().sum();
        let kinds: Vec<String> =
            self.bites.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let kinds =
            if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
        writeln!(f, "  {:<13} {bites} took effect{kinds}", "faults")?;
        write!(f, "  {:<13} {} beyond the first", "deliveries", self.redelivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, judged, plan, plan_with_kill};
    use crate::history::EndReason;

    fn of(verdicts: &[(Verdict, u64)]) -> Verdict {
        let mut tally = Tally::default();
        let passed = judged(&History::of(plan()));
        for (verdict, times) in verdicts {
            (0..*times).for_each(|_| tally.add(&Results { verdict: *verdict, ..passed.clone() }));
        }
        tally.verdict()
    }

    #[test]
    fn everything_is_counted() {
        let mut tally = Tally::default();
        tally.add(&judged(&History::of(plan_with_kill())));
        tally.add(&judged(&History::of(plan_with_kill()).without_chunk("00031")));
        insta::assert_snapshot!(tally, @r"
          verdicts      2 runs: 1 passed, 1 failed, 0 inconclusive
          parameters    2000: 10 missing, 0 counted twice
          faults        2 took effect: kill 2
          deliveries    2 beyond the first
        ");
    }

    #[test]
    fn one_failure_is_a_failure() {
        assert_eq!(of(&[(Verdict::Pass, 99), (Verdict::Fail, 1)]), Verdict::Fail);
    }

    #[test]
    fn a_twentieth_may_be_inconclusive_and_no_more() {
        assert_eq!(of(&[(Verdict::Pass, 19), (Verdict::Inconclusive, 1)]), Verdict::Pass);
        assert_eq!(of(&[(Verdict::Pass, 18), (Verdict::Inconclusive, 1)]), Verdict::Inconclusive);
    }

    #[test]
    fn of_no_run_may_the_coverage_be_inconclusive_and_the_text_says_so() {
        let passed = judged(&History::of(plan()));
        let cut = History::of(plan()).without_chunk("00099").ended(EndReason::Interrupted);
        let mut tally = Tally::default();
        (0..99).for_each(|_| tally.add(&passed));
        tally.add(&judged(&cut));
        assert_eq!((tally.failed, tally.verdict()), (0, Verdict::Inconclusive));
        insta::assert_snapshot!(tally, @"
          verdicts      100 runs: 99 passed, 0 failed, 1 inconclusive
          parameters    100000: 0 missing, 0 counted twice
                        10 more missing when the watching of 1 run ended
          faults        0 took effect
          deliveries    0 beyond the first
        ");
    }

    #[test]
    fn what_is_missing_or_counted_twice_never_passes_whatever_the_runs_say() {
        let passed = judged(&History::of(plan()));
        for wrong in [
            |of: &mut Results| of.coverage.missing.count = 1,
            |of: &mut Results| {
                of.coverage.duplicated.count = 1;
            },
        ] {
            let mut results = passed.clone();
            wrong(&mut results);
            let mut tally = Tally::default();
            tally.add(&results);
            assert_eq!(tally.verdict(), Verdict::Inconclusive);
        }
    }

    #[test]
    fn no_runs_prove_nothing() {
        assert_eq!(of(&[]), Verdict::Inconclusive);
    }

    #[test]
    fn what_is_stored_twice_is_by_contract_only_on_rabbitmq_and_only_where_coverage_holds() {
        let passed = judged(&History::of(plan()));
        let failed = judged(&History::of(plan()).without_chunk("00031"));
        let told = |backend, results: &Results| {
            let mut results = Results { backend, ..results.clone() };
            results.coverage.duplicated.count = 10;
            let mut tally = Tally::default();
            tally.add(&results);
            (tally.duplicated, tally.by_contract)
        };
        assert_eq!(told(Backend::RabbitMq, &passed), (0, 10));
        assert_eq!(told(Backend::RabbitMq, &failed), (10, 0));
        assert_eq!(told(Backend::Redis, &passed), (10, 0));
    }
}
