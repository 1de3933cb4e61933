//! Names and kind of the queues. By default they are the wire contract's, to the argument.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

pub(super) const TASKS_EXCHANGE: &str = "ttg.tasks.exchange";
pub(super) const RESULTS_EXCHANGE: &str = "ttg.results.exchange";
pub(super) const RETRY_EXCHANGE: &str = "ttg.retry.exchange";
pub(super) const LETTERS_EXCHANGE: &str = "ttg.dlq.exchange";

/// How the broker keeps the queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueueType {
    /// On one node: the wire contract's.
    #[default]
    Classic,
    /// Replicated over a cluster, under names of their own.
    Quorum,
}

/// The queues of a sweep. Each is also its routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// How the broker keeps them.
    pub kind: QueueType,
    /// Tasks to be delivered.
    pub tasks: String,
    /// Results.
    pub results: String,
    /// Failed tasks that wait for their next attempt.
    pub retry: String,
    /// Dead letters.
    pub letters: String,
}

impl Queues {
    /// The queues under their usual names.
    pub fn of(kind: QueueType) -> Self {
        let suffix = match kind {
            QueueType::Classic => "",
            QueueType::Quorum => ".quorum",
        };
        Self {
            kind,
            tasks: format!("ttg.tasks{suffix}"),
            results: format!("ttg.results{suffix}"),
            retry: format!("ttg.tasks.retry{suffix}"),
            letters: format!("ttg.tasks.dlq{suffix}"),
        }
    }

    /// Our own record of the sweep, a stream: see [`super`].
    pub(super) fn journal(&self) -> String {
        format!("{}.journal", self.tasks)
    }

    /// Consumed by workers that have nothing to do.
    pub(super) fn idle(&self) -> String {
        format!("{}.idle", self.tasks)
    }

    /// Consumed by workers that hold something and take nothing more.
    pub(super) fn paused(&self) -> String {
        format!("{}.paused", self.tasks)
    }

    /// Holds the kernels that the sweep may be computed by.
    pub(super) fn kernels(&self) -> String {
        format!("{}.kernels", self.tasks)
    }

    /// A queue that only one connection can have at a time.
    pub(super) fn lock(&self) -> String {
        format!("{}.lock", self.tasks)
    }

    /// Every queue with its exchange.
    pub(super) fn bindings(&self) -> [(&str, &'static str); 4] {
        [
            (&self.tasks, TASKS_EXCHANGE),
            (&self.retry, RETRY_EXCHANGE),
            (&self.letters, LETTERS_EXCHANGE),
            (&self.results, RESULTS_EXCHANGE),
        ]
    }

    /// Declares everything that is not there yet. The retry queue is the workers' affair: its
    /// delay is an argument, which others need not know.
    pub(super) async fn declare(
        &self,
        channel: &Channel,
        retry_delay: Option<Duration>,
    ) -> lapin::Result<()> {
        for (queue, exchange) in self.bindings() {
            let kept = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let none = FieldTable::default;
            channel.exchange_declare(exchange.into(), ExchangeKind::Direct, kept, none()).await?;
            if queue == self.retry && retry_delay.is_none() {
                continue;
            }
            channel
                .queue_declare(queue.into(), durable(), self.arguments(queue, retry_delay))
                .await?;
            let bind = QueueBindOptions::default();
            channel.queue_bind(queue.into(), exchange.into(), queue.into(), bind, none()).await?;
        }
        self.declare_journal(channel).await
    }

    /// Declares the journal alone.
    pub(super) async fn declare_journal(&self, channel: &Channel) -> lapin::Result<()> {
        let journal = self.journal();
        channel.queue_declare(journal.as_str().into(), durable(), stream()).await?;
        for (queue, exchange) in self.bindings() {
            let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
            let journal = journal.as_str().into();
            channel.queue_bind(journal, exchange.into(), queue.into(), bind, none).await?;
        }
        Ok(())
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

impl Default for Queues {
    fn default() -> Self {
        Self::of(QueueType::default())
    }
}
