//! What is run: each defect on each backend where it can be, and the correct system through the same.

use std::path::{Path, PathBuf};

use ttg_defects::{Defect, Scenario};

use crate::plan::{Backend, Plan};
use crate::results::Results;
use crate::scenario::{self, Overrides};
use crate::verdict::Verdict;

/// A scenario and what is set in it, on a backend: what the correct system must pass, since a
/// scenario that fails by itself proves nothing.
pub(super) struct Ground {
    scenario: Scenario,
    set: &'static [(&'static str, &'static str)],
    pub(super) backend: Backend,
    pub(super) plan: Plan,
}

/// A defect on a backend.
pub(super) struct Planted {
    pub(super) defect: &'static Defect,
    pub(super) backend: Backend,
    pub(super) plan: Plan,
    /// Which of the grounds it is planted in.
    pub(super) ground: usize,
}

/// Everything that is run.
pub(super) struct Cases {
    pub(super) grounds: Vec<Ground>,
    pub(super) planted: Vec<Planted>,
}

impl Cases {
    /// All are read before any is run: a typing error in the last must not cost minutes.
    pub(super) fn new(
        defects: &[&'static Defect],
        backends: &[Backend],
        scenarios: &Path,
    ) -> Result<Self, String> {
        let mut cases = Self { grounds: Vec::new(), planted: Vec::new() };
        for backend in backends {
            for defect in defects.iter().filter(|it| it.on.contains(&backend.name())) {
                let plan = |broken| plan(defect, *backend, broken, scenarios);
                let ground = match cases.ground_of(defect, *backend) {
                    Some(ground) => ground,
                    None => {
                        cases.grounds.push(Ground {
                            scenario: defect.scenario,
                            set: defect.set,
                            backend: *backend,
                            plan: plan(false)?,
                        });
                        cases.grounds.len() - 1
                    }
                };
                let (backend, plan) = (*backend, plan(true)?);
                cases.planted.push(Planted { defect, backend, plan, ground });
            }
        }
        Ok(cases)
    }

    fn ground_of(&self, defect: &Defect, backend: Backend) -> Option<usize> {
        let same = |ground: &Ground| {
            (ground.scenario, ground.set, ground.backend) == (defect.scenario, defect.set, backend)
        };
        self.grounds.iter().position(same)
    }
}

fn plan(defect: &Defect, backend: Backend, broken: bool, scenarios: &Path) -> Result<Plan, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let planted = if broken { defect.planted } else { &[] };
    let overrides = Overrides {
        backend: Some(backend),
        seed: Some(1),
        set: defect.set.iter().chain(planted).map(owned).collect(),
        defect: broken.then(|| defect.name.to_owned()),
        ..Overrides::default()
    };
    let file = format!("{}.yaml", defect.scenario.name());
    let plan = match defect.scenario {
        Scenario::Shipped(_) => scenario::load(&scenarios.join(file), &overrides),
        Scenario::Own { text, .. } => scenario::from_text(&PathBuf::from(file), text, &overrides),
    };
    plan.map_err(|error| error.to_string())
}

/// The evidence by which a defect was caught, or why it was not.
pub(super) fn caught(defect: &Defect, results: &Results) -> Result<String, String> {
    if results.verdict != Verdict::Fail {
        return Err(format!("the verdict is {}, not fail", results.verdict.name()));
    }
    let findings = results.findings.iter().filter(|finding| finding.check == defect.check);
    let mut lines = findings
        .filter(|finding| finding.verdict == Verdict::Fail)
        .flat_map(|finding| std::iter::once(&finding.summary).chain(&finding.evidence));
    lines.find(|line| line.contains(defect.evidence)).cloned().ok_or_else(|| {
        let (check, wanted) = (defect.check, defect.evidence);
        format!("it failed, but {check} does not say {wanted:?}")
    })
}
