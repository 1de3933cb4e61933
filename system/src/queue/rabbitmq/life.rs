//! One life of a connection: what is done on it. When it breaks, everything of it is gone.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::message::Delivery as Message;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ErrorKind};
use tokio::time::{Instant, timeout};

use super::{Queues, record};
use crate::queue::tls_advice;
use crate::wire::DeadLetter;

/// Of properties: stored on disk before it is confirmed.
const PERSISTENT: u8 = 2;

/// Answers of the server that another attempt does not change: access refused, arguments that
/// differ from those of the queue that is there, not allowed.
const FINAL: [u16; 3] = [403, 406, 530];

const NOT_FOUND: u16 = 404;

/// Why a step was not done, or not known to be.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) cause: String,
    /// Another attempt will not help.
    pub(super) is_final: bool,
}

/// What steps on a connection return.
pub(super) type Outcome<T> = Result<T, Trouble>;

impl Trouble {
    pub(super) fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), is_final: false }
    }

    /// While a connection is made, what the server refuses it will refuse again.
    pub(super) fn at_first(error: &lapin::Error) -> Self {
        let cause = error.to_string();
        let refusal = match error.kind() {
            ErrorKind::ProtocolError(error) => FINAL.contains(&error.get_id()).then_some(error),
            _ => None,
        };
        let advice = match refusal.map(lapin::protocol::AMQPError::get_id) {
            Some(403) => {
                Some("RABBITMQ_USER and RABBITMQ_PASSWORD, or BROKER_URL, say who connects")
            }
            Some(530) => Some("RABBITMQ_VHOST, or BROKER_URL, say which vhost"),
            Some(_) => None,
            None => tls_advice(&cause),
        };
        Self {
            is_final: refusal.is_some() || cause.contains("invalid peer certificate"),
            cause: advice.map_or(cause.clone(), |advice| format!("{cause} ({advice})")),
        }
    }
}

impl From<lapin::Error> for Trouble {
    fn from(error: lapin::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// Whether the server says that there is no such queue, or none that can be used.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(told) if told.get_id() == NOT_FOUND)
}

/// A message to be published.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) exchange: &'static str,
    pub(super) key: String,
    pub(super) body: String,
    pub(super) properties: BasicProperties,
}

impl Outgoing {
    /// A message of the wire contract.
    pub(super) fn message(exchange: &'static str, key: &str, id: &str, body: String) -> Self {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into())
            .with_message_id(id.into());
        Self { exchange, key: key.to_owned(), body, properties }
    }

    /// The same, with what monitoring tools look for in the headers of a dead letter.
    pub(super) fn with_headers(mut self, letter: &DeadLetter, error: Option<&str>) -> Self {
        let mut headers = FieldTable::default();
        headers.insert("retry_count".into(), AMQPValue::LongLongInt(letter.retry_count.into()));
        let error = error.unwrap_or_default();
        headers.insert("final_error".into(), AMQPValue::LongString(error.into()));
        self.properties = self.properties.with_headers(headers);
        self
    }

    /// The same, for its queue and not for the journal.
    pub(super) fn for_its_queue_alone(self) -> Self {
        Self { exchange: "", ..self }
    }
}

/// How long the server may take to answer. A queue of its own may need a while after a restart;
/// one that does not answer at all is asked again over a new connection.
const ANSWER: Duration = Duration::from_secs(5);

/// How often it is looked whether the connection is still there.
const LOOK: Duration = Duration::from_millis(100);

/// What a queue says of itself.
#[derive(Default)]
pub(super) struct Depth {
    pub(super) consumers: u32,
    /// Messages that are with nobody.
    pub(super) messages: u32,
}

/// See the file.
pub(super) struct Life {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) connection: Connection,
    pub(super) queues: Queues,
    /// How long a server is waited for that takes nothing for lack of memory or disk.
    patience: Duration,
    /// In confirm mode.
    publisher: Channel,
    /// For tasks that are fetched one by one.
    fetcher: Channel,
}

impl Life {
    pub(super) async fn begin(
        number: u64,
        connection: Connection,
        queues: &Queues,
        patience: Duration,
    ) -> lapin::Result<Self> {
        let publisher = connection.create_channel().await?;
        publisher.confirm_select(ConfirmSelectOptions::default()).await?;
        let fetcher = connection.create_channel().await?;
        Ok(Self { number, connection, queues: queues.clone(), patience, publisher, fetcher })
    }

