//! A kernel of which no two parameters have the same value, with simulated work.
//!
//! The values of the reference kernel come again every 1000 parameters, so a result over others than
//! were asked for may look right. Here it cannot: the value of a parameter is its number with the low
//! ten bits shuffled, so the values of any range are its own, and whole numbers that an `f64` holds
//! exactly. The shuffle keeps a result from being right where a program reports its range instead of
//! what it computed over it.

use std::time::Duration;

use async_trait::async_trait;
use ttg_contract::builtin::distinct_value;

use super::simulated::{Slow, simulate};
use super::{Kernel, KernelError};
use crate::chunk::Chunk;
use crate::stats::Stats;

/// Computes [`distinct_value`] for every parameter, with simulated work for each.
#[derive(Debug, Clone, Copy)]
pub struct Distinct {
    /// Simulated work per parameter.
    pub work: Duration,
    /// Which chunks take longer.
    pub slow: Slow,
}

#[async_trait(?Send)]
impl Kernel for Distinct {
    async fn run(&mut self, chunk: &Chunk) -> Result<Stats, KernelError> {
        Ok(simulate(chunk, self.work, self.slow, distinct_value).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chunk_comes_to_the_sum_of_its_values() {
        let mut kernel = Distinct { work: Duration::ZERO, slow: Slow::NONE };
        let chunk = Chunk { index: 0, start: 0, end: 2048 };
        let stats = kernel.run(&chunk).await.expect("the kernel does not fail");
        // Two whole blocks: what the numbers themselves come to.
        assert_eq!((stats.sum, stats.min, stats.max), (2047.0 * 1024.0, 0.0, 2047.0));
    }
}
