//! Carries a plan out: broker, processes, faults, and the watching of it all.

mod afterwards;
mod attempts;
mod conduct;
mod crashes;
mod directory;
mod final_reading;
mod foreign_report;
mod headway;
mod interrupts;
mod links;
mod looks;
mod missing;
mod observed;
mod programs;
mod reading;
mod recompute;
mod reports;
mod room;
mod settled;
mod stage;
mod strain;
mod submissions;
mod submit;
mod tap;

pub use conduct::run;
pub use directory::RunDirectory;
pub use looks::NotKnown;
pub use stage::{Stage, Standing};

use crate::environment::Unavailable;

/// Why a run has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine lacks something.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The run directory cannot be written.
    #[error("cannot write {path}: {cause} (choose another directory with --out)")]
    Directory {
        /// Which file or directory.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Ctrl-C, or its like, before there was a broker.
    #[error("interrupted before the run began")]
    Interrupted,
    /// A defect of ours.
    #[error("{0}")]
    Internal(String),
}
