//! What must be true of a run, one file per property: each looks at the plan and at the facts,
//! and comes to a finding.

mod aggregate;
mod coverage;
mod dead;
mod duplicates;
mod duration;
mod efficiency;
mod ending;
mod faults;
mod finish;
mod history;
mod limit;
pub(crate) mod machine;
mod other_aggregate;
mod processes;
mod recovery;
mod reports;
mod retries;
mod settled;
mod stored;
mod submission;
#[cfg(test)]
pub(crate) mod testing;
mod throughput;
mod unsettled;
mod untested;
mod values;
mod wiped;
mod workers;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::plan::Plan;
use crate::verdict::Verdict;

pub(crate) use efficiency::share as efficiency_share;
pub(crate) use faults::never_triggered;
pub(crate) use processes::{are_alike, how};
pub use recovery::Recovery;
pub(crate) use throughput::per_second as throughput_per_second;
pub(crate) use untested::proof;

/// Every check, in the order of reports: a name, and what judges.
const CHECKS: &[(&str, Check)] = &[
    ("ending", ending::judge),
    (COVERAGE, coverage::judge),
    ("workers", workers::judge),
    ("values", values::judge),
    ("settled", settled::judge),
    ("stored", stored::judge),
    ("submission", submission::judge),
    ("aggregate", aggregate::judge),
    ("faults", faults::judge),
    ("processes", processes::judge),
    ("recovery", recovery::judge),
    ("retries", retries::judge),
    ("throughput", throughput::judge),
    ("duration", duration::judge),
    ("finish", finish::judge),
    ("efficiency", efficiency::judge),
    ("history", history::judge),
];

/// The check of what all others serve: that every parameter counts once.
pub(crate) const COVERAGE: &str = "coverage";

/// Judges one property.
pub type Check = fn(&Plan, &Facts) -> Outcome;

/// What a check comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Not judged, pass, inconclusive or fail.
    pub verdict: Verdict,
    /// One line.
    pub summary: String,
    /// What the verdict rests on, one line each, the most telling first.
    pub evidence: Vec<String>,
}

impl Outcome {
    /// An outcome without evidence.
    pub fn new(verdict: Verdict, summary: impl Into<String>) -> Self {
        Self { verdict, summary: summary.into(), evidence: Vec::new() }
    }

    /// What was expected was observed.
    pub fn pass(summary: impl Into<String>) -> Self {
        Self::new(Verdict::Pass, summary)
    }

    /// Nothing is expected here, or there is nothing that it could be said of. That is no pass.
    pub fn not_judged(summary: impl Into<String>) -> Self {
        Self::new(Verdict::NotJudged, summary)
    }

    /// Nothing can be said either way.
    pub fn inconclusive(summary: impl Into<String>) -> Self {
        Self::new(Verdict::Inconclusive, summary)
    }

    /// Something else than expected was observed.
    pub fn fail(summary: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, summary)
    }

    /// The same, with this evidence.
    #[must_use]
    pub fn because(mut self, evidence: Vec<String>) -> Self {
        self.evidence = evidence;
        self
    }
}

/// What a check of this name came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check's name.
    pub check: String,
    /// Not judged, pass, inconclusive or fail.
    pub verdict: Verdict,
    /// One line.
    pub summary: String,
    /// What the verdict rests on, one line each, the most telling first.
    pub evidence: Vec<String>,
}

/// What every check came to.
pub fn judge_all(plan: &Plan, facts: &Facts) -> Vec<Finding> {
    let lack = facts.crash.clone().or_else(|| machine::lack(plan, facts));
    let judge = |(name, check): &(&str, Check)| {
        let finding = judge_safely(name, *check, plan, facts);
        match &lack {
            Some(lack) => machine::excuse(finding, facts, lack),
            None => finding,
        }
    };
    CHECKS.iter().map(judge).collect()
}

/// A check that crashes has found nothing out: that is inconclusive, never a pass.
fn judge_safely(name: &str, check: Check, plan: &Plan, facts: &Facts) -> Finding {
    let outcome = catch_unwind(AssertUnwindSafe(|| check(plan, facts))).unwrap_or_else(|panic| {
        let said = panic_message(&*panic);
        Outcome::inconclusive("the check itself crashed: a defect of the harness")
            .because(vec![format!("it said: {}", crate::words::quoted(said))])
    });
    let Outcome { verdict, summary, evidence } = outcome;
    Finding { check: name.to_owned(), verdict, summary, evidence }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("nothing")
}

#[cfg(test)]
mod tests {
    use super::testing::{History, plan};
    use super::*;

    #[test]
    fn a_check_that_crashes_is_inconclusive_and_says_what_it_said() {
        let finding =
            judge_safely("broken", |_, _| panic!("at the disco"), &plan(), &Facts::new(&plan()));
        assert_eq!(finding.verdict, Verdict::Inconclusive);
        assert_eq!(finding.evidence, ["it said: at the disco"]);
    }

    #[test]
    fn a_correct_history_passes_every_check_of_which_something_is_expected() {
        let history = History::of(plan());
        let (mut passed, mut not_judged) = (Vec::new(), Vec::new());
        for finding in judge_all(&history.plan, &history.facts()) {
            match finding.verdict {
                Verdict::Pass => passed.push(finding.check),
                Verdict::NotJudged => not_judged.push(finding.check),
                _ => panic!("{finding:?}"),
            }
        }
        let judged = [
            "ending",
            "coverage",
            "workers",
            "values",
            "settled",
            "stored",
            "submission",
            "aggregate",
            "processes",
            "history",
        ];
        assert_eq!(passed, judged);
        let expects_nothing =
            ["faults", "recovery", "retries", "throughput", "duration", "finish", "efficiency"];
        assert_eq!(not_judged, expects_nothing);
    }

    #[test]
    fn no_history_at_all_passes_nothing_that_matters() {
        let findings = judge_all(&plan(), &Facts::new(&plan()));
        assert_eq!(findings[0].verdict, Verdict::Inconclusive, "{:?}", findings[0]);
        assert!(findings.iter().all(|finding| finding.verdict != Verdict::Fail), "{findings:?}");
    }
}
