//! The results of a sweep, by worker.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use ttg_system::queue::Inspect;

use crate::outcome::{Outcome, failed};

/// Results that are read at once.
const PAGE: usize = 10_000;

/// What workers stored.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    /// How many results.
    pub(super) count: u64,
    /// When the first, in milliseconds since 1970.
    pub(super) first_ms: i64,
    /// When the last, likewise. A result on RabbitMQ tells when it was computed, which is before it is sent.
    pub(super) last_ms: i64,
}

impl Stored {
    fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            first_ms: self.first_ms.min(other.first_ms),
            last_ms: self.last_ms.max(other.last_ms),
        }
    }
}

/// What each worker stored.
pub(super) struct Results(BTreeMap<String, Stored>);

impl Results {
    /// Reads all, of which there must be one of each chunk.
    pub(super) async fn read(broker: &(impl Inspect + ?Sized), chunks: u64) -> Outcome<Self> {
        let (mut cursor, mut seen) = (Default::default(), BTreeSet::new());
        let mut by_worker: BTreeMap<String, Stored> = BTreeMap::new();
        loop {
            let page = broker.results(&mut cursor, PAGE, Duration::ZERO).await.map_err(failed)?;
            if page.is_empty() {
                break;
            }
            for stamped in page {
                let result = stamped.what.map_err(failed)?;
                // Of several, the first counts.
                if seen.insert(result.chunk_index) {
                    let at_ms = stamped.at_ms;
                    let one = Stored { count: 1, first_ms: at_ms, last_ms: at_ms };
                    let all = by_worker.entry(result.worker_id);
                    all.and_modify(|all| *all = all.and(one)).or_insert(one);
                }
            }
        }
        if seen.len() as u64 != chunks {
            return Err(failed(format!("{} chunks of {chunks} have a result", seen.len())));
        }
        Ok(Self(by_worker))
    }

    /// What these workers stored together.
    pub(super) fn of(&self, workers: Range<u32>) -> Outcome<Stored> {
        let names = workers.map(|number| format!("worker-{number}"));
        let stored = names.filter_map(|name| self.0.get(&name).copied()).reduce(Stored::and);
        stored.ok_or_else(|| failed("no worker has stored a result"))
    }
}
