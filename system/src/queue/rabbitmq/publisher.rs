//! Messages, and the channel that publishes them and waits until the broker has stored them.

use std::cell::Cell;
use std::mem::take;

use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};

use super::error::{BrokerError, Outcome};
use super::topology::{
    LETTERS_EXCHANGE, PERSISTENT, Queues, RESULTS_EXCHANGE, RETRY_EXCHANGE, TASKS_EXCHANGE,
    recorded_together,
};
use crate::chunk::ChunkId;
use crate::queue::arrival::Dead;
use crate::wire::{self, Task, TaskResult};

/// A message to be published.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) exchange: &'static str,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

impl Outgoing {
    /// A message of the wire contract.
    pub(super) fn message(exchange: &'static str, key: &str, id: &str, body: String) -> Self {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(id.into());
        Self { exchange, key: key.to_owned(), body: body.into(), properties }
    }

    /// A message of our own, which goes to one queue and says by its AMQP type what it is.
    pub(super) fn of_our_own(queue: String, kind: &str, body: Vec<u8>) -> Self {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        Self { exchange: "", key: queue, body, properties }.typed(kind)
    }

    /// A task that is to be computed.
    pub(super) fn task(queues: &Queues, task: &Task) -> Self {
        let (id, body) = (task.chunk.id().to_string(), wire::to_message(&task.to_fields()));
        Self::message(TASKS_EXCHANGE, &queues.tasks, &id, body)
    }

    /// A task that failed and waits for its next attempt.
    pub(super) fn retry(queues: &Queues, task: &Task) -> Self {
        let (id, body) = (task.chunk.id().to_string(), wire::to_message(&task.to_fields()));
        Self::message(RETRY_EXCHANGE, &queues.retry, &id, body)
    }

    /// A result that a record of the journal tells of too (`record::results`).
    pub(super) fn result(queues: &Queues, result: &TaskResult) -> Self {
        let id = ChunkId(result.chunk_index).to_string();
        let result = Self::message(RESULTS_EXCHANGE, &queues.results, &id, result.to_json());
        Self { properties: result.properties.with_headers(recorded_together()), ..result }
    }

    /// A dead letter, with what monitoring tools look for in its headers.
    pub(super) fn letter(queues: &Queues, dead: &Dead) -> Self {
        let id = dead.chunk.map(|index| ChunkId(index).to_string()).unwrap_or_default();
        let fields = dead.letter.to_fields();
        let error = wire::get(&fields, "last_error").unwrap_or_default();
        let mut headers = FieldTable::default();
        let retry_count = AMQPValue::LongLongInt(dead.letter.retry_count.into());
        headers.insert("retry_count".into(), retry_count);
        headers.insert("final_error".into(), AMQPValue::LongString(error.into()));
        let body = wire::to_message(&fields);
        let letter = Self::message(LETTERS_EXCHANGE, &queues.letters, &id, body);
        Self { properties: letter.properties.with_headers(headers), ..letter }
    }

    /// The same, for its queue and not for the journal.
    pub(super) fn for_its_queue_alone(self) -> Self {
        Self { exchange: "", ..self }
    }

    /// The same, under this AMQP type.
    pub(super) fn typed(self, kind: &str) -> Self {
        Self { properties: self.properties.with_type(kind.into()), ..self }
    }

    /// The same, with a `correlation_id`.
    pub(super) fn correlated(self, id: &str) -> Self {
        Self { properties: self.properties.with_correlation_id(id.into()), ..self }
    }

    /// Publishes it where nobody needs to wait for the server's answer.
    pub(super) async fn mention(&self, channel: &Channel) -> lapin::Result<()> {
        self.publish(channel, BasicPublishOptions::default()).await.map(drop)
    }

    async fn publish(
        &self,
        channel: &Channel,
        options: BasicPublishOptions,
    ) -> lapin::Result<PublisherConfirm> {
        self.publish_as(channel, options, self.properties.clone()).await
    }

    async fn publish_as(
        &self,
        channel: &Channel,
        options: BasicPublishOptions,
        properties: BasicProperties,
    ) -> lapin::Result<PublisherConfirm> {
        let (exchange, key) = (self.exchange.into(), self.key.as_str().into());
        channel.basic_publish(exchange, key, options, &self.body, properties).await
    }
}

/// A channel of transactions. A server to which the client is lost in the midst of one takes nothing of it; one
/// that is killed itself may have stored a part.
pub(super) struct Transactions {
    channel: Channel,
    /// Something was published and may not be committed: whoever waited for that was dropped.
    is_begun: Cell<bool>,
}

impl Transactions {
    pub(super) async fn open(connection: &Connection) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.tx_select().await?;
        Ok(Self { channel, is_begun: Cell::new(false) })
    }

    /// Whether a transaction was cut off by whoever waited for it. It may be committed, on its way or neither, and
    /// the channel is of no use any more: the client library sends a rollback before what was published.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_begun.get()
    }

    /// Publishes all of it, and waits until the broker has stored everything.
    pub(super) async fn publish(&self, mut messages: Vec<Outgoing>) -> Outcome<()> {
        self.is_begun.set(true);
        let sent = messages.iter_mut().map(|message| {
            let properties = take(&mut message.properties);
            message.publish_as(&self.channel, MANDATORY, properties)
        });
        for sent in join_all(sent).await {
            sent?;
        }
        self.channel.tx_commit().await?;
        self.is_begun.set(false);
        match self.channel.wait_for_confirms().await?.first() {
            Some(returned) => Err(no_queue(returned.routing_key.as_str())),
            None => Ok(()),
        }
    }
}

/// What can be put into no queue comes back.
const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

fn no_queue(key: &str) -> BrokerError {
    BrokerError::new(format!("there is no queue {key} for a message"))
}

/// A channel on which the server confirms what it has stored.
pub(super) struct Publisher(Channel);

impl Publisher {
    pub(super) async fn open(connection: &Connection) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self(channel))
    }

    /// Publishes, and waits until the broker has stored everything.
    pub(super) async fn publish(&self, messages: &[Outgoing]) -> Outcome<()> {
        // All at once: awaited one by one, each would be a packet of its own.
        let sent =
            messages.iter().map(async |message| message.publish(&self.0, MANDATORY).await?.await);
        for (confirmation, message) in join_all(sent).await.into_iter().zip(messages) {
            match confirmation? {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(_)) => {
                    return Err(no_queue(&message.key));
                }
                Confirmation::Nack(_) | Confirmation::NotRequested => {
                    return Err(BrokerError::new("the server could not store a message"));
                }
            }
        }
        Ok(())
    }

    /// Publishes what nobody needs to wait for.
    pub(super) async fn mention(&self, message: &Outgoing) -> lapin::Result<()> {
        message.mention(&self.0).await
    }
}
