//! The journal, read and kept in mind.

mod chunk_counts;
mod dead_letters;
pub(super) mod digest;
pub(super) mod reader;
pub(super) mod record;
mod store_identity;

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use lapin::message::Delivery as Message;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use self::digest::Digest;
use self::reader::Reader;
use self::record::{Fingerprint, Record, new_mark};
use self::store_identity::StoreIdentity;
use super::connection::{Life, ReconnectingClient};
use super::error::Outcome;
use super::snapshot::{Opened, Position, Reading, Writer, open_ahead, open_journal};
use super::topology::Queues;
use crate::queue::told::Told;
use crate::queue::{Progress, Result, SweepInfo};
use crate::wire::{DeadLetter, Task};

/// How long the name of data is looked for that is about to be deleted.
const NAMED: Duration = Duration::from_secs(5);

/// Records that are read at most of what stands at the beginning.
const FIRST: usize = 64;

/// Whoever has read so much, and is not at the end, looks whether somebody has written down what follows.
const MUCH: usize = 1_000;

/// What the journal says, as far as it was read.
pub(super) struct Journal {
    queues: Queues,
    reader: Mutex<Option<OpenJournal>>,
    reading: RefCell<Reading>,
    /// Its beginning is gone.
    is_cut: Cell<bool>,
    identity: StoreIdentity,
}

/// A reader, and the life of the connection that it reads over.
struct OpenJournal {
    life: u64,
    reader: Reader,
}

/// Whether it is enough to read to the mark that opening the journal writes. It goes over a channel of its own, and
/// so may stand before what this connection has published and nobody has confirmed.
#[derive(PartialEq, Eq)]
enum FirstMark {
    WillDo,
    IsTooEarly,
}

/// What stands first in the journal, as far as it was looked for.
pub(super) struct Beginning {
    /// The name of the data. It is written before anything else where the coordinator is ours.
    pub(super) store: Option<String>,
    /// A sweep that was opened.
    pub(super) sweep: Option<SweepInfo>,
}

impl Journal {
    pub(super) fn new(queues: &Queues, writer: Writer) -> Self {
        Self {
            queues: queues.clone(),
            reader: Mutex::default(),
            reading: RefCell::new(Reading::new(writer)),
            is_cut: Cell::new(false),
            identity: StoreIdentity::default(),
        }
    }

    /// Reads everything that is there now.
    pub(super) async fn catch_up(&self, client: &ReconnectingClient) -> Result<()> {
        client.call(async |life: Rc<Life>| self.read(&life, FirstMark::WillDo).await).await
    }

    /// As `catch_up`, on this connection, and to a mark behind all that was published over it.
    pub(super) async fn read_on(&self, life: &Life) -> Outcome<()> {
        self.read(life, FirstMark::IsTooEarly).await
    }

    /// Reads to the end: to the mark that opening the journal has written there, if that will do, or to a new one.
    async fn read(&self, life: &Life, first: FirstMark) -> Outcome<()> {
        let mut slot = self.reader.lock().await;
        let (open, end) = match slot.take() {
            Some(open) if open.life == life.number => (open, None),
            _ => self.open(life).await?,
        };
        let end = end.filter(|_| first == FirstMark::WillDo);
        *slot = Some(self.read_to_end(open, end, life).await?);
        Ok(())
    }

