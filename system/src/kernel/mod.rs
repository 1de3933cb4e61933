//! What is applied to every parameter.

mod distinct;
mod exec;
mod identity;
mod reference;
mod simulated;

use async_trait::async_trait;

pub use distinct::Distinct;
pub use exec::{Exec, lead_if_asked};
pub use identity::Identity;
pub use reference::{Reference, value};
pub use simulated::Slow;

use crate::chunk::Chunk;
use crate::stats::Stats;

/// A computation over the parameters of a chunk.
///
/// The future may be dropped at any await: a kernel then starts the next chunk afresh.
#[async_trait(?Send)]
pub trait Kernel {
    /// Computes a whole chunk.
    ///
    /// # Errors
    /// What went wrong, for people: it is kept with the attempt.
    async fn run(&mut self, chunk: &Chunk) -> Result<Stats, KernelError>;
}

/// Why a chunk was not computed, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// It may be the chunk's fault: the attempt counts.
    #[error("{0}")]
    Failed(String),
    /// No chunk can be computed here, so it is no fault of this one: the attempt does not count.
    #[error("{0}")]
    Unusable(String),
}

impl From<String> for KernelError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// What a kernel says a chunk comes to, if it can be so.
///
/// # Errors
/// [`KernelError::Failed`] where it cannot.
pub(crate) fn checked(stats: Stats, chunk: &Chunk) -> Result<Stats, KernelError> {
    let problem = |why| KernelError::Failed(format!("the kernel's result cannot be: {why}"));
    stats.check(chunk.params()).map(|()| stats).map_err(problem)
}
