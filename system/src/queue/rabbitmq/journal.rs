//! The journal, read and kept in mind.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Queues;
use super::digest::Digest;
use super::life::{Life, Outcome};
use super::link::Link;
use super::reader::Reader;
use super::record::{self, Record};
use crate::queue::told::Told;
use crate::queue::{Progress, Result, SweepInfo};
use crate::wire::{DeadLetter, Task};

/// How long the name of data is looked for that is about to be deleted.
const NAMED: Duration = Duration::from_secs(5);

/// What the journal says, as far as it was read.
pub(super) struct Journal {
    queues: Queues,
    reader: Mutex<Option<Reader>>,
    digest: RefCell<Digest>,
    /// Place of the last mark of ours that was come to, and its text, which nobody else has.
    read_to: RefCell<Option<(u64, String)>>,
    marks: Cell<u64>,
    /// Its beginning is gone.
    is_cut: Cell<bool>,
}

impl Journal {
    pub(super) fn new(queues: &Queues) -> Self {
        Self {
            queues: queues.clone(),
            reader: Mutex::default(),
            digest: RefCell::default(),
            read_to: RefCell::default(),
            marks: Cell::new(0),
            is_cut: Cell::new(false),
        }
    }

    /// Reads everything that is there now.
    pub(super) async fn catch_up(&self, link: &Link) -> Result<()> {
        link.call(async |life: Rc<Life>| self.read_on(&life).await).await
    }

    /// As `catch_up`, on this connection.
    pub(super) async fn read_on(&self, life: &Life) -> Outcome<()> {
        self.read_until(life, |_| false).await
    }

    /// The name of the data, on this connection. It is written before anything else where the
    /// coordinator is ours, and no more is read than is needed: whoever starts starts at once,
    /// however much there is.
    pub(super) async fn read_store(&self, life: &Life) -> Outcome<Option<String>> {
        self.read_until(life, |digest| digest.store.is_some()).await?;
        Ok(self.store())
    }

    /// The same, for whoever is about to delete the journal: it may hold anything, and nothing else of it
    /// is read. What does not come within a few seconds is not there.
    pub(super) async fn find_store(&self, life: &Life) -> Option<String> {
        timeout(NAMED, self.search_store(life)).await.ok()?.ok()?
    }

    async fn search_store(&self, life: &Life) -> Outcome<Option<String>> {
        let mut reader = Reader::open(life, 0).await?;
        let mine = self.new_mark();
        life.publish(&[record::mark(&self.queues, &mine)]).await?;
        loop {
            match Record::read_own(&reader.next_soon().await?) {
                Some(Record::Store(name)) => return Ok(Some(name)),
                Some(Record::Mark(mark)) if mark == mine => return Ok(None),
                _ => {}
            }
        }
    }

    /// A sweep that was opened in this data, or that tasks tell of, as `read_store`.
    pub(super) async fn read_sweep(&self, life: &Life) -> Outcome<Option<SweepInfo>> {
        self.read_until(life, |digest| digest.sweep.is_some()).await?;
        Ok(self.sweep())
    }

    /// Reads what has come by itself, without asking where the end is.
    pub(super) async fn follow(&self, life: &Life) -> Outcome<()> {
        let mut slot = self.reader.lock().await;
        let Some(reader) = slot.as_mut().filter(|reader| reader.life == life.number) else {
            drop(slot);
            return self.read_on(life).await;
        };
        while let Some(read) = reader.next().now_or_never() {
            reader.turn.give_way().await;
            match read {
                Ok(message) => {
                    let record = Record::read(&message);
                    self.digest.borrow_mut().take_in(reader.next, record);
                }
                Err(trouble) => {
                    *slot = None;
                    return Err(trouble);
                }
            }
        }
        Ok(())
    }

