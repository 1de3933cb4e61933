//! What a journal says: which chunks are submitted, committed, dead, and what waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::chunk_counts::ChunkCounts;
use super::dead_letters::OpenLetters;
use super::record::Record;
use crate::chunk::CHUNKS_BOUND;
use crate::chunk_set::ChunkSet;
use crate::queue::told::Told;
use crate::queue::{Progress, SweepInfo};
use crate::wire::{self, DeadLetter, Task, TaskResult};

/// What a journal says, taken in record by record.
#[derive(Default, Serialize, Deserialize)]
pub(in crate::queue::rabbitmq) struct Digest {
    /// The place after the last that was taken in.
    pub(in crate::queue::rabbitmq) next: u64,
    /// How many records said that something happened.
    pub(in crate::queue::rabbitmq) events: u64,
    pub(in crate::queue::rabbitmq) store: Option<String>,
    /// A reset has made this journal: every task that there is stands in it.
    pub(in crate::queue::rabbitmq) follows_reset: bool,
    /// When its oldest task was made, in milliseconds since 1970, or its sweep was opened.
    oldest_ms: Option<i64>,
    /// The sweep, once a coordinator of ours has opened it.
    pub(in crate::queue::rabbitmq) sweep: Option<SweepInfo>,
    /// What tasks tell that came before.
    pub(in crate::queue::rabbitmq) told: Told,
    /// Chunks of results that came before, by their count: what the chunks are is not known yet.
    early: BTreeMap<u64, ChunkSet>,
    pub(in crate::queue::rabbitmq) submitted: ChunkSet,
    /// All chunks below this one are in the queue for good.
    pub(in crate::queue::rabbitmq) for_good: u64,
    pub(in crate::queue::rabbitmq) committed: ChunkSet,
    /// Chunks that have a result which they cannot come to, and none that they can.
    doubtful: BTreeSet<u64>,
    /// Those of them that nobody will compute any more.
    pub(in crate::queue::rabbitmq) refused: BTreeSet<u64>,
    pub(in crate::queue::rabbitmq) dead: ChunkSet,
    /// Dead letters that are there.
    pub(in crate::queue::rabbitmq) letters: OpenLetters,
    /// Of each task, since it was submitted or replayed.
    pub(in crate::queue::rabbitmq) redelivered: ChunkCounts,
    /// Of each chunk, ever.
    pub(in crate::queue::rabbitmq) redeliveries: ChunkCounts,
    /// Of chunks that are not settled, the last retry.
    retries: BTreeMap<u64, Retry>,
    /// Tasks that were fetched and put back at once.
    pub(in crate::queue::rabbitmq) returned: ChunkCounts,
    /// Tasks that were given back, or whose worker lived on.
    pub(in crate::queue::rabbitmq) released: ChunkCounts,
}

