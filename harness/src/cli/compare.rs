//! `harness compare`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::problem;
use crate::compare::{self, Form};
use crate::exit::Exit;
use crate::report;
use crate::verdict::Verdict;

const EXAMPLES: &str = "\
Runs of one scenario, given several times, are told as median (minimum-maximum).

Examples:
  harness compare --table m3 runs/m3-*/latest
  harness compare --table m3 --format markdown runs/m3-redis/* runs/m3-rabbitmq/*";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which table.
    #[arg(long)]
    table: Name,
    /// In which form.
    #[arg(long, default_value = "text")]
    format: Form,
    /// Directories of runs: `runs/<scenario>/<time>`, or `latest` there.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Redis beside RabbitMQ, without and with a fault.
    M3,
}

pub(super) fn main(args: &Args) -> Exit {
    let results = match compare::read(&args.runs) {
        Ok(results) => results,
        Err(error) => return problem(&error, Exit::Usage),
    };
    let Name::M3 = args.table;
    report::say(format_args!("{}", compare::write(&compare::m3(&results), args.format)));
    Verdict::gravest(results.iter().map(|run| run.verdict)).into()
}
