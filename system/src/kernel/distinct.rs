//! A kernel of which no two parameters have the same value, with simulated work.
//!
//! The values of the reference kernel come again every 1000 parameters, so a result over others than
//! were asked for may look right. Here it cannot: the value of a parameter is its number with the low
//! ten bits shuffled, so the values of any range are its own, and whole numbers that an `f64` holds
//! exactly. The shuffle keeps a result from being right where a program reports its range instead of
//! what it computed over it.

use std::time::Duration;

use async_trait::async_trait;

use super::simulated::{Slow, simulate};
use super::{Kernel, KernelError};
use crate::chunk::Chunk;
use crate::stats::Stats;

/// The bits that are shuffled.
const LOW: u64 = 1023;

/// Any odd number will do: multiplying by it can be undone.
const ODD: u64 = 693;

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

/// The value of a parameter below 2^53: the parameter with its low ten bits `x` shuffled by
/// `x ^= x >> 5; x = 693 x mod 1024; x ^= x >> 5`. Each step can be undone, so no value comes twice.
pub fn distinct_value(param: u64) -> f64 {
    let mut low = param & LOW;
    low ^= low >> 5;
    low = (low * ODD) & LOW;
    low ^= low >> 5;
    ((param & !LOW) | low) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_values_are_the_same_and_each_is_a_whole_number() {
        for start in [0, 1 << 20, (1 << 53) - 4096] {
            let values: BTreeSet<u64> =
                (start..start + 4096).map(|param| distinct_value(param) as u64).collect();
            assert_eq!(values.len(), 4096);
            assert_eq!((values.first(), values.last()), (Some(&start), Some(&(start + 4095))));
        }
    }

    #[test]
    fn values_do_not_change_from_version_to_version() {
        // A verdict on another's results goes by them.
        let values: Vec<f64> = [0, 1, 2, 31, 32, 1023, 1024, 1_000_000].map(distinct_value).into();
        insta::assert_compact_debug_snapshot!(values, @"[0.0, 672.0, 353.0, 1012.0, 351.0, 363.0, 1024.0, 1000421.0]");
    }

    #[test]
    fn values_are_no_straight_line() {
        let steps: BTreeSet<i64> = (0..1023)
            .map(|param| distinct_value(param + 1) as i64 - distinct_value(param) as i64)
            .collect();
        assert!(steps.len() > 10, "{steps:?}");
    }

    #[tokio::test]
    async fn a_chunk_comes_to_the_sum_of_its_values() {
        let mut kernel = Distinct { work: Duration::ZERO, slow: Slow::NONE };
        let chunk = Chunk { index: 0, start: 0, end: 2048 };
        let stats = kernel.run(&chunk).await.expect("the kernel does not fail");
        // Two whole blocks: what the numbers themselves come to.
        assert_eq!((stats.sum, stats.min, stats.max), (2047.0 * 1024.0, 0.0, 2047.0));
    }
}