/// A retry that waits, or is with somebody, or is lost.
#[derive(Serialize, Deserialize)]
struct Retry {
    task: Task,
    /// Whoever goes on with somebody else's digest begins to wait anew.
    #[serde(skip, default = "Instant::now")]
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
    pub(in crate::queue::rabbitmq) fn take_in(&mut self, place: u64, record: Record) {
        if place <= self.next {
            return;
        }
        self.next = place;
        self.events += u64::from(!matches!(record, Record::Mark(_) | Record::Other));
        let chunks = self.sweep.as_ref().map_or(CHUNKS_BOUND, |info| info.sweep.chunks());
        match record {
            Record::Store(name) => {
                self.store.get_or_insert(name);
            }
            Record::Reset if self.sweep.is_none() => {
                self.follows_reset = true;
                // What came between the making of the journal and this is of the sweep before.
                (self.committed, self.dead) = Default::default();
                (self.early, self.doubtful, self.refused) = Default::default();
            }
            Record::Sweep(info) => self.open(info),
            Record::Task(task) => self.take_task(task),
            Record::Results { tasks_since_ms: Some(since), .. } if self.is_discarded(since) => {}
            Record::Results { results, .. } => {
                let fitting = results.into_iter().flatten().filter(|it| it.chunk_index < chunks);
                fitting.for_each(|result| self.take_result(&result));
            }
            Record::Refused(chunk) if self.doubtful.contains(&chunk) => {
                self.refused.insert(chunk);
            }
            Record::Letter(letter, text) => self.take_letter(place, letter, &text),
            Record::Gone(text) => self.letters.take(&text),
            Record::Again(task) => {
                self.has_task_of(&task.created_at);
                self.submitted.insert(task.chunk.index);
                if let Some(retry) = self.retries.get_mut(&task.chunk.index) {
                    (retry.since, retry.times) = (Instant::now(), retry.times + 1);
                }
            }
            // Whoever says more than there are has not submitted them.
            Record::Submitted(below) if below <= chunks => {
                // Somebody else's may have been computed before there was a journal.
                self.submitted.insert_range(self.for_good, below);
                self.for_good = self.for_good.max(below);
            }
            Record::Returned(chunk) => self.returned.add(chunk),
            Record::Released(chunk) | Record::Survived(chunk) => self.released.add(chunk),
            Record::Redelivered(chunk) => {
                self.redelivered.add(chunk);
                self.delivered_again(chunk);
            }
            Record::Repeated(chunk) => self.delivered_again(chunk),
            Record::Reset
            | Record::Submitted(_)
            | Record::Refused(_)
            | Record::Stray(_)
            | Record::NoTask(_)
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
        let results = early.iter().flat_map(|(count, chunks)| {
            let fits = |chunk| info.sweep.chunk_if_any(chunk).is_ok_and(|it| it.params() == *count);
            chunks.iter().map(move |chunk| (chunk, fits(chunk)))
        });
        for chunk in without_any_that_fits(results) {
            self.committed.remove(chunk);
            self.doubtful.insert(chunk);
        }
        let tasks = self.letters.after(0).filter_map(|(_, letter)| letter.task());
        let dead = tasks.map(|task| (task.chunk.index, task.check(&info.sweep).is_ok()));
        for chunk in without_any_that_fits(dead) {
            self.dead.remove(chunk);
        }
        self.has_task_of(&info.created_at);
        self.sweep = Some(info);
    }

    /// A task of this journal was made then.
    fn has_task_of(&mut self, created_at: &str) {
        if let Some(ms) = wire::ms(created_at) {
            self.oldest_ms = Some(self.oldest_ms.map_or(ms, |oldest| oldest.min(ms)));
        }
    }

    /// Whether a task that was made then, in milliseconds since 1970, is of a sweep that was discarded: it is older
    /// than all that came after the reset. Whose clock was late says so with its tasks, which come before their
    /// results.
    pub(in crate::queue::rabbitmq) fn is_discarded(&self, created_ms: i64) -> bool {
        self.follows_reset && self.oldest_ms.is_none_or(|oldest| created_ms < oldest)
    }

    fn take_result(&mut self, result: &TaskResult) {
        let (chunk, stats) = (result.chunk_index, &result.stats);
        let can_be = match &self.sweep {
            Some(info) => result.check(&info.sweep).is_ok(),
            None if stats.check(stats.count).is_ok() => {
                self.early.entry(stats.count).or_default().insert(chunk)
            }
            None => false,
        };
        if can_be {
            self.dead.remove(chunk);
            self.committed.insert(chunk);
            self.retries.remove(&chunk);
            self.doubtful.remove(&chunk);
            self.refused.remove(&chunk);
            // How often it was tried is of interest no more.
            self.redelivered.forget(chunk);
            self.released.forget(chunk);
        } else if !self.committed.contains(chunk) && !self.dead.contains(chunk) {
            self.doubtful.insert(chunk);
        }
    }

    /// Whether the sweep is known, and each of its chunks is settled.
    pub(in crate::queue::rabbitmq) fn is_complete(&self) -> bool {
        self.progress().is_complete()
    }

    /// Where the sweep stands.
    pub(in crate::queue::rabbitmq) fn progress(&self) -> Progress {
        let opened = self.sweep.as_ref().map(|info| info.sweep.chunks());
        let told = || self.told.sweep().map(|info| info.sweep.chunks());
        Progress {
            total: opened.or_else(told),
            submitted: self.submitted.len(),
            // What is stored for a refused one stays, and is told of by whoever reads it.
            committed: self.committed.len() + self.refused.len() as u64,
            dead: self.dead.len(),
        }
    }

    /// Whether nobody has any more to do with a chunk that is submitted, or is to have.
    pub(in crate::queue::rabbitmq) fn is_over(&self, chunk: u64) -> bool {
        self.committed.contains(chunk) || self.dead.contains(chunk) || self.refused.contains(&chunk)
    }

    /// Whether the chunk has a result that cannot be, and none that can.
    pub(in crate::queue::rabbitmq) fn is_doubtful(&self, chunk: u64) -> bool {
        self.doubtful.contains(&chunk)
    }

    fn take_task(&mut self, task: Task) {
        let chunk = task.chunk.index;
        self.has_task_of(&task.created_at);
        if self.sweep.is_none() {
            self.told.take_in(&task);
        }
        self.submitted.insert(chunk);
        if task.replays > 0 && task.retry_count == 0 {
            // A dead letter that is replayed begins anew.
            self.dead.remove(chunk);
            self.redelivered.forget(chunk);
            self.released.forget(chunk);
            self.retries.remove(&chunk);
            self.letters.take_all_of(chunk);
        } else if task.retry_count > 0
            && !self.committed.contains(chunk)
            && !self.dead.contains(chunk)
        {
            self.retries.insert(chunk, Retry::of(task));
        }
    }

    fn take_letter(&mut self, place: u64, letter: DeadLetter, text: &str) {
        let task = letter.task();
        if let Some(task) = &task
            && self.sweep.as_ref().is_none_or(|it| task.check(&it.sweep).is_ok())
            && !self.committed.contains(task.chunk.index)
        {
            self.dead.insert(task.chunk.index);
            self.doubtful.remove(&task.chunk.index);
            self.refused.remove(&task.chunk.index);
            self.retries.remove(&task.chunk.index);
        }
        self.letters.put(place, letter, text);
    }

    /// The last retry of a chunk that is not settled.
    pub(in crate::queue::rabbitmq) fn retry(&self, chunk: u64) -> Option<Task> {
        self.retries.get(&chunk).map(|retry| retry.task.clone())
    }

    fn delivered_again(&mut self, chunk: u64) {
        self.redeliveries.add(chunk);
        if let Some(retry) = self.retries.get_mut(&chunk) {
            retry.since = Instant::now();
        }
    }

    /// Retries whose chunk is not settled so long after they were put aside, or were last delivered
    /// again, and twice as long each time that they were sent again since.
    pub(in crate::queue::rabbitmq) fn overdue(&self, after: Duration) -> Vec<Task> {
        let is_overdue = |it: &&Retry| it.since.elapsed() >= after * (1 << it.times.min(16));
        self.retries.values().filter(is_overdue).map(|it| it.task.clone()).collect()
    }
}

/// The chunks of which something is said that does not fit the sweep, and nothing that does.
fn without_any_that_fits(said: impl Iterator<Item = (u64, bool)>) -> Vec<u64> {
    let (mut fitting, mut others) = (ChunkSet::default(), ChunkSet::default());
    for (chunk, fits) in said {
        let of = if fits { &mut fitting } else { &mut others };
        of.insert(chunk);
    }
    others.iter().filter(|chunk| !fitting.contains(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::Sweep;
    use crate::queue::rabbitmq::snapshot::{self, Position, Snapshot};
    use crate::stats::Stats;

    const SWEEP: Sweep = Sweep { start: 0, params: 40, chunk_size: 5 };

    /// When it was opened, and its tasks were made.
    const MADE: &str = "2026-01-02T03:04:05Z";
    const MADE_MS: i64 = 1_767_323_045_000;

    /// Another one, whose tasks come too.
    const LARGER: Sweep = Sweep { params: 60, ..SWEEP };

    fn task(chunk: u64, retry_count: u32, replays: u32) -> Task {
        let sweep = if chunk < SWEEP.chunks() { SWEEP } else { LARGER };
        Task { retry_count, replays, ..Task::first(&sweep, chunk, MADE) }
    }

    fn letter(chunk: u64, failures: u32) -> Record {
        let letter = DeadLetter {
            task: task(chunk, failures, 0).to_fields(),
            last_error: "no luck".to_owned(),
            failed_at: "2026-01-02T03:04:05Z".to_owned(),
            retry_count: failures,
        };
        let text = wire::to_message(&letter.to_fields());
        Record::Letter(DeadLetter::from_fields(wire::from_json(&text)), text)
    }

    /// A result that may or may not be what its chunk can come to.
    fn result(chunk: u64, count: u64) -> TaskResult {
        let stats = Stats { sum: 2.0 * count as f64, count, min: 2.0, max: 2.0, avg: 2.0 };
        let (worker_id, completed_at) = ("worker-1".to_owned(), String::new());
        TaskResult { chunk_index: chunk, worker_id, duration_seconds: 0.0, completed_at, stats }
    }

    fn of_tasks_since(
        tasks_since_ms: Option<i64>,
        results: Vec<Result<TaskResult, String>>,
    ) -> Record {
        Record::Results { results, tasks_since_ms }
    }

    fn sweep() -> Record {
        let (job_id, created_at) = ("job".to_owned(), MADE.to_owned());
        Record::Sweep(SweepInfo { sweep: SWEEP, job_id, created_at })
    }

    /// How to make a record: records cannot be cloned.
    type Make = (u8, u64, u32);

    fn record((kind, chunk, number): Make) -> Record {
        match kind {
            0 => Record::Store(format!("store {number}")),
            1 => sweep(),
            2 => Record::Task(task(chunk, 0, 0)),
            3 => Record::Task(task(chunk, 1 + number, 0)),
            4 => Record::Task(task(chunk, 0, 1 + number)),
            5 => Record::Again(task(chunk, number, 0)),
            6 => Record::Submitted(chunk),
            7 => of_tasks_since(None, vec![Ok(result(chunk, 5)); 1 + number as usize]),
            8 => {
                let result = result(chunk, 1 + u64::from(number));
                of_tasks_since(Some(MADE_MS), vec![Ok(result), Err("garbage".to_owned())])
            }
            9 => of_tasks_since(Some(MADE_MS - 1), vec![Ok(result(chunk, 5))]),
            10 => Record::Refused(chunk),
            11 => letter(chunk, number),
            12 => match letter(chunk, number) {
                Record::Letter(_, text) => Record::Gone(text),
                _ => unreachable!(),
            },
            13 => Record::Redelivered(chunk),
            14 => Record::Repeated(chunk),
            15 => Record::Survived(chunk),
            16 => Record::Returned(chunk),
            17 => Record::Released(chunk),
            18 => Record::Mark(format!("mark {number}")),
            19 => Record::Stray(task(chunk, 1, 0)),
            20 => Record::NoTask("garbage".to_owned()),
            21 => Record::Reset,
            _ => Record::Other,
        }
    }

    const MARK: Make = (18, 0, 0);

    fn records() -> impl Strategy<Value = Vec<Make>> {
        prop::collection::vec((0..23u8, 0..10u64, 0..3u32), 0..120)
    }

    fn read(digest: &mut Digest, from: usize, records: &[Make]) {
        for (place, make) in (from..).zip(records) {
            digest.take_in(place as u64 + 1, record(*make));
        }
    }

    fn bytes(digest: &Digest) -> Vec<u8> {
        postcard::to_allocvec(digest).expect("can be written")
    }

    #[test]
    fn whoever_changes_what_a_snapshot_says_raises_its_format() {
        // A reset comes first: it says that nothing before counts.
        let kinds = [21].into_iter().chain((0..23).filter(|kind| *kind != 21));
        let mut records: Vec<Make> = kinds.map(|kind| (kind, u64::from(kind) % 8, 1)).collect();
        // What is left of it: a result that cannot be, a letter, and a retry that was sent again.
        records.extend([(8, 2, 2), (11, 4, 3), (3, 5, 0), (5, 5, 0), MARK]);
        let mut digest = Digest::default();
        read(&mut digest, 0, &records);
        let at = Position { place: records.len() as u64 - 1, mark: "mark 0".to_owned() };
        let written = snapshot::encode(&at, &digest);
        let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        // The file is named after the format: a new one is accepted beside a format that was raised.
        let name = format!("format_{}", snapshot::FORMAT);
        insta::with_settings!({
            description => "what a snapshot says has changed: raise FORMAT in snapshot/mod.rs"
        }, { insta::assert_snapshot!(name, hex) });
    }

    fn said(records: Vec<Record>) -> Digest {
        let mut digest = Digest::default();
        (1..).zip(records).for_each(|(place, record)| digest.take_in(place, record));
        digest
    }

    /// A worker that was frozen when its sweep was discarded wakes up and stores what it has.
    #[test]
    fn results_of_a_sweep_that_was_discarded_do_not_count() {
        let late = || of_tasks_since(Some(MADE_MS - 1), vec![Ok(result(1, 5))]);
        let of_its_own = || of_tasks_since(Some(MADE_MS), vec![Ok(result(2, 5))]);
        let of_whoever_says_nothing = || of_tasks_since(None, vec![Ok(result(3, 5))]);
        for before in [vec![Record::Reset, late(), sweep()], vec![late(), Record::Reset, sweep()]] {
            assert_eq!(said(before).progress().committed, 0);
        }
        let after =
            said(vec![Record::Reset, sweep(), late(), of_its_own(), of_whoever_says_nothing()]);
        assert_eq!(after.committed.iter().collect::<Vec<_>>(), [2, 3]);
        // Where nobody has discarded anything, tasks may be older than their journal.
        assert_eq!(said(vec![sweep(), late()]).progress().committed, 1);
        // A second coordinator's clock is late, and its tasks come before their results.
        let made_earlier = Task { created_at: "2026-01-02T03:04:04Z".to_owned(), ..task(1, 0, 0) };
        let late_clock = said(vec![Record::Reset, sweep(), Record::Task(made_earlier), late()]);
        assert_eq!(late_clock.progress().committed, 1);
    }

    #[test]
    fn dead_letters_before_a_sweep_was_opened_are_held_against_it() {
        let (its_own, of_another, beyond) = (3, 7, SWEEP.chunks() + 1);
        let other = Sweep { chunk_size: 4, ..SWEEP };
        let letter_of_another = {
            let fields = Task::first(&other, of_another, MADE).to_fields();
            let letter = DeadLetter { task: fields, ..DeadLetter::from_fields(Default::default()) };
            let text = wire::to_message(&letter.to_fields());
            Record::Letter(DeadLetter::from_fields(wire::from_json(&text)), text)
        };
        let digest = said(vec![letter(its_own, 1), letter_of_another, letter(beyond, 1), sweep()]);
        assert_eq!(digest.dead.iter().collect::<Vec<_>>(), [its_own]);
        assert_eq!(digest.letters.count(), 3, "they stay to be looked at");
    }

    /// A server that was killed says of every task that it may have been delivered before.
    #[test]
    fn a_snapshot_of_a_large_sweep_stays_small_however_often_its_server_was_killed() {
        const CHUNKS: u64 = 1_000_000;
        let mut digest = Digest::default();
        let chunks = (0..CHUNKS).map(|at| at * 999_979 % CHUNKS);
        let again = chunks.flat_map(|chunk| [0; 3].map(|_| Record::Redelivered(chunk)));
        (1..).zip(again).for_each(|(place, record)| digest.take_in(place, record));
        let half = (0..CHUNKS).filter(|chunk| chunk % 7 < 3);
        half.for_each(|chunk| digest.redeliveries.add(chunk));
        assert!(bytes(&digest).len() < 200_000, "{} bytes", bytes(&digest).len());
    }

    proptest! {
        #[test]
        fn a_snapshot_anywhere_and_what_follows_say_the_same_as_the_whole(
            records in records(), at: prop::sample::Index, again in 0..20usize,
        ) {
            let mut records = records;
            let at = at.index(records.len() + 1);
            records.insert(at, MARK);
            let mut whole = Digest::default();
            read(&mut whole, 0, &records);
            let mut before = Digest::default();
            read(&mut before, 0, &records[..=at]);
            let position = Position { place: at as u64, mark: "mark".to_owned() };
            let written = snapshot::encode(&position, &before);
            let snapshot = Snapshot::read(&written).expect("can be read");
            prop_assert_eq!(snapshot.at, position);
            // Whoever goes on may come to some records that the snapshot tells of already.
            let mut after = snapshot.digest;
            let from = at.saturating_sub(again);
            read(&mut after, from, &records[from..]);
            prop_assert_eq!(bytes(&after), bytes(&whole));
            prop_assert_eq!(after.progress(), whole.progress());
            let waiting = |digest: &Digest| digest.overdue(Duration::ZERO);
            prop_assert_eq!(waiting(&after), waiting(&whole));
            let letters = |digest: &Digest| {
                digest.letters.after(0).map(|(place, it)| (place, it.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(letters(&after), letters(&whole));
        }

        #[test]
        fn what_is_no_snapshot_is_none(records in records(), cut: prop::sample::Index, byte: u8) {
            let mut digest = Digest::default();
            read(&mut digest, 0, &records);
            read(&mut digest, records.len(), &[MARK]);
            let write = |place| {
                let position = Position { place, mark: "mark".to_owned() };
                snapshot::encode(&position, &digest)
            };
            let place = records.len() as u64;
            let mut body = write(place);
            prop_assert!(Snapshot::read(&body).is_some());
            prop_assert!(Snapshot::read(&write(place + 1)).is_none());
            let cut = cut.index(body.len());
            prop_assert!(Snapshot::read(&body[..cut]).is_none());
            // Of another format, or spoilt: nothing worse than a snapshot of something else.
            body[0] = 0;
            prop_assert!(Snapshot::read(&body).is_none());
            (body[0], body[cut]) = (snapshot::FORMAT, byte);
            Snapshot::read(&body);
        }
    }
}
