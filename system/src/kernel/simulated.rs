//! Simulated work, which the built-in kernels share.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use ttg_contract::builtin::is_slow;

use crate::chunk::Chunk;
use crate::stats::{Collector, Stats};

/// How many parameters without simulated work are computed before other tasks get their turn.
const TURN: u64 = 4096;

/// Some chunks take a multiple of the work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slow {
    /// Seed of the draw: those of one seed agree on which chunks are slow.
    pub seed: u64,
    /// Share of the chunks, from 0 to 1.
    pub share: f64,
    /// How many times the work they take; 1 at least.
    pub factor: f64,
}

impl Slow {
    /// All chunks take the same.
    pub const NONE: Self = Self { seed: 0, share: 0.0, factor: 1.0 };
}

/// Computes `value` for every parameter of the chunk. Paced against deadlines: 100 parameters of 1 ms
/// take 100 ms, whatever each wake-up costs.
pub(super) async fn simulate(
    chunk: &Chunk,
    work: Duration,
    slow: Slow,
    value: fn(u64) -> f64,
) -> Result<Stats, String> {
    let begun = Instant::now();
    let Slow { seed, share, factor } = slow;
    let factor = if is_slow(seed, share, chunk.index) { factor } else { 1.0 };
    let work = work.mul_f64(factor);
    let mut collector = Collector::default();
    for param in chunk.start..chunk.end {
        collector.add(value(param));
        let done = param - chunk.start + 1;
        if !work.is_zero() {
            sleep_until(begun + work.mul_f64(done as f64)).await;
        } else if done.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
    }
    collector.stats().ok_or_else(|| format!("chunk {} is empty", chunk.id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Kernel as _, Reference};

    #[test]
    fn the_share_of_slow_chunks_is_drawn_from_the_seed_alone() {
        let slow = |seed, share| (0..10_000).filter(|it| is_slow(seed, share, *it)).count();
        assert_eq!((slow(7, 0.0), slow(7, 1.0)), (0, 10_000));
        for seed in [0, 1, 7, u64::MAX] {
            let count = slow(seed, 0.1);
            assert!((900..1100).contains(&count), "{count} of 10000 with seed {seed}");
        }
        // Whoever computes an ideal time goes by it: it must not change from version to version.
        let first: Vec<_> = (0..60).filter(|index| is_slow(7, 0.1, *index)).collect();
        insta::assert_compact_debug_snapshot!(first, @"[4, 5, 12, 13, 35, 37, 43, 52, 53, 55]");
        assert_ne!(first, (0..60).filter(|index| is_slow(8, 0.1, *index)).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_chunk_takes_a_multiple_and_comes_to_the_same() {
        let work = Duration::from_millis(1);
        let chunk = Chunk { index: 3, start: 0, end: 100 };
        let mut usual = Reference { work, slow: Slow::NONE };
        let mut slow = Reference { work, slow: Slow { seed: 7, share: 1.0, factor: 10.0 } };
        let wanted = usual.run(&chunk).await;
        let begun = Instant::now();
        assert_eq!(slow.run(&chunk).await, wanted);
        let took = begun.elapsed().as_millis();
        assert!((1000..1010).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn simulated_work_is_paced_against_deadlines() {
        let mut kernel = Reference { work: Duration::from_millis(1), slow: Slow::NONE };
        let begun = Instant::now();
        let chunk = Chunk { index: 0, start: 0, end: 100 };
        kernel.run(&chunk).await.expect("the reference kernel does not fail");
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(100) && took < Duration::from_millis(103),
            "{took:?}"
        );
    }
}
