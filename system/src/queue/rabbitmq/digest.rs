//! What a journal says: which chunks are submitted, committed, dead, and what waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::bits::{BOUND, Bits};
use super::record::Record;
use super::shelf::Shelf;
use crate::queue::SweepInfo;
use crate::queue::told::Told;
use crate::wire::{DeadLetter, Task, TaskResult};

/// What a journal says, taken in record by record.
#[derive(Default)]
pub(super) struct Digest {
    /// The place after the last that was taken in.
    pub(super) next: u64,
    /// How many records said that something happened.
    pub(super) events: u64,
    pub(super) store: Option<String>,
    /// The sweep, once a coordinator of ours has opened it.
    pub(super) sweep: Option<SweepInfo>,
    /// What tasks tell that came before.
    pub(super) told: Told,
    /// Results that came before, by chunk and count: what their chunks are is not known yet.
    early: BTreeSet<(u64, u64)>,
    pub(super) submitted: Bits,
    /// All chunks below this one are in the queue for good.
    pub(super) for_good: u64,
    pub(super) committed: Bits,
    /// Chunks that have a result which they cannot come to, and none that they can.
    doubtful: BTreeSet<u64>,
    /// Those of them that nobody will compute any more.
    pub(super) refused: BTreeSet<u64>,
    pub(super) dead: Bits,
    /// Dead letters that are there.
    pub(super) letters: Shelf,
    /// Of each task, since it was submitted or replayed.
    pub(super) redelivered: BTreeMap<u64, u64>,
    /// Of each chunk, ever.
    pub(super) redeliveries: BTreeMap<u64, u64>,
    /// Of chunks that are not settled, the last retry.
    retries: BTreeMap<u64, Retry>,
    /// Tasks that were fetched and put back at once.
    pub(super) returned: BTreeMap<u64, u64>,
    /// Tasks that were given back, or whose worker lived on.
    pub(super) released: BTreeMap<u64, u64>,
}

/// A retry that waits, or is with somebody, or is lost.
struct Retry {
    task: Task,
    since: Instant,
    /// How often it was sent again.
    times: u32,
}

impl Retry {
    fn of(task: Task) -> Self {
        Self { task, since: Instant::now(), times: 0 }
    }
}

impl Digest {
    /// Takes in what stands before this place, once: whoever goes on after a mark may have read
    /// further before.
    pub(super) fn take_in(&mut self, place: u64, record: Record) {
        if place <= self.next {
            return;
        }
        self.next = place;
        self.events += u64::from(!matches!(record, Record::Mark(_) | Record::Other));
        let chunks = self.sweep.as_ref().map_or(BOUND, |info| info.sweep.chunks());
        match record {
            Record::Store(name) => {
                self.store.get_or_insert(name);
            }
            Record::Sweep(info) => self.open(info),
            Record::Task(task) => self.take_task(task),
            Record::Result(Ok(result)) if result.chunk_index < chunks => self.take_result(&result),
            Record::Refused(chunk) if self.doubtful.contains(&chunk) => {
                self.refused.insert(chunk);
            }
            Record::Letter(letter, text) => self.take_letter(place, letter, &text),
            Record::Gone(text) => self.letters.take(&text),
            Record::Again(task) => {
                self.submitted.set(task.chunk.index);
                if let Some(retry) = self.retries.get_mut(&task.chunk.index) {
                    (retry.since, retry.times) = (Instant::now(), retry.times + 1);
                }
            }
            // Whoever says more than there are has not submitted them.
            Record::Submitted(below) if below <= chunks => {
                // Somebody else's may have been computed before there was a journal.
                (self.for_good..below).for_each(|chunk| self.submitted.set(chunk));
                self.for_good = self.for_good.max(below);
            }
            Record::Returned(chunk) => *self.returned.entry(chunk).or_default() += 1,
            Record::Released(chunk) | Record::Survived(chunk) => {
                *self.released.entry(chunk).or_default() += 1;
            }
            Record::Redelivered(chunk) => {
                *self.redelivered.entry(chunk).or_default() += 1;
                self.delivered_again(chunk);
            }
            Record::Repeated(chunk) => self.delivered_again(chunk),
            Record::Submitted(_)
            | Record::Refused(_)
            | Record::Stray(_)
            | Record::NoTask(_)
            | Record::Result(_)
            | Record::Mark(_)
            | Record::Other => {}
        }
    }

