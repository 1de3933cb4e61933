//! `harness soak`: one random chaos after another, for as long as one likes.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::interrupts::Interrupts;
use super::problem;
use super::run::{Judged, carry_out_quietly};
use super::run_args::backend;
use super::silence::Silence;
use crate::exit::Exit;
use crate::history::EndReason;
use crate::plan::{Backend, Plan};
use crate::report::say;
use crate::run::RunError;
use crate::scenario::{self, Overrides};
use crate::soak::{self, Tally};
use crate::verdict::Verdict;
use crate::words::{counted, seconds};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How chunks reach workers: embedded, redis or rabbitmq.
    #[arg(long, value_parser = recovering)]
    backend: Backend,
    /// How many scenarios are run, each of a seed of its own.
    #[arg(long, default_value = "200")]
    runs: NonZeroU32,
    /// The seed of the first scenario, from which the others follow; without one it is drawn, and
    /// printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Where run directories go. Those of runs that pass are removed.
    #[arg(long, default_value = "runs/soak", value_name = "DIRECTORY")]
    out: PathBuf,
    /// Go on when a run fails.
    #[arg(long)]
    keep_going: bool,
    /// A planted defect that takes the place of the system.
    #[arg(long, hide = true, value_name = "NAME")]
    defect: Option<String>,
}

pub(super) fn main(args: &Args) -> Exit {
    if let Some(name) = args.defect.as_deref().filter(|name| ttg_defects::find(name).is_none()) {
        return problem(&format!("there is no defect {name:?}"), Exit::Usage);
    }
    let mut interrupts = match Interrupts::listen() {
        Ok(interrupts) => interrupts,
        Err(error) => return problem(&error, Exit::Internal),
    };
    let begun = Instant::now();
    let seed = args.seed.unwrap_or_else(|| u64::from(fastrand::u32(..)));
    let runs = counted(args.runs.get().into(), "run");
    say(format_args!("soak of {}: {runs} from seed {seed}\n", args.backend));
    let mut tally = Tally::default();
    let mut stopped = None;
    for (at, seed) in seeds(seed).take(args.runs.get() as usize).enumerate() {
        let one = Instant::now();
        let of = args.runs;
        let _told = Silence::broken_by(move || {
            format!("{}/{of} seed {seed} goes on, {}", at + 1, seconds(one.elapsed().as_secs_f64()))
        });
        let judged = match run(args, seed) {
            Ok(judged) => judged,
            Err(exit) => {
                stopped = Some(exit);
                break;
            }
        };
        let interrupted = interrupts.came() || judged.why == EndReason::Interrupted;
        // What an interrupt cut short says nothing, not even that it says nothing.
        if interrupted && judged.results.verdict == Verdict::Inconclusive {
            forget(&judged.directory);
            stopped = Some(problem("interrupted", Exit::Inconclusive));
            break;
        }
        tally.add(&judged.results);
        tell(args, at + 1, seed, one.elapsed(), &judged);
        if judged.results.verdict == Verdict::Fail && !args.keep_going {
            break;
        }
        if interrupted {
            stopped = Some(problem("interrupted", Exit::Inconclusive));
            break;
        }
    }
    say(format_args!("{tally}\n  {:<13} {}\n", "time", seconds(begun.elapsed().as_secs_f64())));
    let exit = Exit::from(tally.verdict());
    // That it was stopped does not undo what was seen before.
    if exit == Exit::Fail { exit } else { stopped.unwrap_or(exit) }
}

/// The first is the seed itself, so that the run of any seed can be repeated alone. 32 bits: short
/// enough to be typed again.
fn seeds(first: u64) -> impl Iterator<Item = u64> {
    let mut rng = fastrand::Rng::with_seed(first);
    std::iter::once(first).chain(std::iter::repeat_with(move || u64::from(rng.u32(..))))
}

fn run(args: &Args, seed: u64) -> Result<Judged, Exit> {
    let name = soak::name(args.backend, seed);
    let text = soak::scenario(args.backend, seed);
    let plan = plan(&name, &text, args.defect.as_deref())?;
    let failed = |error: RunError| {
        let repeat = repeat(args, seed);
        problem(&format!("{error} (in the run that repeats as: {repeat})"), Exit::from(&error))
    };
    let judged = carry_out_quietly(&plan, &args.out).map_err(failed)?;
    if judged.results.verdict == Verdict::Pass {
        forget(&judged.directory);
    } else if let Err(error) = fs::write(judged.directory.join(format!("{name}.yaml")), text) {
        crate::report::tell(format_args!("warning: the scenario is not beside its run: {error}"));
    }
    Ok(judged)
}

/// What the generator makes is read like a file that somebody wrote.
fn plan(name: &str, text: &str, defect: Option<&str>) -> Result<Plan, Exit> {
    let overrides = Overrides { defect: defect.map(str::to_owned), ..Overrides::default() };
    scenario::from_text(Path::new(&format!("{name}.yaml")), text, &overrides).map_err(|error| {
        problem(&format!("the soak made a scenario that is not valid: {error}"), Exit::Internal)
    })
}

/// Removes a run of which there is nothing to be looked up.
fn forget(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    let Some(parent) = directory.parent() else { return };
    let latest = parent.join("latest");
    if fs::read_link(&latest).is_ok_and(|to| Some(to.as_os_str()) == directory.file_name()) {
        let _ = fs::remove_file(latest);
    }
    // Another run of the same seed that was kept keeps it.
    let _ = fs::remove_dir(parent);
}

fn tell(args: &Args, number: usize, seed: u64, took: Duration, judged: &Judged) {
    let results = &judged.results;
    let bites = results.faults.iter().filter(|fault| fault.bit).count() as u64;
    let (verdict, took) = (results.verdict, seconds(took.as_secs_f64()));
    let (runs, faults) = (args.runs, counted(bites, "fault"));
    say(format_args!("{number}/{runs} seed {seed} {verdict} {took}, {faults}\n"));
    if verdict == Verdict::Pass {
        return;
    }
    if let Some(why) = &results.why {
        say(format_args!("  why: {why}\n"));
    }
    for reason in &results.reasons {
        say(format_args!("  {reason}\n"));
    }
    say(format_args!("  {:<13} {}\n", "again", repeat(args, seed)));
    say(format_args!("  {:<13} {}\n", "run", judged.directory.display()));
}

/// The command that repeats the run of a seed alone.
fn repeat(args: &Args, seed: u64) -> String {
    let defect = args.defect.as_ref().map(|name| format!(" --defect {name}")).unwrap_or_default();
    format!("harness soak --backend {} --seed {seed} --runs 1{defect}", args.backend)
}

fn recovering(name: &str) -> Result<Backend, String> {
    match backend(name) {
        Ok(backend) if soak::BACKENDS.contains(&backend) => Ok(backend),
        _ => {
            let names = soak::BACKENDS.map(Backend::name).join(", ");
            Err(format!("there is no soak of that backend (valid: {names})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seed_is_the_one_that_was_given_and_the_others_follow_from_it() {
        let three = |first| seeds(first).take(3).collect::<Vec<_>>();
        assert_eq!(three(123_456)[0], 123_456);
        assert_eq!(three(123_456), three(123_456));
        assert_ne!(three(1)[1..], three(2)[1..]);
    }
}
