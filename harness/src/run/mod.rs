//! Carries a plan out: broker, processes, faults, and the watching of it all.

mod afterwards;
mod conduct;
mod directory;
mod headway;
mod links;
mod looks;
mod programs;
mod recompute;
mod stage;
mod strain;
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
