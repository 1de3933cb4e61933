//! `harness compare`.

use std::path::PathBuf;

use super::problem;
use super::run::carry_out;
use crate::compare::{self, Form, Name};
use crate::exit::Exit;
use crate::history::EndReason;
use crate::plan::Plan;
use crate::report::{self, summary};
use crate::results::Results;
use crate::scenario::{self, Overrides};
use crate::verdict::Verdict;

const EXAMPLES: &str = "\
Several runs of one scenario are told as median (minimum-maximum).

In a file that has the lines <!-- table: m3 --> and <!-- end of table: m3 -->,
--write replaces what is between them. Where GITHUB_STEP_SUMMARY names a file,
the table is also added to that.

Examples:
  harness compare runs/*/latest
  harness compare --table m3 runs/m3-*/latest
  harness compare --table m3 --repeat 3 scenarios/m3-*.yaml
  harness compare --table queues --format markdown --write queues.md runs/*/latest";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which table; m2 and m3 set the earlier system's figures beside the scenarios of that name.
    #[arg(long, default_value = "runs")]
    table: Name,
    /// In which form.
    #[arg(long, default_value = "text")]
    format: Form,
    /// How often scenarios are run, in turn.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Where run directories go.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    out: PathBuf,
    /// Also write the table into this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Directories of runs (`runs/<scenario>/<time>`, or `latest` there), and scenario files, which
    /// are run.
    #[arg(required = true, value_name = "RUN|SCENARIO")]
    runs: Vec<PathBuf>,
}

pub(super) fn main(args: &Args) -> Exit {
    let (files, directories): (Vec<_>, Vec<_>) =
        args.runs.iter().cloned().partition(|path| path.extension().is_some_and(is_yaml));
    if args.repeat > 1 && files.is_empty() {
        return problem("--repeat needs scenario files to run (runs are read once)", Exit::Usage);
    }
    // All are read before any is run: a typing error in the last must not cost an hour.
    let mut results = match compare::read(&directories) {
        Ok(results) => results,
        Err(error) => return problem(&error, Exit::Usage),
    };
    let plans = files.iter().map(|path| scenario::load(path, &Overrides::default()));
    let plans: Vec<Plan> = match plans.collect() {
        Ok(plans) => plans,
        Err(error) => return problem(&format!("{error}"), Exit::Usage),
    };
    // In turn, so that what changes on the machine meanwhile meets all of them.
    for plan in (0..args.repeat).flat_map(|_| &plans) {
        match carry_out(plan, &args.out, false) {
            Ok(judged) if judged.why == EndReason::Interrupted => {
                return problem("interrupted, so there is no table", Exit::Inconclusive);
            }
            Ok(judged) => results.push(judged.results),
            Err(error) => return problem(&error.to_string(), Exit::from(&error)),
        }
    }
    tell(args, &results)
}

fn is_yaml(extension: &std::ffi::OsStr) -> bool {
    extension == "yaml" || extension == "yml"
}

fn tell(args: &Args, results: &[Results]) -> Exit {
    let table = args.table.of(results);
    let text = compare::write(&table, args.format);
    report::say(format_args!("{text}"));
    summary::add(&compare::write(&table, Form::Markdown));
    if let Some(path) = &args.write
        && let Err(error) = compare::write_into(path, args.table.word(), &text)
    {
        return problem(&error, Exit::Usage);
    }
    Verdict::gravest(results.iter().map(|run| run.verdict)).into()
}
