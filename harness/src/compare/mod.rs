//! Comparison tables, made from the results of runs and from nothing else.

mod column;
mod form;
mod into;
mod m2;
mod m3;
mod published;
mod queues;
mod runs;
mod table;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

pub use form::{Form, write};
pub use into::write_into;
pub use table::Table;

use crate::results::Results;

/// Most bytes of a `results.json` that are read.
const RESULTS_BOUND: u64 = 16 << 20;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Whatever was run, a column for each scenario.
    Runs,
    /// Without a broker beside Redis, without and with a fault.
    M2,
    /// Redis beside RabbitMQ, without and with a fault.
    M3,
    /// What is left in the queues after each run.
    Queues,
}

impl Name {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::M2 => "m2",
            Self::M3 => "m3",
            Self::Queues => "queues",
        }
    }

    /// The table of these results.
    pub fn of(self, results: &[Results]) -> Table {
        match self {
            Self::Runs => runs::table(results),
            Self::M2 => m2::table(results),
            Self::M3 => m3::table(results),
            Self::Queues => queues::table(results),
        }
    }
}

/// Reads what runs came to.
///
/// # Errors
/// One sentence that names the directory that is none of a finished run.
pub fn read(directories: &[PathBuf]) -> Result<Vec<Results>, String> {
    directories.iter().map(|directory| read_one(directory)).collect()
}

fn read_one(directory: &Path) -> Result<Results, String> {
    use std::io::Read;
    let path = directory.join("results.json");
    let place = path.display();
    let file = std::fs::File::open(&path).map_err(|error| {
        format!("{place} cannot be read: {error} (it is there once a run has ended)")
    })?;
    let mut text = String::new();
    file.take(RESULTS_BOUND)
        .read_to_string(&mut text)
        .map_err(|error| format!("{place} cannot be read: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{place} is no result of a run: {error}"))
}
