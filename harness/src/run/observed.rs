//! What the tap remembers of the results that it has seen, so that what is stored at the end can be
//! compared with it: some twenty bytes a chunk.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;
use ttg_system::queue::{Broker, QueueError};
use ttg_system::wire::{DeadLetter, TaskResult};

use super::Stage;
use crate::plan::Backend;

/// How often it is asked who holds what, at most.
const HOLDERS_POLL: Duration = Duration::from_millis(100);

/// Chunks whose holder is remembered, at most.
const HOLDERS_BOUND: usize = 10_000;

/// A result that was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeenBefore {
    /// When, by the broker's clock, in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// The sum that it reported.
    pub(super) sum: f64,
    /// Of all that it said.
    digest: u64,
}

impl SeenBefore {
    fn of(at_ms: i64, result: &TaskResult) -> Self {
        Self { at_ms, sum: result.stats.sum, digest: digest(result) }
    }

    /// Whether this is the same message.
    pub(super) fn is(&self, result: &TaskResult) -> bool {
        self.digest == digest(result)
    }
}

/// Of everything that makes a result what it is; not of when it was written.
fn digest(result: &TaskResult) -> u64 {
    let mut hasher = DefaultHasher::new();
    let stats = &result.stats;
    result.chunk_index.hash(&mut hasher);
    result.worker_id.hash(&mut hasher);
    stats.count.hash(&mut hasher);
    for value in [stats.sum, stats.min, stats.max, stats.avg, result.duration_seconds] {
        value.to_bits().hash(&mut hasher);
    }
    hasher.finish()
}

/// See the file.
#[derive(Default)]
pub(super) struct Observed {
    /// The first result of each chunk.
    first: Vec<Option<SeenBefore>>,
    /// Those that came after the first of their chunk, or of a chunk that no plan has.
    beyond: BTreeMap<u64, Vec<SeenBefore>>,
    /// Results that were seen.
    pub(super) count: u64,
    /// What was seen among them and is none.
    pub(super) unreadable: u64,
    /// Chunks with a dead letter.
    dead: BTreeSet<u64>,
    /// Who was seen with a chunk that has no result yet.
    holders: BTreeMap<u64, String>,
    looked: Option<Instant>,
}

impl Observed {
    /// A chunk of a larger index is of no sweep that a plan may have.
    pub(super) const CHUNKS_BOUND: u64 = 10_000_000;

    pub(super) fn result(&mut self, at_ms: i64, result: &TaskResult) {
        self.count += 1;
        let (index, seen) = (result.chunk_index, SeenBefore::of(at_ms, result));
        self.holders.remove(&index);
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        if index < Self::CHUNKS_BOUND && self.first.len() <= at {
            self.first.resize(at + 1, None);
        }
        match self.first.get_mut(at) {
            Some(first @ None) => *first = Some(seen),
            _ => self.beyond.entry(index).or_default().push(seen),
        }
    }

    pub(super) fn dead_letter(&mut self, letter: &DeadLetter) {
        if let Some(task) = letter.task() {
            self.dead.insert(task.chunk.index);
            self.holders.remove(&task.chunk.index);
        }
    }

    /// Letters are told from the first on again.
    pub(super) fn forget_letters(&mut self) {
        self.dead.clear();
    }

    /// The first result of this chunk.
    pub(super) fn first(&self, index: u64) -> Option<SeenBefore> {
        *self.first.get(usize::try_from(index).ok()?)?
    }

    /// Results of each chunk, in the order in which they were seen.
    pub(super) fn of(&self, index: u64) -> impl Iterator<Item = SeenBefore> {
        self.first(index).into_iter().chain(self.beyond.get(&index).into_iter().flatten().copied())
    }

    /// Every chunk that a result was seen of.
    pub(super) fn chunks(&self) -> impl Iterator<Item = u64> {
        let beyond = |index: &u64| self.first(*index).is_none();
        let first = (0..).zip(&self.first).filter(|(_, seen)| seen.is_some()).map(|(at, _)| at);
        first.chain(self.beyond.keys().copied().filter(beyond))
    }

    /// Who was seen with a chunk that has neither a result nor a dead letter.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (u64, &str)> {
        self.holders.iter().map(|(index, holder)| (*index, holder.as_str()))
    }

    /// Remembers who has what. RabbitMQ keeps that by itself, as far as it is traced.
    pub(super) async fn look_at_holders(
        &mut self,
        stage: &Stage,
        broker: &dyn Broker,
    ) -> Result<(), QueueError> {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= HOLDERS_POLL);
        if stage.plan.backend == Backend::RabbitMq || !is_due {
            return Ok(());
        }
        self.remember_holders(broker).await
    }

    pub(super) async fn remember_holders(&mut self, broker: &dyn Broker) -> Result<(), QueueError> {
        for held in broker.held().await? {
            let Some(index) = held.chunk_index else { continue };
            let is_open = self.first(index).is_none() && !self.dead.contains(&index);
            if is_open && (self.holders.len() < HOLDERS_BOUND || self.holders.contains_key(&index))
            {
                self.holders.insert(index, held.worker);
            }
        }
        self.looked = Some(Instant::now());
        Ok(())
    }
}
