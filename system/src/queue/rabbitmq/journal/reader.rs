//! Reads the journal, a stream, message by message.

use std::time::Duration;

use futures_util::future::try_join;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use tokio::time::timeout;

use super::record;
use crate::queue::rabbitmq::connection::{ConsumingChannel, Turn};
use crate::queue::rabbitmq::error::{BrokerError, Outcome};
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::queue::rabbitmq::topology::Queues;

/// Messages that the server sends ahead.
const AHEAD: u16 = 1000;

/// The same, for whoever reads no further than the first of them.
const BRIEFLY: u16 = 64;

/// Longest wait for what must come.
const ANSWER: Duration = Duration::from_secs(10);

/// How often in as many messages as it sends ahead the server is told how far we have read. Told more seldom than
/// once, it would send no more.
const TOLD: u16 = 4;

/// Reads the journal from a place on.
pub(in crate::queue::rabbitmq) struct Reader {
    /// Place of the next message.
    pub(in crate::queue::rabbitmq) next: u64,
    /// The beginning is gone: a policy keeps the journal short.
    pub(in crate::queue::rabbitmq) begins_late: bool,
    channel: ConsumingChannel,
    consumer: Consumer,
    /// Messages that the server sends ahead.
    ahead: u16,
    unacknowledged: u16,
    /// For whoever reads on and on.
    pub(in crate::queue::rabbitmq) turn: Turn,
}

impl Reader {
    pub(in crate::queue::rabbitmq) async fn open(
        connection: &Connection,
        queues: &Queues,
        from: u64,
    ) -> Outcome<Self> {
        Self::open_with(connection, queues, from, place(from), AHEAD).await
    }

    /// Reads what comes from now on.
    pub(in crate::queue::rabbitmq) async fn open_at_end(
        connection: &Connection,
        queues: &Queues,
    ) -> Outcome<Self> {
        Self::open_with(connection, queues, 0, AMQPValue::LongString("next".into()), BRIEFLY).await
    }

    /// For whoever reads no further than the first messages.
    pub(in crate::queue::rabbitmq) async fn open_briefly(
        connection: &Connection,
        queues: &Queues,
    ) -> Outcome<Self> {
        Self::open_with(connection, queues, 0, place(0), BRIEFLY).await
    }

    async fn open_with(
        connection: &Connection,
        queues: &Queues,
        next: u64,
        from: AMQPValue,
        ahead: u16,
    ) -> Outcome<Self> {
        let channel = ConsumingChannel::from(connection.create_channel().await?);
        let consumer = attach(&channel, &queues.journal(), ahead, from).await?;
        let (unacknowledged, turn) = (0, Turn::begin());
        Ok(Self { next, begins_late: false, channel, consumer, ahead, unacknowledged, turn })
    }

    /// Publishes something over the channel of this reader, which is closed where the server refuses it.
    pub(in crate::queue::rabbitmq) async fn mention(&self, message: &Outgoing) -> Outcome<()> {
        Ok(message.mention(&self.channel).await?)
    }

    /// Writes a mark behind everything that is there now. Nobody confirms it: whoever waits for it reads it.
    pub(in crate::queue::rabbitmq) async fn write_mark(
        &self,
        queues: &Queues,
        mark: &str,
    ) -> Outcome<()> {
        self.mention(&record::mark(queues, mark)).await
    }

    /// The next message, where there is one: a mark of our own at least. Others have their turns.
    pub(in crate::queue::rabbitmq) async fn next_soon(&mut self) -> Outcome<Message> {
        self.turn.give_way().await;
        let ended = || BrokerError::new("the journal ends before its end");
        timeout(ANSWER, self.next()).await.map_err(|_| ended())?
    }

    /// The next message. Nothing is lost where this is dropped.
    pub(in crate::queue::rabbitmq) async fn next(&mut self) -> Outcome<Message> {
        loop {
            let message = match self.consumer.next().await {
                Some(message) => message?,
                None => return Err(BrokerError::new("the journal was deleted")),
            };
            self.unacknowledged += 1;
            if self.unacknowledged >= self.ahead / TOLD {
                self.unacknowledged = 0;
                // Not awaited for long: the answer of nobody is needed.
                message.acker.ack(BasicAckOptions { multiple: true }).now_or_never();
            }
            let place = place_of(&message).unwrap_or(self.next);
            if place >= self.next {
                self.begins_late |= self.next == 0 && place > 0;
                self.next = place + 1;
                return Ok(message);
            }
        }
    }
}

/// Consumes a stream from a place on.
pub(in crate::queue::rabbitmq) async fn attach(
    channel: &Channel,
    stream: &str,
    ahead: u16,
    place: AMQPValue,
) -> Outcome<Consumer> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), place);
    let options = BasicConsumeOptions::default();
    // Both at once: the server takes them in this order, and a busy one answers each in its own time.
    let limit = channel.basic_qos(ahead, BasicQosOptions::default());
    let consume = channel.basic_consume(stream.into(), "".into(), options, arguments);
    Ok(try_join(limit, consume).await?.1)
}

fn place(of: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(of).unwrap_or(i64::MAX))
}

fn place_of(message: &Message) -> Option<u64> {
    match message.properties.headers().as_ref()?.inner().get("x-stream-offset")? {
        AMQPValue::LongLongInt(place) => u64::try_from(*place).ok(),
        _ => None,
    }
}
