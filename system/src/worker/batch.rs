//! How much work a worker claims at once.

use std::time::Duration;

/// How many times as large a batch may become with each chunk. A start has two small batches before the first large
/// one, and each of them costs as many of the broker's answers.
const GROWTH: usize = 4;

/// How many chunks are claimed at once: as many as take about `target`, so that the last of them
/// does not keep a sweep waiting.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Time that a batch should take.
    pub target: Duration,
    /// Most chunks in a batch.
    pub max: usize,
    pub(super) chunk_time: Option<Duration>,
    pub(super) size: usize,
}

impl Batch {
    /// Most chunks in a batch of the worker that is a program.
    pub const MOST: usize = 256;

    /// Begins with batches of one.
    pub fn new(target: Duration, max: usize) -> Self {
        Self { target, max, chunk_time: None, size: 1 }
    }

    /// Learns how long a chunk took. Sizes grow by [`GROWTH`] at most, so that one lucky chunk decides little.
    pub(super) fn observe(&mut self, took: Duration) {
        let chunk_time = self.chunk_time.map_or(took, |before| (before * 3 + took) / 4);
        self.chunk_time = Some(chunk_time);
        let fitting = self.target.as_nanos() / chunk_time.as_nanos().max(1);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        self.size = fitting.min(self.size * GROWTH).clamp(1, self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(batch: &mut Batch, took: Duration) -> usize {
        (0..32).for_each(|_| batch.observe(took));
        batch.size
    }

    #[test]
    fn batches_fit_the_target_and_the_bound() {
        let batch = || Batch::new(Duration::from_millis(20), 64);
        assert_eq!(settled(&mut batch(), Duration::from_secs(1)), 1);
        assert_eq!(settled(&mut batch(), Duration::from_millis(1)), 20);
        assert_eq!(settled(&mut batch(), Duration::ZERO), 64);
    }

    #[test]
    fn one_quick_chunk_lets_a_batch_grow_by_little() {
        let mut batch = Batch::new(Duration::from_millis(20), 64);
        batch.observe(Duration::ZERO);
        assert_eq!(batch.size, GROWTH);
    }
}
