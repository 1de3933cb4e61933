//! The journal, read and kept in mind: which chunks are submitted, committed, dead.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Queues;
use super::life::{Life, Outcome, Trouble};
use super::link::Link;
use super::record::{self, Record};
use crate::queue::{Progress, Result, SweepInfo};
use crate::wire::DeadLetter;

/// Messages that the server sends ahead.
const AHEAD: u16 = 1000;

/// Longest wait for what must come.
const ANSWER: Duration = Duration::from_secs(10);

/// Messages after which the server is told how far we have read.
const STEP: u32 = 250;

/// Reads the journal from a place on.
pub(super) struct Reader {
    /// Of the connection that it reads over.
    pub(super) life: u64,
    /// Place of the next message.
    pub(super) next: u64,
    _channel: Channel,
    consumer: Consumer,
    unacknowledged: u32,
}

impl Reader {
    pub(super) async fn open(life: &Life, from: u64) -> Outcome<Self> {
        let place = AMQPValue::LongLongInt(i64::try_from(from).unwrap_or(i64::MAX));
        Self::open_at(life, from, place).await
    }

    /// Reads what comes from now on.
    async fn open_at_end(life: &Life) -> Outcome<Self> {
        Self::open_at(life, 0, AMQPValue::LongString("next".into())).await
    }

    async fn open_at(life: &Life, next: u64, offset: AMQPValue) -> Outcome<Self> {
        let channel = life.connection.create_channel().await?;
        channel.basic_qos(AHEAD, BasicQosOptions::default()).await?;
        let mut place = FieldTable::default();
        place.insert("x-stream-offset".into(), offset);
        let (journal, options) = (life.queues.journal(), BasicConsumeOptions::default());
        let consumer =
            channel.basic_consume(journal.as_str().into(), "".into(), options, place).await?;
        Ok(Self { life: life.number, next, _channel: channel, consumer, unacknowledged: 0 })
    }

    /// The next message, where there is one: a mark of our own at least.
    pub(super) async fn next_soon(&mut self) -> Outcome<Message> {
        let ended = || Trouble::new("the journal ends before its end");
        timeout(ANSWER, self.next()).await.map_err(|_| ended())?
    }

    /// The next message. Nothing is lost where this is dropped.
    pub(super) async fn next(&mut self) -> Outcome<Message> {
        loop {
            let message = match self.consumer.next().await {
                Some(message) => message?,
                None => return Err(Trouble::new("the journal was deleted")),
            };
            self.unacknowledged += 1;
            if self.unacknowledged >= STEP {
                self.unacknowledged = 0;
                // Not awaited for long: the answer of nobody is needed.
                message.acker.ack(BasicAckOptions { multiple: true }).now_or_never();
            }
            let place = place(&message).unwrap_or(self.next);
            if place >= self.next {
                self.next = place + 1;
                return Ok(message);
            }
        }
    }
}

fn place(message: &Message) -> Option<u64> {
    match message.properties.headers().as_ref()?.inner().get("x-stream-offset")? {
        AMQPValue::LongLongInt(place) => u64::try_from(*place).ok(),
        _ => None,
    }
}

/// What the journal says, as far as it was read.
pub(super) struct Journal {
    queues: Queues,
    reader: Mutex<Option<Reader>>,
    digest: RefCell<Digest>,
    /// Place of the last mark of ours that was come to, and its text, which nobody else has.
    read_to: RefCell<Option<(u64, String)>>,
    marks: Cell<u64>,
}

