//! What the tap remembers of the results that it has seen, so that what is stored at the end can be
//! compared with it: 32 bytes a chunk.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;
use ttg_contract::wire::{DeadLetter, TaskResult};
use ttg_system::queue::{Broker, QueueError};

use super::Stage;
use crate::plan::Backend;

/// How often it is asked who holds what, at most.
const HOLDERS_POLL: Duration = Duration::from_millis(100);

/// Chunks whose holder is remembered, at most.
const HOLDERS_BOUND: usize = 10_000;

/// Which chunk a result is of, and a digest of everything that makes it what it is; not of when it was
/// written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SeenKey(u64, u64);

impl SeenKey {
    pub(super) fn of(result: &TaskResult) -> Self {
        let mut hasher = DefaultHasher::new();
        let stats = &result.stats;
        result.worker_id.hash(&mut hasher);
        stats.count.hash(&mut hasher);
        for value in [stats.sum, stats.min, stats.max, stats.avg, result.duration_seconds] {
            value.to_bits().hash(&mut hasher);
        }
        Self(result.chunk_index, hasher.finish())
    }

    pub(super) fn chunk_index(self) -> u64 {
        self.0
    }
}

/// The first result of a chunk that was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstSeen {
    /// When, by the broker's clock, in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// The sum that it reported.
    pub(super) sum: f64,
    digest: u64,
}

impl FirstSeen {
    /// Whether this is the same message.
    pub(super) fn is(&self, key: SeenKey) -> bool {
        self.digest == key.1
    }
}

/// What was seen of a sweep while it went on.
pub(super) struct Observed {
    /// The first result of each chunk of the plan.
    first: Vec<Option<FirstSeen>>,
    /// Those that came after the first of their chunk, or of a chunk that the plan does not have.
    beyond: Vec<SeenKey>,
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
    /// Nothing was seen yet of so many chunks.
    pub(super) fn of(chunks: u64) -> Self {
        Self {
            first: vec![None; usize::try_from(chunks).unwrap_or_default()],
            beyond: Vec::new(),
            count: 0,
            unreadable: 0,
            dead: BTreeSet::new(),
            holders: BTreeMap::new(),
            looked: None,
        }
    }

    pub(super) fn result(&mut self, at_ms: i64, result: &TaskResult) {
        self.count += 1;
        self.holders.remove(&result.chunk_index);
        let key = SeenKey::of(result);
        let at = usize::try_from(result.chunk_index).unwrap_or(usize::MAX);
        match self.first.get_mut(at) {
            Some(first @ None) => {
                *first = Some(FirstSeen { at_ms, sum: result.stats.sum, digest: key.1 });
            }
            _ => self.beyond.push(key),
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

    /// Chunks of the plan.
    pub(super) fn chunks(&self) -> usize {
        self.first.len()
    }

    /// The first result of this chunk.
    pub(super) fn first(&self, index: u64) -> Option<FirstSeen> {
        *self.first.get(usize::try_from(index).ok()?)?
    }

    /// Results that were not the first of a chunk of the plan.
    pub(super) fn beyond(&self) -> impl Iterator<Item = SeenKey> {
        self.beyond.iter().copied()
    }

    /// Who was seen with a chunk that has neither a result nor a dead letter.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (u64, &str)> {
        self.holders.iter().map(|(index, holder)| (*index, holder.as_str()))
    }

    /// Remembers who has what. RabbitMQ keeps that by itself, as far as it is traced; but what is traced must
    /// be read, or it grows.
    pub(super) async fn look_at_holders(
        &mut self,
        stage: &Stage,
        broker: &dyn Broker,
    ) -> Result<(), QueueError> {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= HOLDERS_POLL);
        match stage.plan.backend {
            _ if !is_due => Ok(()),
            Backend::RabbitMq => {
                broker.held().await?;
                self.looked = Some(Instant::now());
                Ok(())
            }
            _ => self.remember_holders(broker).await,
        }
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
