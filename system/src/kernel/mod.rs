//! What is applied to every parameter.

mod distinct;
mod exec;
mod reference;
mod simulated;

use async_trait::async_trait;

pub use distinct::{Distinct, distinct_value};
pub use exec::Exec;
pub use reference::{Reference, value};
pub use simulated::{Slow, is_slow};

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
    async fn run(&mut self, chunk: &Chunk) -> Result<Stats, String>;
}