    /// A sweep is opened, if none is: from now on results are held against it.
    fn open(&mut self, info: SweepInfo) {
        if self.sweep.is_some() {
            return;
        }
        let early = std::mem::take(&mut self.early);
        let fits = |chunk: u64, count: u64| {
            info.sweep.chunk_if_any(chunk).is_ok_and(|chunk| chunk.params() == count)
        };
        let fitting = early.iter().filter(|(chunk, count)| fits(*chunk, *count));
        let fitting: BTreeSet<u64> = fitting.map(|(chunk, _)| *chunk).collect();
        for (chunk, _) in early.iter().filter(|(chunk, _)| !fitting.contains(chunk)) {
            self.committed.clear(*chunk);
            self.doubtful.insert(*chunk);
        }
        self.sweep = Some(info);
    }

    fn take_result(&mut self, result: &TaskResult) {
        let (chunk, stats) = (result.chunk_index, &result.stats);
        let can_be = match &self.sweep {
            Some(info) => result.check(&info.sweep).is_ok(),
            None => stats.check(stats.count).is_ok() && self.early.insert((chunk, stats.count)),
        };
        if can_be {
            self.dead.clear(chunk);
            self.committed.set(chunk);
            self.retries.remove(&chunk);
            self.doubtful.remove(&chunk);
            self.refused.remove(&chunk);
        } else if !self.committed.has(chunk) && !self.dead.has(chunk) {
            self.doubtful.insert(chunk);
        }
    }

    /// Whether nobody has any more to do with a chunk that is submitted, or is to have.
    pub(super) fn is_over(&self, chunk: u64) -> bool {
        self.committed.has(chunk) || self.dead.has(chunk) || self.refused.contains(&chunk)
    }

    /// Whether the chunk has a result that cannot be, and none that can.
    pub(super) fn is_doubtful(&self, chunk: u64) -> bool {
        self.doubtful.contains(&chunk)
    }

    fn take_task(&mut self, task: Task) {
        let chunk = task.chunk.index;
        if self.sweep.is_none() {
            self.told.take_in(&task);
        }
        self.submitted.set(chunk);
        if task.replays > 0 && task.retry_count == 0 {
            // A dead letter that is replayed begins anew.
            self.dead.clear(chunk);
            self.redelivered.remove(&chunk);
            self.released.remove(&chunk);
            self.retries.remove(&chunk);
            self.letters.take_all_of(chunk);
        } else if task.retry_count > 0 && !self.committed.has(chunk) && !self.dead.has(chunk) {
            self.retries.insert(chunk, Retry::of(task));
        }
    }

    fn take_letter(&mut self, place: u64, letter: DeadLetter, text: &str) {
        let task = letter.task();
        if let Some(task) = &task
            && self.sweep.as_ref().is_none_or(|it| task.check(&it.sweep).is_ok())
            && !self.committed.has(task.chunk.index)
        {
            self.dead.set(task.chunk.index);
            self.doubtful.remove(&task.chunk.index);
            self.refused.remove(&task.chunk.index);
            self.retries.remove(&task.chunk.index);
        }
        self.letters.put(place, letter, text, task.map(|task| task.chunk.index));
    }

    /// The last retry of a chunk that is not settled.
    pub(super) fn retry(&self, chunk: u64) -> Option<Task> {
        self.retries.get(&chunk).map(|retry| retry.task.clone())
    }

    fn delivered_again(&mut self, chunk: u64) {
        *self.redeliveries.entry(chunk).or_default() += 1;
        if let Some(retry) = self.retries.get_mut(&chunk) {
            retry.since = Instant::now();
        }
    }

    /// Retries whose chunk is not settled so long after they were put aside, or were last delivered
    /// again, and twice as long each time that they were sent again since.
    pub(super) fn overdue(&self, after: Duration) -> Vec<Task> {
        let is_overdue = |it: &&Retry| it.since.elapsed() >= after * (1 << it.times.min(16));
        self.retries.values().filter(is_overdue).map(|it| it.task.clone()).collect()
    }
}