impl Journal {
    pub(super) fn new(queues: &Queues) -> Self {
        Self {
            queues: queues.clone(),
            reader: Mutex::default(),
            digest: RefCell::default(),
            read_to: RefCell::default(),
            marks: Cell::new(0),
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

    /// A sweep that was opened in this data, as `read_store`.
    pub(super) async fn read_sweep(&self, life: &Life) -> Outcome<Option<SweepInfo>> {
        self.read_until(life, |digest| digest.sweep.is_some()).await?;
        Ok(self.sweep())
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

    /// The sweep, as far as was read.
    pub(super) fn sweep(&self) -> Option<SweepInfo> {
        self.digest().sweep.clone()
    }

    /// Where the sweep stands, as far as was read.
    pub(super) fn progress(&self) -> Progress {
        let digest = self.digest();
        Progress {
            total: digest.sweep.as_ref().map(|info| info.sweep.chunks()),
            submitted: digest.submitted.count,
            committed: digest.committed.count,
            dead: digest.dead.count,
        }
    }

    /// How many chunks were submitted without a gap, as far as was read.
    pub(super) fn submitted(&self) -> u64 {
        self.digest().submitted.first_gap()
    }

    /// Whether the chunk is committed or dead, as far as was read.
    pub(super) fn is_settled(&self, chunk: u64) -> bool {
        let digest = self.digest();
        digest.committed.has(chunk) || digest.dead.has(chunk)
    }

    /// Whether the chunk is committed, as far as was read.
    pub(super) fn is_committed(&self, chunk: u64) -> bool {
        self.digest().committed.has(chunk)
    }

    /// Whether the sweep was opened after this moment, in milliseconds since 1970.
    pub(super) fn is_before_sweep(&self, at_ms: i64) -> bool {
        let digest = self.digest();
        match &digest.sweep {
            Some(info) => super::inspect::ms(&info.created_at).is_some_and(|ms| at_ms < ms),
            // The sweep was discarded, and no task of this journal is of another.
            None => digest.submitted.count == 0,
        }
    }

    /// Up to `max` dead letters that are neither replayed nor dropped, after a place and with
    /// theirs, as far as was read.
    pub(super) fn letters(&self, after: u64, max: usize) -> Vec<(u64, DeadLetter)> {
        let digest = self.digest();
        let letters = digest.letters.range(after + 1..).take(max);
        letters.map(|(place, (letter, _))| (*place, letter.clone())).collect()
    }

    /// How often the chunk's task was delivered again until now, and how many of those times its
    /// worker had given it back.
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

#[derive(Default)]
struct Digest {
    /// The place after the last that was taken in.
    next: u64,
    store: Option<String>,
    sweep: Option<SweepInfo>,
    submitted: Bits,
    committed: Bits,
    dead: Bits,
    /// Dead letters that are there and their texts, by the place after theirs.
    letters: BTreeMap<u64, (DeadLetter, String)>,
    /// Of each task, since it was submitted or replayed.
    redelivered: BTreeMap<u64, u64>,
    /// Of each task, ever.
    redeliveries: BTreeMap<u64, u64>,
    /// Tasks that were fetched and put back at once.
    returned: BTreeMap<u64, u64>,
    /// Tasks that were given back.
    released: BTreeMap<u64, u64>,
}

impl Digest {
    /// Takes in what stands before this place, once: whoever goes on after a mark may have read
    /// further before.
    fn take_in(&mut self, place: u64, record: Record) {
        if place <= self.next {
            return;
        }
        self.next = place;
        let chunks = self.sweep.as_ref().map_or(INDEX_BOUND, |info| info.sweep.chunks());
        match record {
            Record::Store(name) => {
                self.store.get_or_insert(name);
            }
            Record::Sweep(info) => {
                self.sweep.get_or_insert(info);
            }
            Record::Task(task) => {
                let chunk = task.chunk.index;
                self.submitted.set(chunk);
                if task.replays > 0 && task.retry_count == 0 {
                    // A dead letter that is replayed begins anew.
                    self.dead.clear(chunk);
                    self.redelivered.remove(&chunk);
                    self.released.remove(&chunk);
                    let of = |letter: &DeadLetter| letter.task().map(|task| task.chunk.index);
                    self.letters.retain(|_, (letter, _)| of(letter) != Some(chunk));
                }
            }
            Record::Result(Ok(result)) if result.chunk_index < chunks => {
                self.dead.clear(result.chunk_index);
                self.committed.set(result.chunk_index);
            }
            Record::Letter(letter, text) => {
                if let Some(task) = letter.task()
                    && self.sweep.as_ref().is_none_or(|it| it.sweep.check(&task.chunk).is_ok())
                    && !self.committed.has(task.chunk.index)
                {
                    self.dead.set(task.chunk.index);
                }
                self.letters.insert(place, (letter, text));
            }
            Record::Gone(text) => {
                let same = |(_, (_, other)): &(&u64, &(DeadLetter, String))| *other == text;
                let place = self.letters.iter().find(same).map(|(place, _)| *place);
                place.and_then(|place| self.letters.remove(&place));
            }
            Record::Returned(chunk) => *self.returned.entry(chunk).or_default() += 1,
            Record::Released(chunk) => *self.released.entry(chunk).or_default() += 1,
            Record::Redelivered(chunk) => {
                *self.redelivered.entry(chunk).or_default() += 1;
                *self.redeliveries.entry(chunk).or_default() += 1;
            }
            Record::Result(_) | Record::Mark(_) | Record::Other => {}
        }
    }
}

/// A set of chunks.
#[derive(Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    count: u64,
}

/// Largest chunk index that is kept in mind: what claims a larger one is no chunk of a sweep.
const INDEX_BOUND: u64 = 1 << 27;

impl Bits {
    pub(super) fn has(&self, chunk: u64) -> bool {
        let (word, bit) = Self::place(chunk);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn set(&mut self, chunk: u64) {
        if chunk >= INDEX_BOUND || self.has(chunk) {
            return;
        }
        let (word, bit) = Self::place(chunk);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
        self.count += 1;
    }

    fn clear(&mut self, chunk: u64) {
        if self.has(chunk) {
            let (word, bit) = Self::place(chunk);
            self.words[word] &= !bit;
            self.count -= 1;
        }
    }

    fn first_gap(&self) -> u64 {
        let full = self.words.iter().take_while(|word| **word == u64::MAX).count();
        let next = self.words.get(full).map_or(0, |word| word.trailing_ones());
        full as u64 * 64 + u64::from(next)
    }

    fn place(chunk: u64) -> (usize, u64) {
        ((chunk / 64) as usize, 1 << (chunk % 64))
    }
}
