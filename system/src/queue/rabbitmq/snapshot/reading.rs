//! What somebody has read of the journal: what that comes to, from where to go on, and when to write it down
//! for others.

use std::cmp::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Position, Snapshot, Start, encode, fits};
use crate::queue::rabbitmq::error::{BrokerError, Outcome};
use crate::queue::rabbitmq::journal::digest::Digest;
use crate::queue::rabbitmq::journal::record::{self, Fingerprint, Record};
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::queue::rabbitmq::topology::Queues;

/// So many records are worth a snapshot whoever has read them.
const MUCH: u64 = 1_000;

/// Time between two snapshots where there is much to tell, or the sweep is complete.
const SOON: Duration = Duration::from_millis(100);

/// The same, where there is little.
const LATER: Duration = Duration::from_secs(1);

/// So many records a keeper leaves unread between two snapshots: read together they cost less, and whoever
/// needs to know has read them in a moment.
const TAIL: u64 = 2_000;

/// Most bytes of snapshots that one writes in a second.
const RATE: u32 = 4 << 20;

/// Who writes a snapshot of what.
#[derive(Clone, Copy)]
pub(in crate::queue::rabbitmq) enum Writer {
    /// Whoever is elected: of everything that happens.
    Keeper,
    /// Whoever only looks, or submits: of what was much to read, since there may be no keeper.
    Onlooker,
    /// A worker that reads for itself: its keeper, or another's, writes in any case.
    Nobody,
}

/// When the next snapshot is due: the one rule for everybody who writes any.
struct Schedule {
    writer: Writer,
    /// The place up to which the last snapshot goes that is known.
    told_to: u64,
    /// What had happened then.
    told: u64,
    /// When one was written, or might have been. Whoever is no keeper may write his first at once.
    since: Option<Instant>,
    /// How long there is to be no other after one, which may have been large.
    rest: Duration,
    /// How long nothing is read after one: little may have come since.
    unread: Duration,
}

impl Schedule {
    fn new(writer: Writer) -> Self {
        let since = matches!(writer, Writer::Keeper).then(Instant::now);
        let (rest, unread) = (Duration::ZERO, Duration::ZERO);
        Self { writer, told_to: 0, told: 0, since, rest, unread }
    }

    /// When the next is due, where something is to be told. Marks say nothing, but have to be read too.
    fn due_at(&self, digest: &Digest) -> Option<Instant> {
        let is_much = digest.next.saturating_sub(self.told_to) >= MUCH;
        let has_happened = digest.events > self.told;
        let after = match self.writer {
            Writer::Keeper | Writer::Onlooker if is_much => SOON,
            Writer::Keeper if has_happened && digest.is_complete() => SOON,
            Writer::Keeper if has_happened => LATER,
            Writer::Keeper | Writer::Onlooker | Writer::Nobody => return None,
        };
        Some(self.since.map_or_else(Instant::now, |since| since + after.max(self.rest)))
    }

    /// Somebody has written a snapshot of this.
    fn is_told(&mut self, digest: &Digest) {
        (self.told_to, self.told) = (digest.next.saturating_sub(1), digest.events);
    }

    /// This one has written a snapshot of so many bytes.
    fn has_written(&mut self, digest: &Digest, bytes: usize) {
        if let (Writer::Keeper, Some(since)) = (self.writer, self.since) {
            let count = digest.next.saturating_sub(self.told_to).max(1);
            self.unread = since.elapsed().mul_f64(TAIL as f64 / count as f64).clamp(SOON, LATER);
        }
        self.is_told(digest);
        self.since = Some(Instant::now());
        self.rest = Duration::from_secs(1) * u32::try_from(bytes).unwrap_or(u32::MAX) / RATE;
    }

    fn rested_at(&self) -> Option<Instant> {
        self.since.map(|since| since + self.unread)
    }
}