    /// Reads until enough is known, or everything that is there now.
    async fn read_until(&self, life: &Life, is_enough: impl Fn(&Digest) -> bool) -> Outcome<()> {
        let mut slot = self.reader.lock().await;
        if slot.as_ref().is_none_or(|reader| reader.life != life.number) {
            *slot = Some(self.open(life).await?);
        }
        if is_enough(&self.digest()) {
            return Ok(());
        }
        let reader = slot.as_mut().expect("it was opened just now");
        let read = self.read_with(reader, life, is_enough).await;
        self.is_cut.set(self.is_cut.get() || reader.begins_late);
        if read.is_err() {
            *slot = None;
        }
        read
    }

    async fn read_with(
        &self,
        reader: &mut Reader,
        life: &Life,
        is_enough: impl Fn(&Digest) -> bool,
    ) -> Outcome<()> {
        let mine = self.new_mark();
        life.publish(&[record::mark(&self.queues, &mine)]).await?;
        while !is_enough(&self.digest()) {
            match Record::read(&reader.next_soon().await?) {
                Record::Mark(mark) if mark == mine => {
                    self.read_to.replace(Some((reader.next - 1, mark)));
                    break;
                }
                record => self.digest.borrow_mut().take_in(reader.next, record),
            }
        }
        Ok(())
    }

    /// Goes on after our last mark, where that is still in its place. In another journal it is not:
    /// that one is read from its beginning.
    async fn open(&self, life: &Life) -> Outcome<Reader> {
        let read_to = self.read_to.borrow().clone();
        if let Some((place, last)) = read_to
            && place < self.end(life).await?
        {
            let mut reader = life.answered(Reader::open(life, place)).await?;
            if matches!(Record::read(&reader.next_soon().await?), Record::Mark(it) if it == last) {
                return Ok(reader);
            }
        }
        let reader = life.answered(Reader::open(life, 0)).await?;
        self.read_to.replace(None);
        self.is_cut.set(false);
        *self.digest.borrow_mut() = Digest::default();
        Ok(reader)
    }

    /// The place of a new mark: nothing ever comes to whoever reads from a place beyond the end.
    async fn end(&self, life: &Life) -> Outcome<u64> {
        let mut reader = life.answered(Reader::open_at_end(life)).await?;
        let mine = self.new_mark();
        life.publish(&[record::mark(&self.queues, &mine)]).await?;
        loop {
            if matches!(Record::read(&reader.next_soon().await?), Record::Mark(it) if it == mine) {
                return Ok(reader.next - 1);
            }
        }
    }

    /// Begins anew at the next reading: the journal is about to be deleted.
    pub(super) async fn close(&self) {
        *self.reader.lock().await = None;
    }

    /// A mark that is nobody else's.
    pub(super) fn new_mark(&self) -> String {
        self.marks.set(self.marks.get() + 1);
        format!("{:016x}-{}", fastrand::u64(..), self.marks.get())
    }

    /// The name of the data, as far as was read.
    pub(super) fn store(&self) -> Option<String> {
        self.digest().store.clone()
    }

    /// The sweep, as far as was read: the one that was opened, or that somebody else's tasks tell of.
    pub(super) fn sweep(&self) -> Option<SweepInfo> {
        self.opened().or_else(|| self.digest().told.sweep())
    }

    /// The sweep that was opened, as far as was read.
    pub(super) fn opened(&self) -> Option<SweepInfo> {
        self.digest().sweep.clone()
    }

