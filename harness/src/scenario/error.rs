//! What is wrong with a scenario, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a scenario cannot be run: one sentence that names the place and what would be valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    file: PathBuf,
    /// Arguments without which the file would be valid.
    because_of: Vec<String>,
    problem: Problem,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.because_of.is_empty() {
            write!(f, "{}: ", self.because_of.join(" "))?;
        }
        match &self.problem.place {
            Place::File => write!(f, "{}", self.file.display())?,
            Place::At { line, column } => write!(f, "{}:{line}:{column}", self.file.display())?,
            Place::Argument(argument) => f.write_str(argument)?,
        }
        write!(f, ": {}", self.problem.what)
    }
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The file as a whole.
    File,
    /// A position in the file, both counted from 1.
    At { line: u64, column: u64 },
    /// An argument on the command line, as it was typed.
    Argument(String),
}

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) place: Place,
    pub(super) what: String,
}

impl Problem {
    pub(super) fn new(place: &Place, what: impl Into<String>) -> Self {
        Self { place: place.clone(), what: what.into() }
    }

    /// The problem of this file.
    pub(super) fn of(self, file: &Path) -> ScenarioError {
        self.because_of(file, Vec::new())
    }

    /// The problem that these arguments made of a file that is valid without them.
    pub(super) fn because_of(self, file: &Path, arguments: Vec<String>) -> ScenarioError {
        ScenarioError { file: file.to_owned(), because_of: arguments, problem: self }
    }
}
