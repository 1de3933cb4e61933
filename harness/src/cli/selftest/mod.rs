//! `harness selftest`: a harness is worth something once it has been seen to fail.

mod case;
mod jobs;
mod matrix;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use ttg_defects::Defect;

use super::problem;
use super::run_args::backend;
use crate::environment::has_broker;
use crate::exit::Exit;
use crate::plan::Backend;
use crate::report::say;
use crate::report::terminal::{WIDTH, wrapped};
use case::Cases;

/// Backends on which defects can be planted.
const BACKENDS: [Backend; 3] = [Backend::Embedded, Backend::Redis, Backend::RabbitMq];

/// Columns of a defect's name.
const NAME: usize = 30;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only these defects.
    #[arg(value_name = "DEFECT")]
    only: Vec<String>,
    /// Where the shipped scenarios are.
    #[arg(long, default_value = "scenarios", value_name = "DIRECTORY")]
    scenarios: PathBuf,
    /// Only this backend; without it, every one that this machine has.
    #[arg(long, value_parser = backend)]
    backend: Option<Backend>,
    /// Where run directories go.
    #[arg(long, default_value = "runs/selftest", value_name = "DIRECTORY")]
    out: PathBuf,
    /// How many runs go on at once.
    #[arg(long, default_value = "6", value_name = "N")]
    jobs: NonZeroUsize,
    /// List the defects, and run nothing.
    #[arg(long)]
    list: bool,
}

pub(super) fn main(args: &Args) -> Exit {
    let chosen = match chosen(args) {
        Ok(chosen) => chosen,
        Err(message) => return problem(&message, Exit::Usage),
    };
    if args.list {
        chosen.iter().for_each(|defect| list(defect));
        return Exit::Pass;
    }
    let cases = match Cases::new(&chosen, &backends(args), &args.scenarios) {
        Ok(cases) => cases,
        Err(message) => return problem(&message, Exit::Usage),
    };
    jobs::run(&cases, args.jobs.get(), &args.out)
}

/// The defects that are asked for, and that the backend allows.
fn chosen(args: &Args) -> Result<Vec<&'static Defect>, String> {
    if let Some(name) = args.only.iter().find(|name| ttg_defects::find(name).is_none()) {
        let names: Vec<&str> = ttg_defects::all().map(|defect| defect.name).collect();
        return Err(format!("there is no defect {name:?} (valid: {})", names.join(", ")));
    }
    let possible =
        |defect: &&Defect| args.backend.is_none_or(|backend| defect.on.contains(&backend.name()));
    let asked = |defect: &&Defect| args.only.iter().any(|name| name == defect.name);
    if let Some(backend) = args.backend
        && let Some(defect) = ttg_defects::all().find(|it| asked(it) && !possible(it))
    {
        let (name, on) = (defect.name, defect.on.join(" or "));
        return Err(format!("{name} cannot be planted on {backend} (choose {on})"));
    }
    let wanted = |defect: &&Defect| possible(defect) && (args.only.is_empty() || asked(defect));
    Ok(ttg_defects::all().filter(wanted).collect())
}

/// The backend that is asked for, or those that are here. What is not here is said.
fn backends(args: &Args) -> Vec<Backend> {
    if let Some(backend) = args.backend {
        return vec![backend];
    }
    let (here, not): (Vec<Backend>, Vec<Backend>) =
        BACKENDS.into_iter().partition(|backend| has_broker(*backend));
    for backend in not {
        say(format_args!(
            "not run {:10}it is not installed here (see harness doctor)\n",
            backend.name()
        ));
    }
    here
}

fn list(defect: &Defect) {
    let backends = if defect.on.len() == BACKENDS.len() {
        String::new()
    } else {
        format!(" ({} only)", defect.on.join(" and "))
    };
    let mut name = defect.name;
    for line in wrapped(&format!("{}{backends}", defect.summary), WIDTH - NAME) {
        say(format_args!("{name:NAME$}{line}\n"));
        name = "";
    }
}
