//! What a worker has on its desk: chunks from their delivery to the broker's answer to their results.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Batch, QueueStats, Summary};
use crate::queue::{Delivery, Token};
use crate::stats::Collector;
use crate::wire::TaskResult;

/// A busy worker takes over only what it can start within this time: a chunk that waited longer
/// behind another would be better off with whoever is free first.
const SOON: Duration = Duration::from_secs(2);

/// A chunk that takes this many times the time of a batch, or of the chunks before it where that is
/// more, holds up the others.
const HELD_UP: u32 = 5;

/// What a worker has before it.
pub(super) struct Desk {
    pub(super) backlog: VecDeque<Delivery>,
    pub(super) current: Option<(Rc<Delivery>, Instant)>,
    /// Shared with the commit that goes on, if any.
    pub(super) done: Rc<Vec<(Token, TaskResult)>>,
    pub(super) done_since: Instant,
    pub(super) batch: Batch,
    pub(super) summary: Summary,
    pub(super) stats: QueueStats,
    pub(super) aggregates: Collector,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            backlog: VecDeque::new(),
            current: None,
            done: Rc::default(),
            done_since: Instant::now(),
            batch: Batch::new(Duration::ZERO, 1),
            summary: Summary::new(""),
            stats: QueueStats::default(),
            aggregates: Collector::default(),
        }
    }
}

impl Desk {
    /// Everything that is not acknowledged yet.
    pub(super) fn held(&self) -> Vec<Token> {
        let waiting = self.backlog.iter().map(|delivery| &delivery.token);
        let current = self.current.iter().map(|(delivery, _)| &delivery.token);
        let done = self.done.iter().map(|(token, _)| token);
        waiting.chain(current).chain(done).cloned().collect()
    }

    /// Whether a chunk taken over now would be started soon.
    pub(super) fn is_free_soon(&self) -> bool {
        let Some((current, since)) = &self.current else {
            let waiting = u32::try_from(self.backlog.len()).unwrap_or(u32::MAX);
            let chunk_time = self.batch.chunk_time.unwrap_or(SOON);
            return waiting == 0 || chunk_time.saturating_mul(waiting) < SOON;
        };
        if current.suspect {
            // If it is what kills its workers, then nobody else with it.
            return false;
        }
        let chunk_time = self.batch.chunk_time.unwrap_or(Duration::MAX);
        self.backlog.is_empty() && chunk_time.saturating_sub(since.elapsed()) <= SOON
    }

    /// Whether a chunk takes so much longer than those before it that nothing may wait for it.
    pub(super) fn is_held_up(&self) -> bool {
        let waiting = !self.backlog.is_empty() || !self.done.is_empty();
        let usual = self.batch.chunk_time.unwrap_or_default().max(self.batch.target);
        let patience = usual * HELD_UP;
        waiting && self.current.as_ref().is_some_and(|(_, since)| since.elapsed() > patience)
    }

    /// Whether what is done has waited long enough, with more to do.
    pub(super) fn must_flush(&self) -> bool {
        let waits = !self.done.is_empty() && !self.backlog.is_empty();
        waits && self.done_since.elapsed() >= self.batch.target
    }

    pub(super) fn take_in(&mut self, claimed: Vec<Delivery>) {
        self.stats.claimed += claimed.len() as u64;
        self.backlog.extend(claimed);
        // Those that may kill come when nothing else is at stake.
        self.backlog.make_contiguous().sort_by_key(|delivery| delivery.suspect);
    }

    /// How many chunks may be claimed before what is done is committed: where a batch is much larger than that
    /// by now, and it has not waited. The first few would be commits of their own otherwise.
    pub(super) fn room(&self) -> usize {
        let done = self.done.len();
        let is_early = done * 2 <= self.batch.size && self.done_since.elapsed() < self.batch.target;
        if is_early { self.batch.size.min(self.batch.max - done) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::stats::Stats;

    const TARGET: Duration = Duration::from_millis(20);

    fn desk(size: usize, done: usize) -> Desk {
        let mut batch = Batch::new(TARGET, 64);
        batch.size = size;
        let result = TaskResult {
            chunk_index: 0,
            worker_id: "worker-1".into(),
            duration_seconds: 0.0,
            completed_at: String::new(),
            stats: Stats { sum: 0.0, count: 1, min: 0.0, max: 0.0, avg: 0.0 },
        };
        let token = Token { id: "1".into(), number: 1 };
        Desk { batch, done: Rc::new(vec![(token, result); done]), ..Desk::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn few_results_wait_for_more_of_their_batch_but_not_for_long() {
        assert_eq!(desk(1, 1).room(), 0, "it is the batch");
        assert_eq!(desk(2, 1).room(), 2);
        assert_eq!(desk(16, 8).room(), 16);
        assert_eq!(desk(16, 9).room(), 0, "it is more than half of it");
        assert_eq!(desk(64, 3).room(), 61, "no commit is larger than a batch may be");
        let waits = desk(16, 8);
        advance(TARGET).await;
        assert_eq!(waits.room(), 0, "it has waited");
    }
}