    /// Publishes, and waits until the broker has stored everything.
    pub(super) async fn publish(&self, messages: &[Outgoing]) -> Outcome<()> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let send = |Outgoing { exchange, key, body, properties }: &Outgoing| {
            let (exchange, key, body) = (*exchange, key.clone(), body.clone());
            let properties = properties.clone();
            async move {
                let (exchange, key) = (exchange.into(), key.as_str().into());
                let sent = self.publisher.basic_publish(
                    exchange,
                    key,
                    options,
                    body.as_bytes(),
                    properties,
                );
                sent.await?.await
            }
        };
        // All at once: awaited one by one, each would be a packet of its own.
        let sent = join_all(messages.iter().map(send));
        let confirms = self.answered(async { Ok(sent.await) }).await?;
        for (confirmation, message) in confirms.into_iter().zip(messages) {
            match confirmation? {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(_)) => {
                    let key = &message.key;
                    return Err(Trouble::new(format!("there is no queue {key} for a message")));
                }
                Confirmation::Nack(_) | Confirmation::NotRequested => {
                    return Err(Trouble::new("the server could not store a message"));
                }
            }
        }
        Ok(())
    }

    /// Waits for an answer, but not for ever. A server that has said that it lacks memory or disk
    /// is waited for: it reads nothing until that is over, and then goes on where it was.
    pub(super) async fn answered<T>(&self, answer: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        let mut answer = std::pin::pin!(answer);
        let deadline = Instant::now() + self.patience;
        loop {
            match timeout(ANSWER, &mut answer).await {
                Ok(outcome) => return outcome,
                Err(_) if self.connection.status().blocked() && Instant::now() < deadline => {
                    tracing::warn!("the server lacks memory or disk and takes nothing for now");
                }
                Err(_) => return Err(Trouble::new(format!("no answer within {ANSWER:?}"))),
            }
        }
    }

    /// Waits for an answer for as long as the connection is there. The client library leaves some
    /// of what is asked while a connection breaks without any answer (seen with lapin 4.12: an
    /// acknowledgement).
    pub(super) async fn while_there<T>(
        &self,
        answer: impl Future<Output = Outcome<T>>,
    ) -> Outcome<T> {
        let mut answer = std::pin::pin!(answer);
        loop {
            match timeout(LOOK, &mut answer).await {
                Ok(outcome) => return outcome,
                Err(_) if self.connection.status().connected() => {}
                Err(_) => return Err(Trouble::new("the connection is gone")),
            }
        }
    }

    /// Waits for an answer that is due at once, but no longer than the connection is there.
    pub(super) async fn told<T>(&self, answer: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        self.while_there(self.answered(answer)).await
    }

    /// Publishes what nobody needs to wait for.
    pub(super) async fn mention(&self, message: Outgoing) -> Outcome<()> {
        let Outgoing { exchange, key, body, properties } = message;
        let options = BasicPublishOptions::default();
        let (exchange, key) = (exchange.into(), key.as_str().into());
        self.publisher.basic_publish(exchange, key, options, body.as_bytes(), properties).await?;
        Ok(())
    }

    /// Asks a queue.
    pub(super) async fn depth(&self, queue: &str) -> Outcome<Depth> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let told = self.fetcher.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        Ok(Depth { consumers: told.consumer_count(), messages: told.message_count() })
    }

    /// Asks a queue that not everybody declares.
    pub(super) async fn depth_if_there(&self, queue: &str) -> Outcome<Depth> {
        // A refusal closes the channel.
        let channel = self.connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let told = channel.queue_declare(queue.into(), passive, FieldTable::default()).await;
        match told {
            Ok(told) => {
                let depth =
                    Depth { consumers: told.consumer_count(), messages: told.message_count() };
                channel.close(200, "thank you".into()).await?;
                Ok(depth)
            }
            Err(error) if is_not_found(&error) => Ok(Depth::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Fetches up to `max` tasks that were delivered before and came back: they wait at the head
    /// of the queue.
    pub(super) async fn left_behind(&self, max: usize) -> Outcome<Vec<Message>> {
        let mut left = Vec::new();
        while left.len() < max {
            let tasks = self.queues.tasks.as_str().into();
            let Some(got) = self.fetcher.basic_get(tasks, BasicGetOptions::default()).await? else {
                break;
            };
            if !got.delivery.redelivered {
                self.publish(&[record::returned(&self.queues, &got.delivery.data)]).await?;
                let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                got.delivery.acker.nack(requeue).await?;
                break;
            }
            left.push(got.delivery);
        }
        Ok(left)
    }
}
