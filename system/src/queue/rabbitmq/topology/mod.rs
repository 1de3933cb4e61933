//! What declares the queues, by default as the wire contract has them, to the argument; and what asks whether they
//! are there.

mod guest;
mod names;
mod result_route;
mod stream_bootstrap;

use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use lapin::options::{
    BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ExchangeKind};

use super::error::is_not_found;

pub(super) use guest::{leave_as_guest, look_as_guest};
pub(super) use names::{LETTERS_EXCHANGE, RESULTS_EXCHANGE, RETRY_EXCHANGE, TASKS_EXCHANGE};
pub(super) use result_route::{is_recorded_together, recorded_together};
pub(super) use stream_bootstrap::make_firm;

pub use names::{QueueType, Queues};

/// Of a message's properties: stored on disk before it is confirmed.
pub(super) const PERSISTENT: u8 = 2;

/// How much of the snapshots the server keeps, and in which steps it drops the oldest, in bytes.
const SNAPSHOTS_KEPT: (i64, i64) = (64 << 20, 16 << 20);

impl Queues {
    /// Declares everything that is not there yet, over a channel of a connection, and returns one on which anything
    /// else may be asked. The retry queue is the workers' affair: its delay is an argument, which others need not know.
    ///
    /// All of a kind are asked for before the first answer is awaited, and over one channel where everything is there:
    /// a worker's start would otherwise be twenty answers longer.
    pub(super) async fn declare(
        &self,
        connection: &Connection,
        channel: Channel,
        retry_delay: Option<Duration>,
    ) -> lapin::Result<Channel> {
        let channel = self.declare_snapshots(connection, channel).await?;
        self.declare_contract(&channel, retry_delay).await?;
        self.declare_journal(&channel).await?;
        Ok(channel)
    }

    async fn declare_contract(
        &self,
        channel: &Channel,
        retry_delay: Option<Duration>,
    ) -> lapin::Result<()> {
        let kept = ExchangeDeclareOptions { durable: true, ..Default::default() };
        try_join_all(self.bindings().map(|(_, exchange)| {
            let (kind, none) = (ExchangeKind::Direct, FieldTable::default());
            channel.exchange_declare(exchange.into(), kind, kept, none)
        }))
        .await?;
        let is_ours = |queue: &str| queue != self.retry || retry_delay.is_some();
        let ours = || self.bindings().into_iter().filter(|(queue, _)| is_ours(queue));
        try_join_all(ours().map(|(queue, _)| {
            channel.queue_declare(queue.into(), durable(), self.arguments(queue, retry_delay))
        }))
        .await?;
        try_join_all(ours().map(|(queue, exchange)| bind(channel, queue, exchange, queue))).await?;
        Ok(())
    }

    async fn declare_journal(&self, channel: &Channel) -> lapin::Result<()> {
        let journal = self.journal();
        channel.queue_declare(journal.as_str().into(), durable(), stream()).await?;
        let at_once = self.bindings().into_iter().filter(|(key, _)| *key != self.results);
        let at_once = at_once.map(|(key, exchange)| bind(channel, &journal, exchange, key));
        try_join(try_join_all(at_once), result_route::declare(channel, self)).await?;
        Ok(())
    }

    /// Declares the stream of the snapshots, if it is not there: with a first message, since whoever asks
    /// for the last one of an empty stream is not told that there is none.
    async fn declare_snapshots(
        &self,
        connection: &Connection,
        channel: Channel,
    ) -> lapin::Result<Channel> {
        let name = self.snapshots();
        if depth_over(&channel, &name).await?.is_some() {
            return Ok(channel);
        }
        let channel = connection.create_channel().await?;
        let (kept, step) = SNAPSHOTS_KEPT;
        let mut arguments = stream();
        arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(kept));
        arguments.insert("x-stream-max-segment-size-bytes".into(), AMQPValue::LongLongInt(step));
        channel.queue_declare(name.as_str().into(), durable(), arguments).await?;
        let typed = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let typed = typed.with_type("snapshot".into());
        let (queue, options) = (name.as_str().into(), BasicPublishOptions::default());
        channel.basic_publish("".into(), queue, options, &[], typed).await?;
        Ok(channel)
    }

    /// The wire contract's; a quorum queue has names of its own, and may have more.
    fn arguments(&self, queue: &str, retry_delay: Option<Duration>) -> FieldTable {
        let mut arguments = FieldTable::default();
        let text = |text: &str| AMQPValue::LongString(text.into());
        if let Some(retry_delay) = retry_delay.filter(|_| queue == self.retry) {
            let ttl = i32::try_from(retry_delay.as_millis()).unwrap_or(i32::MAX);
            arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(ttl));
            arguments.insert("x-dead-letter-exchange".into(), text(TASKS_EXCHANGE));
            arguments.insert("x-dead-letter-routing-key".into(), text(&self.tasks));
        }
        if self.kind == QueueType::Quorum {
            arguments.insert("x-queue-type".into(), text("quorum"));
            // From 4.0 the server drops what it delivered 20 times: how often is ours to say.
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
        }
        arguments
    }
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await
}

/// What a queue says of itself.
#[derive(Default)]
pub(super) struct Depth {
    pub(super) consumers: u32,
    /// Messages that are with nobody.
    pub(super) messages: u32,
}

/// What a queue says of itself, if it is there and can be used.
pub(super) async fn depth(connection: &Connection, queue: &str) -> lapin::Result<Option<Depth>> {
    let channel = connection.create_channel().await?;
    let depth = depth_over(&channel, queue).await?;
    if depth.is_some() {
        channel.close(200, "thank you".into()).await?;
    }
    Ok(depth)
}

/// The same, asked over this channel, which is closed where there is no such queue.
pub(super) async fn depth_over(channel: &Channel, queue: &str) -> lapin::Result<Option<Depth>> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
        Ok(told) => {
            let depth = Depth { consumers: told.consumer_count(), messages: told.message_count() };
            Ok(Some(depth))
        }
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Of a queue that outlives the server's process.
pub(super) fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

/// Arguments of a stream.
pub(super) fn stream() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    arguments
}