    /// What tasks tell that came before a sweep was opened, as far as was read.
    pub(super) fn told(&self) -> Ref<'_, Told> {
        Ref::map(self.digest(), |digest| &digest.told)
    }

    /// Where the sweep stands, as far as was read.
    pub(super) fn progress(&self) -> Progress {
        let digest = self.digest();
        let opened = digest.sweep.as_ref().map(|info| info.sweep.chunks());
        let told = || digest.told.sweep().map(|info| info.sweep.chunks());
        Progress {
            total: opened.or_else(told),
            submitted: digest.submitted.count,
            // What is stored for a refused one stays, and is told of by whoever reads it.
            committed: digest.committed.count + digest.refused.len() as u64,
            dead: digest.dead.count,
        }
    }

    /// Chunks that are submitted and not settled, as far as was read.
    pub(super) fn open_chunks(&self) -> Vec<u64> {
        let digest = self.digest();
        digest.submitted.iter().filter(|chunk| !digest.is_over(*chunk)).collect()
    }

    /// Whether the chunk has a result that cannot be, and none that can, as far as was read.
    pub(super) fn is_doubtful(&self, chunk: u64) -> bool {
        self.digest().is_doubtful(chunk)
    }

    /// The last retry of a chunk that is not settled, as far as was read.
    pub(super) fn retry(&self, chunk: u64) -> Option<Task> {
        self.digest().retry(chunk)
    }

    /// How many records say that something happened, as far as was read.
    pub(super) fn events(&self) -> u64 {
        self.digest().events
    }

    /// Whether the journal's beginning is gone, as far as was read.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    /// All chunks below this one are in the queue for good, as far as was read. Others may be: the
    /// journal can show what the queue has lost with a server that was killed.
    pub(super) fn submitted_for_good(&self) -> u64 {
        self.digest().for_good
    }

    /// Whether the journal shows a task of the chunk, as far as was read.
    pub(super) fn is_submitted(&self, chunk: u64) -> bool {
        self.digest().submitted.has(chunk)
    }

    /// Whether the chunk is committed or dead, as far as was read.
    pub(super) fn is_settled(&self, chunk: u64) -> bool {
        let digest = self.digest();
        digest.committed.has(chunk) || digest.dead.has(chunk)
    }

    /// Whether the chunk is dead, as far as was read.
    pub(super) fn is_dead(&self, chunk: u64) -> bool {
        self.digest().dead.has(chunk)
    }

    /// Whether the chunk is committed, as far as was read.
    pub(super) fn is_committed(&self, chunk: u64) -> bool {
        self.digest().committed.has(chunk)
    }

    /// Whether the sweep was opened after this moment, in milliseconds since 1970.
    pub(super) fn is_before_sweep(&self, at_ms: i64) -> bool {
        let digest = self.digest();
        match &digest.sweep {
            Some(info) => crate::wire::ms(&info.created_at).is_some_and(|ms| at_ms < ms),
            // The sweep was discarded, and no task of this journal is of another.
            None => digest.submitted.count == 0,
        }
    }

    /// Retries that are overdue (`Digest::overdue`), as far as was read.
    pub(super) fn overdue(&self, after: Duration) -> Vec<Task> {
        self.digest().overdue(after)
    }

    /// Up to `max` dead letters that are neither replayed nor dropped, after a place and with
    /// theirs, as far as was read.
    pub(super) fn letters(&self, after: u64, max: usize) -> Vec<(u64, DeadLetter)> {
        let digest = self.digest();
        digest.letters.after(after).take(max).map(|(place, it)| (place, it.clone())).collect()
    }

    /// How many dead letters are neither replayed nor dropped, as far as was read.
    pub(super) fn letters_there(&self) -> u64 {
        self.digest().letters.count()
    }

    /// How often the chunk's task was delivered again until now, and how many of those times its
    /// worker had given it back, or lived on.
    pub(super) fn deliveries_again(&self, chunk: u64) -> (u64, u64) {
        let digest = self.digest();
        let of = |counts: &BTreeMap<u64, u64>| counts.get(&chunk).copied().unwrap_or(0);
        (of(&digest.redelivered).saturating_sub(of(&digest.returned)), of(&digest.released))
    }

    /// How often each chunk's task was delivered again, as far as workers have written it down, and
    /// how often it was only fetched and put back.
    pub(super) fn redelivered(&self) -> (BTreeMap<u64, u64>, BTreeMap<u64, u64>) {
        (self.digest().redeliveries.clone(), self.digest().returned.clone())
    }

    fn digest(&self) -> Ref<'_, Digest> {
        self.digest.borrow()
    }
}