    /// Reads what has come by itself, without asking where the end is, if it is not far.
    pub(super) async fn follow(&self, life: &Life) -> Outcome<()> {
        let mut slot = self.reader.lock().await;
        let is_near = match slot.as_mut().filter(|open| open.life == life.number) {
            Some(open) => self.take_in_waiting(&mut open.reader).await,
            None => Ok(false),
        };
        match is_near {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                *slot = None;
                return Err(error);
            }
        }
        drop(slot);
        self.read_on(life).await
    }

    /// Takes in what waits to be read. False where there is much of it.
    async fn take_in_waiting(&self, reader: &mut Reader) -> Outcome<bool> {
        for _ in 0..MUCH {
            reader.turn.give_way().await;
            let Some(read) = reader.next().now_or_never() else { return Ok(true) };
            let message = read?;
            self.take_in(reader, Record::read(&message), &message)?;
        }
        Ok(false)
    }

    /// Takes in what a message says that was read just now.
    fn take_in(&self, reader: &Reader, record: Record, message: &Message) -> Outcome<()> {
        self.reading.borrow_mut().take_in(reader.next, record, Fingerprint::of(message))
    }

    /// What stands first, on this connection; everything is read only where neither that nor a snapshot
    /// names the data.
    pub(super) async fn read_beginning(&self, life: &Life) -> Outcome<Beginning> {
        let mut beginning = self.read_first(life).await?;
        if beginning.store.is_none() {
            self.read_on(life).await?;
            beginning.store = self.store();
        }
        Ok(beginning)
    }

    async fn read_first(&self, life: &Life) -> Outcome<Beginning> {
        let mut reader =
            life.answered(Reader::open_briefly(&life.connection, &self.queues)).await?;
        let mine = self.ask_for_end(life).await?;
        let mut beginning = Beginning { store: None, sweep: None };
        for _ in 0..FIRST {
            match Record::read_own(&reader.next_soon().await?) {
                Some(Record::Store(name)) => _ = beginning.store.get_or_insert(name),
                Some(Record::Sweep(info)) => _ = beginning.sweep.get_or_insert(info),
                Some(Record::Mark(mark)) if mark == mine => break,
                _ => {}
            }
            if beginning.store.is_some() && beginning.sweep.is_some() {
                break;
            }
        }
        self.is_cut.set(reader.begins_late);
        Ok(beginning)
    }

    /// The name of the data, for whoever is about to delete the journal: it may hold anything, and nothing
    /// else of it is read. What does not come within a few seconds is not there.
    pub(super) async fn find_store(&self, life: &Life) -> Option<String> {
        timeout(NAMED, self.search_store(life)).await.ok()?.ok()?
    }

    async fn search_store(&self, life: &Life) -> Outcome<Option<String>> {
        let mut reader = Reader::open(&life.connection, &self.queues, 0).await?;
        let mine = self.ask_for_end(life).await?;
        loop {
            match Record::read_own(&reader.next_soon().await?) {
                Some(Record::Store(name)) => return Ok(Some(name)),
                Some(Record::Mark(mark)) if mark == mine => return Ok(None),
                _ => {}
            }
        }
    }

    /// A sweep that was opened in this data, or that tasks tell of.
    pub(super) async fn read_sweep(&self, life: &Life) -> Outcome<Option<SweepInfo>> {
        if let Some(sweep) = self.read_beginning(life).await?.sweep {
            return Ok(Some(sweep));
        }
        self.read_on(life).await?;
        Ok(self.sweep())
    }

    /// Opens it as far on as can be, with a mark at its end if there is one already. In another journal than
    /// before everything is read anew.
    async fn open(&self, life: &Life) -> Outcome<(OpenJournal, Option<String>)> {
        let own = self.reading.borrow().read_to().cloned();
        let opening = open_journal(&life.connection, &self.queues, own.as_ref());
        let Opened { reader, start, end } = life.answered(opening).await?;
        self.reading.borrow_mut().begin_at(start);
        Ok((OpenJournal { life: life.number, reader }, end))
    }

    /// Reads to this mark of its own, or to a new one.
    async fn read_to_end(
        &self,
        mut open: OpenJournal,
        end: Option<String>,
        life: &Life,
    ) -> Outcome<OpenJournal> {
        let mut mine = match end {
            Some(end) => end,
            None => self.ask_for_end(life).await?,
        };
        let mut read = 0;
        loop {
            let message = open.reader.next_soon().await?;
            let record = Record::read(&message);
            let is_end = matches!(&record, Record::Mark(mark) if *mark == mine);
            self.take_in(&open.reader, record, &message)?;
            if is_end {
                if self.digest().next != open.reader.next {
                    return Err(self.reading.borrow_mut().has_gone_back());
                }
                let at = Position { place: open.reader.next - 1, mark: mine };
                self.has_read_to(at, &open.reader).await?;
                return Ok(open);
            }
            read += 1;
            if read == MUCH
                && let Some(end) = self.skip_what_is_told(&mut open.reader, life).await?
            {
                // The snapshot may stand behind the mark.
                mine = end;
            }
        }
    }

    async fn ask_for_end(&self, life: &Life) -> Outcome<String> {
        let mine = new_mark();
        life.publish(&[record::mark(&self.queues, &mine)]).await?;
        Ok(mine)
    }

    /// Goes on behind the last snapshot, where that is further on, to a mark that follows.
    async fn skip_what_is_told(&self, reader: &mut Reader, life: &Life) -> Outcome<Option<String>> {
        let opening = open_ahead(&life.connection, &self.queues, reader.next);
        let Some(opened) = life.answered(opening).await? else { return Ok(None) };
        *reader = opened.reader;
        self.reading.borrow_mut().begin_at(opened.start);
        Ok(opened.end)
    }

    /// Keeps in mind how far it was read, and tells others of it where that is due.
    async fn has_read_to(&self, mark: Position, reader: &Reader) -> Outcome<()> {
        let snapshot = {
            let mut reading = self.reading.borrow_mut();
            reading.come_to(mark);
            let is_due = reading.due_at().is_some_and(|at| at <= Instant::now());
            is_due.then(|| reading.write(&self.queues, reader.begins_late)).flatten()
        };
        match snapshot {
            Some(snapshot) => reader.mention(&snapshot).await,
            None => Ok(()),
        }
    }

    /// Begins anew at the next reading: the journal is about to be deleted.
    pub(super) async fn close(&self) {
        *self.reader.lock().await = None;
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
        self.digest().progress()
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
        self.digest().submitted.contains(chunk)
    }

    /// Whether the chunk is committed or dead, as far as was read.
    pub(super) fn is_settled(&self, chunk: u64) -> bool {
        let digest = self.digest();
        digest.committed.contains(chunk) || digest.dead.contains(chunk)
    }

    /// Whether the chunk is dead, as far as was read.
    pub(super) fn is_dead(&self, chunk: u64) -> bool {
        self.digest().dead.contains(chunk)
    }

    /// Whether the chunk is committed, as far as was read.
    pub(super) fn is_committed(&self, chunk: u64) -> bool {
        self.digest().committed.contains(chunk)
    }

    /// Whether a reset has made this journal, as far as was read.
    pub(super) fn follows_reset(&self) -> bool {
        self.digest().follows_reset
    }

    /// Whether a task that was made then is of a sweep that was discarded (`Digest::is_discarded`), as far as was
    /// read.
    pub(super) fn is_discarded(&self, created_ms: i64) -> bool {
        self.digest().is_discarded(created_ms)
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
        let again = digest.redelivered.of(chunk).saturating_sub(digest.returned.of(chunk));
        (again, digest.released.of(chunk))
    }

    /// How often each chunk's task was delivered again, as far as workers have written it down, and
    /// how often it was only fetched and put back.
    pub(super) fn redelivered(&self) -> (BTreeMap<u64, u64>, BTreeMap<u64, u64>) {
        (self.digest().redeliveries.to_map(), self.digest().returned.to_map())
    }

    fn digest(&self) -> Ref<'_, Digest> {
        Ref::map(self.reading.borrow(), Reading::digest)
    }
}
