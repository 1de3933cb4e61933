//! Tasks that are gone from the stream: deleted, trimmed, or with the whole of it.
//!
//! Whether anything is missing is a comparison of counts. What is missing is looked for page by page,
//! beside everybody's work, by one at a time. A task moves from the stream to a worker, from there to
//! those that wait, and from there to the end of the stream again: it is looked for in this order, so
//! that it cannot slip through.

use std::collections::BTreeSet;

use ::redis::cmd;
use async_trait::async_trait;

use super::inspect::HELD_BOUND;
use super::keys::{COMMITTED, DEAD, GROUP, METADATA, PROGRESS, RESULTS, RETRY, SEARCH, TASKS};
use super::{Entry, EntryFields, Redis};
use crate::chunk::Sweep;
use crate::queue::reconcile::{Mark, Reconcile, Reconciled};
use crate::queue::{Cursor, Inspect, QueueError, Result};
use crate::wire::{self, Fields, Task};

/// How long counts must not add up: a foreign worker may acknowledge a task before it stores its result.
const SURE: std::time::Duration = std::time::Duration::from_secs(2);

/// Tasks per step, as a coordinator takes them.
const STEP: usize = 500;

/// For how long a search is one's own, in milliseconds: longer than any.
const SEARCH_MS: u64 = 60_000;

/// What of a sweep is where.
struct Stock {
    gone: bool,
    ours: bool,
    created_at: String,
    submitted: u64,
    committed: u64,
    dead: u64,
    results: u64,
    /// Tasks that wait or are with somebody.
    queued: Option<u64>,
}

/// What does not add up: so many open chunks more than tasks that are queued; or, where nothing is queued,
/// so many results of which some are foreign.
pub(super) type Gap = (u64, Option<u64>);

impl Stock {
    /// Chunks that are neither committed by us nor dead nor may have a foreign worker's result.
    fn open(&self) -> u64 {
        let foreign = self.results.saturating_sub(self.committed);
        self.submitted.saturating_sub(self.committed + self.dead + foreign)
    }

    /// What does not add up. Foreign results may be several of one chunk: they hide what is missing,
    /// until nothing is left to do.
    fn gap(&self) -> Option<Gap> {
        let queued = self.queued?;
        let missing = self.open().saturating_sub(queued);
        let foreign = (queued == 0 && self.results > self.committed).then_some(self.results);
        (missing > 0 || foreign.is_some()).then_some((missing, foreign))
    }
}

#[async_trait(?Send)]
impl Reconcile for Redis {
    async fn reconcile(&self) -> Result<Reconciled> {
        let stock = self.stock().await?;
        let mark = Mark {
            created_at: stock.created_at.clone(),
            submitted: stock.submitted,
            committed: stock.committed,
        };
        let fallen = stock.ours && self.high_water.has_fallen(mark);
        if stock.gone || fallen {
            return Err(QueueError::lost(&self.settings.address));
        }
        let queued = stock.queued.unwrap_or(1);
        if !stock.ours {
            return Ok(Reconciled { open: queued, ..Reconciled::default() });
        }
        let open = stock.open().max(queued);
        let Some(gap) = stock.gap() else {
            self.suspicion.is_over();
            return Ok(Reconciled { open, ..Reconciled::default() });
        };
        if self.searched.get() == Some(gap) {
            return Ok(Reconciled { open, ..Reconciled::default() });
        }
        if !self.suspicion.has_lasted(gap, SURE) {
            return Ok(Reconciled { open, in_doubt: true, resubmitted: 0 });
        }
        let Some((missing, resubmitted)) = self.search(&stock).await? else {
            return Ok(Reconciled { open, in_doubt: true, resubmitted: 0 });
        };
        self.searched.set((missing == 0).then_some(gap));
        Ok(Reconciled { open, in_doubt: missing > resubmitted, resubmitted })
    }
}

impl Redis {
    async fn stock(&self) -> Result<Stock> {
        let mut script = self.scripts.stock.prepare_invoke();
        script.key(METADATA).key(PROGRESS).key(TASKS).key(RESULTS).key(RETRY).key(COMMITTED);
        script.arg(GROUP);
        let (gone, ours, created_at, submitted, committed, dead, results, queued) =
            self.run(&mut script).await?;
        Ok(Stock { gone, ours, created_at, submitted, committed, dead, results, queued })
    }