/// What was read of the journal.
pub(in crate::queue::rabbitmq) struct Reading {
    digest: Digest,
    /// The last mark of its own that it came to, or that of the snapshot that it went on from.
    read_to: Option<Position>,
    /// What stands before the place to which the digest goes, which may be further on than that mark.
    last: Option<Fingerprint>,
    schedule: Schedule,
}

impl Reading {
    pub(in crate::queue::rabbitmq) fn new(writer: Writer) -> Self {
        Self {
            digest: Digest::default(),
            read_to: None,
            last: None,
            schedule: Schedule::new(writer),
        }
    }

    /// What the journal says, as far as it was read.
    pub(in crate::queue::rabbitmq) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(in crate::queue::rabbitmq) fn read_to(&self) -> Option<&Position> {
        self.read_to.as_ref()
    }

    /// The journal was opened there.
    pub(in crate::queue::rabbitmq) fn begin_at(&mut self, start: Start) {
        match start {
            Start::Snapshot(snapshot) => {
                let Snapshot { at, digest } = *snapshot;
                (self.digest, self.read_to) = (digest, Some(at));
            }
            Start::OwnMark => return,
            Start::Beginning => (self.digest, self.read_to) = (Digest::default(), None),
        }
        self.last = None;
        self.schedule.is_told(&self.digest);
    }

    /// Takes in what stands before this place. Whoever goes on behind a mark comes once more to what he took in
    /// last: where something else stands there the server has lost the end of the journal, and all is read anew.
    pub(in crate::queue::rabbitmq) fn take_in(
        &mut self,
        place: u64,
        record: Record,
        fingerprint: Fingerprint,
    ) -> Outcome<()> {
        match place.cmp(&self.digest.next) {
            Ordering::Less => {}
            Ordering::Equal if self.last.is_some_and(|last| last != fingerprint) => {
                return Err(self.has_gone_back());
            }
            Ordering::Equal => {}
            Ordering::Greater => self.last = Some(fingerprint),
        }
        self.digest.take_in(place, record);
        Ok(())
    }

    /// What was read is not there any more.
    pub(in crate::queue::rabbitmq) fn has_gone_back(&mut self) -> BrokerError {
        self.begin_at(Start::Beginning);
        BrokerError::new("the journal has gone back to what it was before")
    }

    /// When to write the next snapshot, if there is to be one.
    pub(in crate::queue::rabbitmq) fn due_at(&self) -> Option<Instant> {
        self.schedule.due_at(&self.digest)
    }

    /// Until when a keeper reads nothing.
    pub(in crate::queue::rabbitmq) fn rested_at(&self) -> Option<Instant> {
        self.schedule.rested_at()
    }

    /// What is there is read at once, until the next snapshot.
    pub(in crate::queue::rabbitmq) fn read_at_once(&mut self) {
        self.schedule.unread = Duration::ZERO;
    }

    /// A mark of this one's own was come to.
    pub(in crate::queue::rabbitmq) fn come_to(&mut self, mark: Position) {
        self.read_to = Some(mark);
    }

