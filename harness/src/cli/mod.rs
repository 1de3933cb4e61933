//! The command line of `harness`.

mod check;
mod cleanup;
mod cluster;
mod compare;
mod doctor;
mod faults;
mod interrupts;
mod list;
mod run;
mod run_args;
mod selftest;
mod several;
mod silence;
mod soak;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ttg_system::cli::Hooks;

use crate::docker;
use crate::environment::{guard, janitor, reaper};
use crate::exit::Exit;
use crate::plan::ClusterChoice;
use crate::report::{could_not_say, tell, unsaid};

const AFTER_HELP: &str = "\
Exit codes: 0 pass, 1 fail, 2 inconclusive, 64 the scenario or the arguments are wrong, \
69 the environment cannot be had, 70 a defect of ours.

Examples:
  harness run quickstart
  harness run scenarios/m2-redis-fault.yaml --seed 7 --keep
  harness run scenarios/embedded-fault.yaml --backend redis --set workers=5
  harness check runs/quickstart/latest";

/// Runs parameter sweeps under faults, and says whether every parameter was counted exactly once.
#[derive(Debug, Parser)]
#[command(name = "harness", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry scenarios out and judge them.
    Run(run_args::Args),
    /// Judge a run again, from the files in its directory alone.
    Check {
        /// `runs/<scenario>/<time>`, or `latest` there.
        directory: PathBuf,
    },
    /// Set runs of several scenarios beside each other.
    Compare(compare::Args),
    /// List the scenarios of a directory.
    List {
        /// Where they are; without it `scenarios`, or where that is not, those that are built in.
        directory: Option<PathBuf>,
    },
    /// Show every fault as a table: what it does, to whom, what it is told, and where it is refused.
    Faults(faults::Args),
    /// Say what of brokers, Docker and Kubernetes is here, and what each lack costs.
    Doctor(doctor::Args),
    /// Make a cluster of kind on this machine, or remove it.
    Cluster(cluster::Args),
    /// Remove what harnesses that run no more have left behind.
    Cleanup(cleanup::Args),
    /// Show that planted defects are caught, and that the correct system passes.
    Selftest(selftest::Args),
    /// Run random chaos, one seed after another, and say what all of it came to.
    Soak(soak::Args),
    /// Be a role of the system: coordinator, worker or aggregate.
    #[command(disable_help_flag = true)]
    System {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Be a role of a broken system.
    #[command(hide = true, disable_help_flag = true)]
    Defect {
        name: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// End what a run leaves behind, once standard input ends.
    #[command(hide = true, name = janitor::SUBCOMMAND, disable_help_flag = true)]
    Janitor {
        mark: OsString,
        #[arg(long)]
        containers: bool,
        #[arg(long)]
        context: Option<String>,
        #[arg(long)]
        namespace: Option<String>,
    },
    /// Take memory until the kernel ends another process of this container.
    #[command(hide = true, name = docker::EXHAUST_SUBCOMMAND)]
    ExhaustMemory,
}

/// Runs `harness` with these arguments, the first of which is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if ttg_system::kernel::lead_if_asked(&arguments) {
        return Exit::Pass.into();
    }
    if let Some(exit) = above_a_program(&arguments) {
        return exit.into();
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return told_by_clap(&error).into(),
    };
    match cli.command {
        Command::Run(args) => said(run::main(&args)).into(),
        Command::Check { directory } => said(check::main(&directory)).into(),
        Command::Compare(args) => said(compare::main(&args)).into(),
        Command::List { directory } => said(list::main(directory.as_deref())).into(),
        Command::Faults(args) => said(faults::main(&args)).into(),
        Command::Doctor(args) => said(doctor::main(&args)).into(),
        Command::Cluster(args) => said(cluster::main(&args)).into(),
        Command::Cleanup(args) => said(cleanup::main(&args)).into(),
        Command::Selftest(args) => said(selftest::main(&args)).into(),
        Command::Soak(args) => said(soak::main(&args)).into(),
        Command::System { arguments } => {
            ttg_system::cli::main(named("harness system", arguments), &Hooks::default())
        }
        Command::Defect { name, arguments } => match ttg_defects::find(&name) {
            Some(defect) => defect.main(named("harness defect", arguments)),
            None => problem(&format!("there is no defect {name:?}"), Exit::Usage).into(),
        },
        Command::ExhaustMemory => problem(&docker::exhaust_main(), Exit::Unavailable).into(),
        Command::Janitor { mark, containers, context, namespace } => {
            janitor::main(&mark, containers, &ClusterChoice { context, namespace });
            Exit::Pass.into()
        }
    }
}

/// What stands between the harness and every program that it starts: `reaper <mark> <program>
/// <arguments>` and `guard <parent> <program> <arguments>`. The command line of everything else need not
/// be made for that, twice for every process of a run.
fn above_a_program(arguments: &[OsString]) -> Option<Exit> {
    let [_, word, whose, program, rest @ ..] = arguments else { return None };
    match word.to_str()? {
        reaper::SUBCOMMAND => Some(match reaper::main(whose, program, rest) {
            Ok(()) => Exit::Pass,
            Err(reason) => problem(&reason, Exit::Unavailable),
        }),
        guard::SUBCOMMAND => {
            let parent = whose.to_str()?.parse().ok()?;
            Some(problem(&guard::become_program(parent, program, rest), Exit::Unavailable))
        }
        _ => None,
    }
}

fn named(program: &str, arguments: Vec<OsString>) -> impl Iterator<Item = OsString> {
    std::iter::once(program.into()).chain(arguments)
}

/// Help and version are no errors, and go to standard output.
fn told_by_clap(error: &clap::Error) -> Exit {
    let told = error.print().and_then(|()| std::io::stdout().flush());
    if error.use_stderr() {
        return Exit::Usage;
    }
    told.unwrap_or_else(|error| could_not_say(&error));
    said(Exit::Pass)
}

/// No exit is good where what led to it could not be written.
fn said(exit: Exit) -> Exit {
    match unsaid() {
        Some(reason) if exit == Exit::Pass => problem(&reason, Exit::Unavailable),
        _ => exit,
    }
}

fn problem(message: &str, exit: Exit) -> Exit {
    tell(format_args!("error: {message}"));
    exit
}