    /// Looks for what is missing and submits it again: how much of each. Nothing where somebody else is
    /// looking.
    async fn search(&self, stock: &Stock) -> Result<Option<(u64, u64)>> {
        let Some(info) = self.sweep().await? else { return Ok(None) };
        let whose = super::store_name();
        let taken: Option<String> = self
            .link
            .call(async |mut c| {
                let mut take = cmd("SET");
                take.arg(SEARCH).arg(&whose).arg("NX").arg("PX").arg(SEARCH_MS);
                take.query_async(&mut c).await
            })
            .await?;
        if taken.is_none() {
            return Ok(None);
        }
        let Some(found) = self.chunks_that_are_somewhere(stock).await? else { return Ok(None) };
        // Whatever else is written there: no sweep has more than it has.
        let submitted = stock.submitted.min(info.sweep.chunks());
        let missing: Vec<u64> = (0..submitted).filter(|it| !found.contains(it)).collect();
        let mut resubmitted = 0;
        for step in missing.chunks(STEP) {
            resubmitted += self.resubmit(&info.sweep, step, &whose).await?;
        }
        let end = script!("end_search");
        self.run::<u8>(end.key(SEARCH).arg(&whose)).await?;
        Ok(Some((missing.len() as u64, resubmitted)))
    }

    /// The chunks that are settled, wait, or are with somebody; nothing where more are with somebody than
    /// are looked at.
    async fn chunks_that_are_somewhere(&self, stock: &Stock) -> Result<Option<BTreeSet<u64>>> {
        let mut found = BTreeSet::new();
        let mut note = |fields: &Fields| {
            // A result has the same field, by the same name.
            found.extend(wire::get(fields, "chunk_id").and_then(|id| id.parse::<u64>().ok()));
        };
        let mut tail = Cursor::at(self.last_delivered().await?);
        self.each_page(TASKS, &mut tail, |page| each_fields(page, &mut note)).await?;
        let held = self.pending().await?;
        if held.len() >= HELD_BOUND {
            return Ok(None);
        }
        for held in held {
            if let Some(index) = held.chunk_index {
                note(&vec![("chunk_id".to_owned(), index.to_string())]);
            }
        }
        let waiting: Vec<String> = self
            .link
            .call(async |mut c| cmd("ZRANGE").arg(RETRY).arg(0).arg(-1).query_async(&mut c).await)
            .await?;
        waiting.iter().for_each(|task| note(&wire::from_json(task)));
        self.each_page(TASKS, &mut tail, |page| each_fields(page, &mut note)).await?;
        if stock.results > stock.committed {
            let results = &mut Cursor::default();
            self.each_page(RESULTS, results, |page| each_fields(page, &mut note)).await?;
        }
        for key in [COMMITTED, DEAD] {
            let bits: Vec<u8> =
                self.link.call(async |mut c| cmd("GET").arg(key).query_async(&mut c).await).await?;
            found.extend(ones(&bits));
        }
        Ok(Some(found))
    }

    async fn resubmit(&self, sweep: &Sweep, chunks: &[u64], whose: &str) -> Result<u64> {
        let script = script!("resubmit");
        let mut script = script.key(TASKS);
        script.key(COMMITTED).key(DEAD).key(SEARCH).arg(whose);
        let created_at = wire::now();
        for (place, index) in chunks.iter().enumerate() {
            let fields = Task::first(sweep, *index, &created_at).to_fields();
            if place == 0 {
                script.arg(fields.len());
            }
            script.arg(*index).arg(fields);
        }
        self.run(&mut script).await
    }
}

fn each_fields(page: Vec<Entry>, mut show: impl FnMut(&Fields)) {
    page.into_iter().for_each(|(_, EntryFields(fields))| show(&fields));
}

/// The places of the bits that are set, as Redis counts them.
fn ones(bits: &[u8]) -> impl Iterator<Item = u64> {
    bits.iter().enumerate().flat_map(|(byte, bits)| {
        (0..8_u64)
            .filter(move |bit| bits & (0x80 >> bit) != 0)
            .map(move |bit| 8 * byte as u64 + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::ones;

    #[test]
    fn bits_are_counted_from_the_highest_of_each_byte() {
        assert_eq!(ones(&[0b1000_0001, 0b0100_0000]).collect::<Vec<_>>(), [0, 7, 9]);
    }
}
