//! Reads the journal, a stream, message by message.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::life::{Life, Outcome, Trouble};
use super::turn::Turn;

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
    /// The beginning is gone: a policy keeps the journal short.
    pub(super) begins_late: bool,
    _channel: Channel,
    consumer: Consumer,
    unacknowledged: u32,
    /// For whoever reads on and on.
    pub(super) turn: Turn,
}

impl Reader {
    pub(super) async fn open(life: &Life, from: u64) -> Outcome<Self> {
        let place = AMQPValue::LongLongInt(i64::try_from(from).unwrap_or(i64::MAX));
        Self::open_at(life, from, place).await
    }

    /// Reads what comes from now on.
    pub(super) async fn open_at_end(life: &Life) -> Outcome<Self> {
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
        Ok(Self {
            life: life.number,
            next,
            begins_late: false,
            _channel: channel,
            consumer,
            unacknowledged: 0,
            turn: Turn::begin(),
        })
    }

    /// The next message, where there is one: a mark of our own at least. Others have their turns.
    pub(super) async fn next_soon(&mut self) -> Outcome<Message> {
        self.turn.give_way().await;
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
                self.begins_late |= self.next == 0 && place > 0;
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
