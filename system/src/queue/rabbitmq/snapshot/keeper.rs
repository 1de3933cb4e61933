//! One of the workers follows the journal, some two thousand records at a time, and writes its snapshots: the
//! *keeper*.
//!
//! The broker says which. Every worker consumes one queue of which only one consumer is active at a time,
//! and puts a token into it. Whoever is active has one of the tokens, and takes the others away; when its
//! connection is gone the token comes to the next. Two keepers for a moment, or none, cost time and nothing
//! else: see [`super`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Message;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Opened, Position, Reading, Writer, open_journal};
use crate::queue::rabbitmq::connection::ConsumingChannel;
use crate::queue::rabbitmq::error::{BrokerError, Outcome};
use crate::queue::rabbitmq::journal::reader::Reader;
use crate::queue::rabbitmq::journal::record::{self, Fingerprint, Record, new_mark};
use crate::queue::rabbitmq::topology::{Queues, durable};

/// How long a connection lasts before its worker stands for keeper, unless it has nothing to do before. The first
/// chunks need the server, and a short sweep is over by then: the last ones are read at its end.
const BEFORE_CANDIDACY: Duration = Duration::from_millis(1500);

/// A mark is lost that has not come when nothing else has come for so long either: much may stand before it.
const LOST: Duration = Duration::from_secs(30);

/// How often the token is given back and taken again: from 3.12 on the server closes the channel of whoever
/// keeps a message for half an hour.
const RENEW: Duration = Duration::from_secs(300);

/// How often a keeper that rests looks whether any tasks are left.
const TASKS_POLL: Duration = Duration::from_millis(50);

/// How long to wait after what went wrong, for the first time and at most. A queue may have been deleted, by
/// a reset or by hand.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(16));

/// A worker's part in it, for as long as its connection lasts.
pub(in crate::queue::rabbitmq) fn start_keeper(
    connection: &Arc<Connection>,
    queues: &Queues,
    idle: Arc<Notify>,
) -> JoinHandle<()> {
    let (connection, queues) = (Arc::clone(connection), queues.clone());
    tokio::spawn(async move {
        candidacy_is_due(&idle).await;
        let mut pause = PAUSE.0;
        while connection.status().connected() {
            let Err(BrokerError { cause, .. }) = keep(&connection, &queues).await;
            tracing::debug!(cause, "no snapshots of the journal for now");
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE.1);
        }
    })
}

/// Waits until the worker has nothing to do, or the connection has lasted for a while.
async fn candidacy_is_due(idle: &Notify) {
    let _ = timeout(BEFORE_CANDIDACY, idle.notified()).await;
}

/// Waits to be elected, and keeps the snapshots from then on.
async fn keep(connection: &Connection, queues: &Queues) -> Outcome<Infallible> {
    let mut candidacy = Candidacy::begin(connection, queues).await?;
    candidacy.elected().await?;
    let watch = timeout(LOST, Watch::begin(connection, queues)).await;
    let mut watch = watch.map_err(|_| BrokerError::new("the journal cannot be read"))??;
    let mut renew_at = Instant::now() + RENEW;
    loop {
        let due_at = watch.due_at();
        tokio::select! {
            token = candidacy.tokens.next() => candidacy.take(token).await?,
            read = watch.next(&candidacy.channel) => watch.take_in(&read?, &candidacy.channel).await?,
            () = sleep_until(due_at.unwrap_or(renew_at)), if due_at.is_some() => {
                watch.ask(&candidacy.channel).await?;
            }
            () = sleep_until(renew_at) => {
                candidacy.renew().await?;
                renew_at = Instant::now() + RENEW;
            }
        }
        watch.reader.turn.give_way().await;
    }
}

/// A consumer of the queue of the tokens.
struct Candidacy {
    channel: ConsumingChannel,
    tokens: Consumer,
    /// Of whoever is elected. It is never acknowledged.
    held: Option<Message>,
}

impl Candidacy {
    async fn begin(connection: &Connection, queues: &Queues) -> Outcome<Self> {
        let channel = ConsumingChannel::from(connection.create_channel().await?);
        channel.basic_qos(2, BasicQosOptions::default()).await?;
        let name = queues.keeper();
        // Gone with its last consumer.
        let brief = QueueDeclareOptions { auto_delete: true, ..durable() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        let there = channel.queue_declare(name.as_str().into(), brief, arguments).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let tokens = channel.basic_consume(name.as_str().into(), "".into(), options, none).await?;
        if there.message_count() == 0 {
            record::token(queues).mention(&channel).await?;
        }
        Ok(Self { channel, tokens, held: None })
    }

    async fn elected(&mut self) -> Outcome<()> {
        self.held = Some(received(self.tokens.next().await)?);
        Ok(())
    }

    /// Takes a token in, or away where one is held.
    async fn take(&mut self, token: Option<lapin::Result<Message>>) -> Outcome<()> {
        let token = received(token)?;
        match &self.held {
            Some(_) => _ = token.acker.ack(BasicAckOptions::default()).await?,
            None => self.held = Some(token),
        }
        Ok(())
    }

    /// Gives the token back. It comes again to whoever is active, which is us.
    async fn renew(&mut self) -> Outcome<()> {
        if let Some(token) = self.held.take() {
            let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            token.acker.nack(requeue).await?;
        }
        Ok(())
    }
}

fn received(token: Option<lapin::Result<Message>>) -> Outcome<Message> {
    Ok(token.ok_or_else(|| BrokerError::new("the queue of the tokens was deleted"))??)
}

/// Reads the journal of one sweep from snapshot to snapshot, and rests between them.
struct Watch<'a> {
    queues: &'a Queues,
    reader: Reader,
    reading: Reading,
    /// The mark at which the next snapshot will stand, once it is written.
    asked: Option<Asked>,
}

