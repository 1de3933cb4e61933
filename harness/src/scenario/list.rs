//! The scenarios of a directory, in short.

use std::path::{Path, PathBuf};

use super::error::{Place, Problem, ScenarioError};
use super::units::show;
use super::{Overrides, from_text, load, shipped};
use crate::fault::entry;
use crate::plan::{Backend, Kernel, Plan, PlannedFault, Settings, Target, Trigger};

/// A scenario in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// How chunks reach workers.
    pub backend: Backend,
    /// One sentence.
    pub description: String,
    /// Number of parameters.
    pub params: u64,
    /// Parameters per chunk.
    pub chunk_size: u64,
    /// Work per parameter (`100 ms`), or the program that does it.
    pub work: String,
    /// Number of workers.
    pub workers: u32,
    /// `kill busy at 30%, pause 1 for 3s after kill-1`; empty where nothing goes wrong.
    pub faults: String,
}

/// The scenarios of a directory (`*.yaml`), sorted by name.
pub fn list(dir: &Path) -> Result<Vec<Listed>, ScenarioError> {
    let unreadable = |error: std::io::Error| {
        let what = format!("the directory of scenarios cannot be read ({error})");
        Problem::new(&Place::File, what).of(dir)
    };
    let mut listed = Vec::new();
    for entry in dir.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let plan = load(&path, &Overrides::default())?;
            listed.push(in_short(plan, path));
        }
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

/// Those that are built in, sorted by name.
pub fn list_built_in() -> Result<Vec<Listed>, ScenarioError> {
    let each = shipped::BUILT_IN.iter().map(|(name, text)| {
        let path = PathBuf::from(format!("{name}.yaml"));
        let plan = from_text(&path, text, &Overrides::default())?;
        Ok(in_short(plan, path))
    });
    each.collect()
}

/// More faults than that are too much to read in a list.
const MANY: usize = 3;

fn in_short(plan: Plan, path: PathBuf) -> Listed {
    let mut faults: Vec<String> = plan.faults.iter().map(fault).collect();
    if faults.len() > MANY {
        let more = faults.split_off(MANY - 1).len();
        faults.push(format!("and {more} more"));
    }
    Listed {
        params: plan.sweep.params(),
        chunk_size: plan.sweep.chunk_size,
        work: match plan.sweep.kernel {
            Kernel::Reference { work_ms } | Kernel::Distinct { work_ms } => format!("{work_ms} ms"),
            Kernel::Exec { command } => on_one_line(&command),
        },
        name: plan.scenario,
        path,
        backend: plan.backend,
        description: plan.description,
        workers: plan.workers,
        faults: faults.join(", "),
    }
}

fn fault(fault: &PlannedFault) -> String {
    let target = match fault.target {
        Target::Worker(number) => format!("worker {number}"),
        Target::Busy => "busy".into(),
        Target::Random => "random".into(),
        Target::All => "all".into(),
        Target::Node(_) => "node".into(),
        Target::Coordinator => "coordinator".into(),
        Target::Aggregator => "aggregator".into(),
        Target::Broker => "broker".into(),
        Target::Sweep => of_the_sweep(&fault.settings),
    };
    let hold = fault.hold.map_or(String::new(), |hold| format!(" for {}", show(hold)));
    let when = match &fault.trigger {
        Trigger::Start => "from the start".into(),
        Trigger::Submitted(share) => format!("at {share}% submitted"),
        Trigger::Progress(share) => format!("at {share}%"),
        Trigger::Time(time) => format!("at {}", show(*time)),
        Trigger::After(name) => format!("after {name}"),
    };
    let every = fault.every.map_or(String::new(), |every| format!(" every {}", show(every)));
    format!("{} {target}{hold} {when}{every}", entry(fault.kind).name)
}

/// What of the sweep a fault strikes.
fn of_the_sweep(settings: &Settings) -> String {
    match (settings.chunk, settings.share) {
        (Some(chunk), _) => format!("chunk {chunk}"),
        (None, Some(share)) => format!("{}%", share * 100.0),
        (None, None) => format!("of {} faults", settings.mix.len()),
    }
}

/// A command without the programs that are written out in it.
fn on_one_line(command: &[String]) -> String {
    let words = command.iter().map(|word| if word.contains('\n') { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