    /// Writes what the journal says up to the mark that was come to last, for the stream of the snapshots;
    /// nothing where it is too large for a message, or says less than there was.
    pub(in crate::queue::rabbitmq) fn write(
        &mut self,
        queues: &Queues,
        begins_late: bool,
    ) -> Option<Outgoing> {
        let bytes = encode(self.read_to.as_ref()?, &self.digest);
        self.schedule.has_written(&self.digest, bytes.len());
        (fits(&bytes) && !begins_late).then(|| record::snapshot(queues, bytes))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// A server that lost its power has lost some records at the end, and others stand there by now.
    #[test]
    fn whoever_has_read_further_than_the_journal_goes_now_begins_anew() {
        let mut reading = Reading::new(Writer::Nobody);
        let [mark, first, second, another] = [0, 1, 2, 3].map(Fingerprint);
        let read = |reading: &mut Reading, place, fingerprint| {
            reading.take_in(place, Record::Redelivered(place), fingerprint)
        };
        for (place, fingerprint) in [(1, mark), (2, first), (3, second)] {
            read(&mut reading, place, fingerprint).expect("it is new");
        }
        reading.begin_at(Start::OwnMark);
        for (place, fingerprint) in [(1, mark), (2, first), (3, second)] {
            read(&mut reading, place, fingerprint).expect("it is still there");
        }
        reading.begin_at(Start::OwnMark);
        read(&mut reading, 2, another).expect("what stands before is not compared");
        read(&mut reading, 3, another).expect_err("something else is there");
        assert_eq!((reading.digest().next, reading.digest().events), (0, 0));
    }

    fn is_due(schedule: &Schedule, digest: &Digest) -> bool {
        schedule.due_at(digest).is_some_and(|at| at <= Instant::now())
    }

    /// So many records, of which so many tell that something happened.
    fn digest(next: u64, events: u64) -> Digest {
        let mut digest = Digest::default();
        (digest.next, digest.events) = (next, events);
        digest
    }

    #[tokio::test(start_paused = true)]
    async fn a_keeper_tells_of_much_soon_of_little_later_and_of_marks_when_there_are_many() {
        let mut schedule = Schedule::new(Writer::Keeper);
        advance(LATER).await;
        schedule.has_written(&digest(2, 1), 1);
        advance(LATER).await;
        assert_eq!(schedule.due_at(&digest(2, 1)), None, "it is told");
        assert!(is_due(&schedule, &digest(3, 2)));
        assert!(!is_due(&schedule, &digest(MUCH, 1)) && is_due(&schedule, &digest(1 + MUCH, 1)));
        // Much has come in each moment.
        schedule.has_written(&digest(1_000_000, 1_000_000), 1);
        advance(SOON).await;
        assert!(is_due(&schedule, &digest(1_000_000 + MUCH, 1_000_000 + MUCH)));
        assert!(!is_due(&schedule, &digest(1_000_001, 1_000_001)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_keeper_reads_nothing_until_there_may_be_much() {
        let mut schedule = Schedule::new(Writer::Keeper);
        let left = |schedule: &Schedule| schedule.rested_at().map(|at| at - Instant::now());
        assert_eq!(left(&schedule), Some(Duration::ZERO));
        advance(2 * LATER).await;
        // So many come in a second as it leaves unread twice.
        schedule.has_written(&digest(4 * TAIL, 1), 1);
        assert_eq!(left(&schedule), Some(LATER / 2));
        advance(LATER).await;
        schedule.has_written(&digest(5 * TAIL - 1, 2), 1);
        assert_eq!(left(&schedule), Some(LATER), "no longer than this");
        advance(LATER).await;
        schedule.has_written(&digest(100 * TAIL, 2), 1);
        assert_eq!(left(&schedule), Some(SOON), "and no shorter");
    }

    #[tokio::test(start_paused = true)]
    async fn an_onlooker_tells_of_much_alone_and_a_worker_of_nothing() {
        let mut onlooker = Schedule::new(Writer::Onlooker);
        assert!(!is_due(&onlooker, &digest(MUCH - 1, 1)) && is_due(&onlooker, &digest(MUCH, 1)));
        assert!(!is_due(&Schedule::new(Writer::Nobody), &digest(MUCH, 1)));
        onlooker.has_written(&digest(MUCH, 1), 1);
        assert!(!is_due(&onlooker, &digest(2 * MUCH, 1)), "it has just written one");
        advance(SOON).await;
        assert!(is_due(&onlooker, &digest(2 * MUCH, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_written_a_large_one_rests_for_longer() {
        let mut schedule = Schedule::new(Writer::Onlooker);
        schedule.has_written(&digest(MUCH, 1), 2 * RATE as usize);
        let more = digest(2 * MUCH, 1);
        advance(Duration::from_millis(1999)).await;
        assert!(!is_due(&schedule, &more));
        advance(Duration::from_millis(1)).await;
        assert!(is_due(&schedule, &more));
    }
}