/// A mark that was written and is to come.
struct Asked {
    mark: String,
    /// When it was written, or something came that stands before it.
    heard: Instant,
}

impl Asked {
    /// Whether this is it.
    fn is_come_to(&mut self, record: &Record) -> bool {
        self.heard = Instant::now();
        matches!(record, Record::Mark(mark) if *mark == self.mark)
    }

    fn lost_at(&self) -> Instant {
        self.heard + LOST
    }
}

impl<'a> Watch<'a> {
    async fn begin(connection: &Connection, queues: &'a Queues) -> Outcome<Self> {
        let Opened { reader, start, .. } = open_journal(connection, queues, None).await?;
        let mut reading = Reading::new(Writer::Keeper);
        reading.begin_at(start);
        Ok(Self { queues, reader, reading, asked: None })
    }

    /// When to ask for a snapshot, or to ask why it does not come.
    fn due_at(&self) -> Option<Instant> {
        match &self.asked {
            Some(asked) => Some(asked.lost_at()),
            None => self.reading.due_at(),
        }
    }

    /// Asks for a snapshot: it stands where the mark is read.
    async fn ask(&mut self, channel: &Channel) -> Outcome<()> {
        if self.asked.is_some() {
            return Err(BrokerError::new("a mark was written to the journal and did not come"));
        }
        let mark = new_mark();
        record::mark(self.queues, &mark).mention(channel).await?;
        self.asked = Some(Asked { mark, heard: Instant::now() });
        Ok(())
    }

    /// Whether it is too early to read on.
    fn is_resting(&self) -> bool {
        self.reading.rested_at().is_some_and(|at| Instant::now() < at)
    }

    /// The next message, once there is to be much to read. Where no tasks are left it is read at once: those who
    /// have nothing to do want to know whether the sweep is complete.
    async fn next(&mut self, channel: &Channel) -> Outcome<Message> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        while self.is_resting() {
            let name = self.queues.tasks.as_str().into();
            let tasks = channel.queue_declare(name, passive, FieldTable::default()).await?;
            match tasks.message_count() {
                0 => self.reading.read_at_once(),
                _ => sleep(TASKS_POLL).await,
            }
        }
        self.reader.next().await
    }

    /// Takes in a message, with those that have come with it.
    async fn take_in(&mut self, message: &Message, channel: &Channel) -> Outcome<()> {
        self.take_in_one(message, channel).await?;
        while !self.is_resting()
            && let Some(read) = self.reader.next().now_or_never()
        {
            self.take_in_one(&read?, channel).await?;
            self.reader.turn.give_way().await;
            if self.due_at().is_some_and(|at| at <= Instant::now()) {
                self.ask(channel).await?;
            }
        }
        Ok(())
    }

    async fn take_in_one(&mut self, message: &Message, channel: &Channel) -> Outcome<()> {
        let record = Record::read(message);
        let asked = self.asked.take_if(|asked| asked.is_come_to(&record));
        self.reading.take_in(self.reader.next, record, Fingerprint::of(message))?;
        let Some(Asked { mark, .. }) = asked else { return Ok(()) };
        self.reading.come_to(Position { place: self.reader.next - 1, mark });
        if let Some(snapshot) = self.reading.write(self.queues, self.reader.begins_late) {
            snapshot.mention(channel).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;

    use super::*;

    /// Half a million records take longer to read than a mark is waited for.
    #[tokio::test(start_paused = true)]
    async fn a_mark_is_not_lost_while_what_stands_before_it_comes() {
        let mut asked = Asked { mark: "mine".to_owned(), heard: Instant::now() };
        for _ in 0..3 {
            sleep(LOST * 2 / 3).await;
            assert!(!asked.is_come_to(&Record::Mark("another's".to_owned())));
            assert_eq!(asked.lost_at(), Instant::now() + LOST);
        }
        assert!(asked.is_come_to(&Record::Mark("mine".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_stands_for_keeper_after_a_while_and_sooner_where_it_has_nothing_to_do() {
        let (begun, idle) = (Instant::now(), Notify::new());
        candidacy_is_due(&idle).await;
        assert_eq!(begun.elapsed(), BEFORE_CANDIDACY);
        let (begun, soon) = (Instant::now(), BEFORE_CANDIDACY / 5);
        let has_nothing_to_do = async {
            sleep(soon).await;
            idle.notify_one();
        };
        join(candidacy_is_due(&idle), has_nothing_to_do).await;
        assert_eq!(begun.elapsed(), soon);
        // As one that had nothing to do before it was looked at.
        idle.notify_one();
        candidacy_is_due(&idle).await;
        assert_eq!(begun.elapsed(), soon);
    }
}
