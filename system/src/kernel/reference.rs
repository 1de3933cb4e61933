//! The reference kernel of the wire contract, with simulated work.

use std::time::Duration;

use async_trait::async_trait;

use super::simulated::{Slow, simulate};
use super::{Kernel, KernelError};
use crate::chunk::Chunk;
use crate::stats::Stats;

/// Computes [`value`] for every parameter, with simulated work for each.
#[derive(Debug, Clone, Copy)]
pub struct Reference {
    /// Simulated work per parameter.
    pub work: Duration,
    /// Which chunks take longer.
    pub slow: Slow,
}

#[async_trait(?Send)]
impl Kernel for Reference {
    async fn run(&mut self, chunk: &Chunk) -> Result<Stats, KernelError> {
        Ok(simulate(chunk, self.work, self.slow, value).await?)
    }
}

/// The value of a parameter: `(7k + 13) mod 1000`, then `0.` and `k mod 100` without padding.
pub fn value(param: u64) -> f64 {
    let whole = (param % 1000 * 7 + 13) % 1000;
    let digits = param % 100;
    let places = if digits < 10 { 10 } else { 100 };
    // One correctly rounded division: the same double as reading the decimal text.
    (whole * places + digits) as f64 / places as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_contract() {
        assert_eq!(value(5), 48.5);
        assert_eq!(value(7_050), 363.50);
        assert_eq!(value(98), 699.98);
        for param in 0..10_000 {
            let text = format!("{}.{}", (7 * param + 13) % 1000, param % 100);
            assert_eq!(text.parse(), Ok(value(param)), "parameter {param}");
        }
    }

    #[tokio::test]
    async fn ten_thousand_parameters_come_to_the_published_figures() {
        let mut kernel = Reference { work: Duration::ZERO, slow: Slow::NONE };
        let chunk = Chunk { index: 0, start: 0, end: 10_000 };
        let stats = kernel.run(&chunk).await.expect("the reference kernel does not fail");
        assert_eq!(
            format!("{:.2} {} {}", stats.sum, stats.min, stats.max),
            "5000355.00 0.41 999.98"
        );
        assert_eq!(format!("{:.4}", stats.avg), "500.0355");
    }
}
