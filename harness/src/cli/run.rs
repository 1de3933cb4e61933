//! `harness run`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::problem;
use super::run_args::Args;
use super::several::{self, CameTo, One};
use crate::exit::Exit;
use crate::history::{EndReason, Record, Recorder};
use crate::plan::Plan;
use crate::report::progress::Progress;
use crate::report::say;
use crate::report::{self, junit, markdown, summary, terminal};
use crate::results::{Judge, Results};
use crate::run::{self, RunDirectory, RunError};
use crate::scenario::{self, Overrides};
use crate::verdict::Verdict;

pub(super) fn main(args: &Args) -> Exit {
    let overrides = Overrides {
        backend: args.backend,
        environment: args.environment,
        context: args.context.clone(),
        namespace: args.namespace.clone(),
        seed: args.seed,
        set: args.set.clone(),
        defect: None,
        strict: args.strict,
    };
    // All are read before any is run: a typing error in the last must not cost an hour.
    let mut plans = Vec::new();
    for path in &args.scenarios {
        match scenario::load(path, &overrides) {
            Ok(plan) => plans.push(plan),
            Err(error) => return problem(&error.to_string(), Exit::Usage),
        }
    }
    // Likewise that the file cannot be written.
    if let Err(error) = write_junit(args.junit.as_deref(), &plans, &[]) {
        return problem(&error, Exit::Usage);
    }
    let mut all = Vec::new();
    let ended = run_all(args, &plans, &mut all);
    if plans.len() > 1 {
        tell_all(args, &plans, &all, ended.as_ref().err());
    }
    match ended {
        Ok(()) => Verdict::gravest(all.iter().map(|(results, _)| results.verdict)).into(),
        Err(NotBegun { why, exit }) => problem(&why, exit),
    }
}

/// Why a scenario could not be run to its verdict, and what that is to the caller.
struct NotBegun {
    why: String,
    exit: Exit,
}

/// Runs them one after another, and tells of each.
fn run_all(args: &Args, plans: &[Plan], all: &mut Vec<(Results, PathBuf)>) -> Result<(), NotBegun> {
    for (at, plan) in plans.iter().enumerate() {
        if at > 0 {
            say(format_args!("\n"));
        }
        let outcome = carry_out(plan, &args.out, args.keep)
            .map_err(|error| NotBegun { why: error.to_string(), exit: Exit::from(&error) })?;
        terminal::print(plan, &outcome.results);
        summary::add(&markdown::render(plan, &outcome.results));
        let dim = anstyle::Style::new().dimmed();
        say(format_args!("  {dim}{:<13}{dim:#} {}\n", "run", outcome.directory.display()));
        all.push((outcome.results, outcome.directory));
        let results: Vec<&Results> = all.iter().map(|(results, _)| results).collect();
        write_junit(args.junit.as_deref(), plans, &results)
            .map_err(|why| NotBegun { why, exit: Exit::Usage })?;
        if outcome.why == EndReason::Interrupted {
            break;
        }
    }
    Ok(())
}

/// Tells what all of them came to.
fn tell_all(args: &Args, plans: &[Plan], all: &[(Results, PathBuf)], ended: Option<&NotBegun>) {
    let each = args.scenarios.iter().zip(plans).enumerate().map(|(at, (said, plan))| {
        let came_to = match (all.get(at), ended) {
            (Some((results, directory)), _) => CameTo::Judged(results, directory.clone()),
            (None, Some(NotBegun { why, .. })) if at == all.len() => CameTo::NotBegun(why.clone()),
            (None, _) => CameTo::NotRun,
        };
        One { said, plan, came_to }
    });
    several::tell(args, &each.collect::<Vec<_>>());
}

/// Writes what there is, if it is asked for: the results of the first plans.
fn write_junit(path: Option<&Path>, plans: &[Plan], results: &[&Results]) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    let runs: Vec<_> = plans.iter().zip(results.iter().copied()).collect();
    std::fs::write(path, junit::render(&runs)).map_err(|error| {
        format!("cannot write {}: {error} (choose another file with --junit)", path.display())
    })
}

/// A run that has been judged.
pub(super) struct Judged {
    pub(super) results: Results,
    pub(super) directory: PathBuf,
    pub(super) why: EndReason,
}

/// Carries a plan out, judges it and writes its reports.
pub(super) fn carry_out(plan: &Plan, out: &Path, keep: bool) -> Result<Judged, RunError> {
    watched(plan, out, keep, |plan| Some(Progress::stderr(plan)))
}

/// The same, and nobody is told what happens while it does.
pub(super) fn carry_out_quietly(plan: &Plan, out: &Path) -> Result<Judged, RunError> {
    watched(plan, out, false, |_| None)
}

fn watched(
    plan: &Plan,
    out: &Path,
    keep: bool,
    progress: fn(&Plan) -> Option<Progress>,
) -> Result<Judged, RunError> {
    let directory = RunDirectory::create(out, plan)?;
    let path = directory.path().to_owned();
    let recorder = Recorder::create(&path).map_err(|error| RunError::Directory {
        path: path.display().to_string(),
        cause: std::io::Error::new(error.kind(), error.to_string()),
    })?;
    let desk =
        Rc::new(RefCell::new(Desk { recorder, judge: Judge::new(plan), progress: progress(plan) }));
    let listener = Rc::clone(&desk);
    // One thread: a child's tie to its parent is a tie to the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Internal(format!("cannot start the runtime: {error}")))?;
    let ran = runtime.block_on(run::run(
        plan,
        &directory,
        Box::new(move |record| listener.borrow_mut().observe(record)),
    ));
    drop(runtime);
    let mut desk = desk.borrow_mut();
    if let Some(progress) = desk.progress.take() {
        progress.finish();
    }
    let why = ran.inspect_err(|error| directory.has_no_verdict(&error.to_string()))?;
    let mut results = desk.judge.conclude();
    if let Err(error) = report::write_all(&path, plan, &results, &directory.events()) {
        // What was seen is still worth saying; only a pass that nobody can look up is none.
        crate::report::tell(format_args!("warning: {error}"));
        if results.verdict == Verdict::Pass {
            desk.judge.history_flawed(error.to_string());
            results = desk.judge.conclude();
        }
    }
    if results.verdict == Verdict::Pass && !keep {
        directory.tidy();
    }
    Ok(Judged { results, directory: path, why })
}

/// Everybody who is told what happens.
struct Desk {
    recorder: Recorder,
    judge: Judge,
    progress: Option<Progress>,
}

impl Desk {
    fn observe(&mut self, record: &Record) {
        if let Err(error) = self.recorder.record(record) {
            crate::report::tell(format_args!("warning: {error}"));
            self.judge.machine_lacks(error.to_string());
            self.judge.history_flawed(error.to_string());
        }
        self.judge.observe(record);
        if let Some(progress) = &mut self.progress {
            progress.observe(record);
        }
    }
}
