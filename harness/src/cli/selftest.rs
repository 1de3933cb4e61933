//! `harness selftest`: a harness is worth something once it has been seen to fail.

use std::path::{Path, PathBuf};

use ttg_defects::Defect;

use super::problem;
use super::run::{Judged, backend, carry_out};
use crate::exit::Exit;
use crate::history::EndReason;
use crate::plan::{Backend, Plan};
use crate::report::say;
use crate::run::RunError;
use crate::scenario::{self, Overrides};
use crate::verdict::Verdict;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only these defects.
    #[arg(value_name = "DEFECT")]
    only: Vec<String>,
    /// Where the shipped scenarios are.
    #[arg(long, default_value = "scenarios", value_name = "DIRECTORY")]
    scenarios: PathBuf,
    /// Another backend than the scenarios'.
    #[arg(long, value_parser = backend)]
    backend: Option<Backend>,
    /// Where run directories go.
    #[arg(long, default_value = "runs/selftest", value_name = "DIRECTORY")]
    out: PathBuf,
    /// List the defects, and run nothing.
    #[arg(long)]
    list: bool,
}

/// A scenario's name and what is set in it.
type Scenario = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) fn main(args: &Args) -> Exit {
    if let Some(name) = args.only.iter().find(|name| ttg_defects::find(name).is_none()) {
        let names: Vec<&str> = ttg_defects::ALL.iter().map(|defect| defect.name).collect();
        let message = format!("there is no defect {name:?} (valid: {})", names.join(", "));
        return problem(&message, Exit::Usage);
    }
    let possible = |defect: &Defect| defect.on_rabbitmq || args.backend != Some(Backend::RabbitMq);
    let asked = |defect: &Defect| args.only.iter().any(|name| name == defect.name);
    if let Some(defect) = ttg_defects::ALL.iter().find(|it| asked(it) && !possible(it)) {
        let name = defect.name;
        let message = format!("{name} cannot be planted on rabbitmq (choose another backend)");
        return problem(&message, Exit::Usage);
    }
    let chosen = ttg_defects::ALL
        .iter()
        .filter(|defect| possible(defect) && (args.only.is_empty() || asked(defect)));
    let mut exit = Exit::Pass;
    let mut proved = Vec::new();
    for defect in chosen {
        if args.list {
            say(format_args!("{:28}{}\n", defect.name, defect.summary));
            continue;
        }
        match prove(defect, args, &mut proved) {
            Ok(Ok(evidence)) => say(format_args!("caught  {:28}{evidence}\n", defect.name)),
            Ok(Err(why)) => {
                say(format_args!("MISSED  {:28}{why}\n", defect.name));
                exit = Exit::Fail;
            }
            Err(error) => return error,
        }
    }
    exit
}

/// The evidence by which the defect was caught, or why it was not. `proved` are the plans that the
/// correct system has passed: a scenario that fails by itself proves nothing.
fn prove(
    defect: &'static Defect,
    args: &Args,
    proved: &mut Vec<Scenario>,
) -> Result<Result<String, String>, Exit> {
    let scenario = (defect.scenario, defect.set);
    if !proved.contains(&scenario) {
        let correct = run(defect, None, args)?;
        if correct.results.verdict != Verdict::Pass {
            let directory = correct.directory.display();
            return Ok(Err(format!("the correct system does not pass either: see {directory}")));
        }
        proved.push(scenario);
    }
    let broken = run(defect, Some(defect.name), args)?;
    Ok(evidence(defect, &broken))
}

fn evidence(defect: &Defect, broken: &Judged) -> Result<String, String> {
    let directory = broken.directory.display();
    let results = &broken.results;
    if results.verdict != Verdict::Fail {
        return Err(format!(
            "the verdict is {}, not fail: see {directory}",
            results.verdict.name()
        ));
    }
    let findings = results.findings.iter().filter(|finding| finding.check == defect.check);
    let mut lines = findings
        .filter(|finding| finding.verdict == Verdict::Fail)
        .flat_map(|finding| std::iter::once(&finding.summary).chain(&finding.evidence));
    lines.find(|line| line.contains(defect.evidence)).cloned().ok_or_else(|| {
        let (check, wanted) = (defect.check, defect.evidence);
        format!("it failed, but {check} does not say {wanted:?}: see {directory}")
    })
}

fn run(defect: &Defect, broken: Option<&str>, args: &Args) -> Result<Judged, Exit> {
    let path = args.scenarios.join(format!("{}.yaml", defect.scenario));
    let plan =
        plan(&path, defect, broken, args.backend).map_err(|error| problem(&error, Exit::Usage))?;
    let judged = carry_out(&plan, &args.out, false)
        .map_err(|error: RunError| problem(&error.to_string(), Exit::from(&error)))?;
    match judged.why {
        EndReason::Interrupted => Err(problem("interrupted", Exit::Inconclusive)),
        _ => Ok(judged),
    }
}

fn plan(
    path: &Path,
    defect: &Defect,
    broken: Option<&str>,
    backend: Option<Backend>,
) -> Result<Plan, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let overrides = Overrides {
        backend,
        seed: Some(1),
        set: defect.set.iter().map(owned).collect(),
        defect: broken.map(str::to_owned),
        ..Overrides::default()
    };
    scenario::load(path, &overrides).map_err(|error| error.to_string())
}
