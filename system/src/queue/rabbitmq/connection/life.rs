//! One life of a connection: what is done on it. When it breaks, everything of it is gone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{OptionFuture, try_join};
use lapin::message::Delivery as Message;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::sync::{Notify, OnceCell};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::link;
use crate::queue::rabbitmq::error::{BrokerError, Outcome};
use crate::queue::rabbitmq::publisher::{Outgoing, Publisher, Transactions};
use crate::queue::rabbitmq::topology::{self, Depth, Queues, durable};

/// How long the server may take to answer. A queue of its own may need a while after a restart;
/// one that does not answer at all is asked again over a new connection.
const ANSWER: Duration = Duration::from_secs(5);

/// Starts what runs beside each connection of a worker, and is told once the worker has nothing to do.
pub(in crate::queue::rabbitmq) type StartCompanion =
    fn(&Arc<Connection>, &Queues, Arc<Notify>) -> JoinHandle<()>;

/// A task that runs beside a connection, for as long as that lasts.
struct Companion {
    task: JoinHandle<()>,
    idle: Arc<Notify>,
}

impl Companion {
    fn begin(start: StartCompanion, connection: &Arc<Connection>, queues: &Queues) -> Self {
        let idle = Arc::new(Notify::new());
        Self { task: start(connection, queues, Arc::clone(&idle)), idle }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection, with the channels that are always open on it.
pub(in crate::queue::rabbitmq) struct Life {
    /// Counted from 1.
    pub(in crate::queue::rabbitmq) number: u64,
    pub(in crate::queue::rabbitmq) connection: Arc<Connection>,
    pub(in crate::queue::rabbitmq) queues: Queues,
    /// How long a server is waited for that takes nothing for lack of memory or disk.
    patience: Duration,
    publisher: Publisher,
    /// For what is stored together. Only workers have any.
    transactions: OnceCell<Transactions>,
    /// For messages that are fetched one by one, for questions, and for queues of ours.
    fetcher: Channel,
    companion: Option<Companion>,
}

impl Life {
    /// With a connection that was made just now, and a channel on it.
    pub(super) async fn begin(
        number: u64,
        (connection, fetcher): (Connection, Channel),
        queues: &Queues,
        patience: Duration,
        companion: Option<StartCompanion>,
    ) -> Outcome<Self> {
        // A worker is to lose no time over it with its first results.
        let transactions = async {
            OptionFuture::from(companion.map(|_| Transactions::open(&connection))).await.transpose()
        };
        let opened = async { Ok(try_join(Publisher::open(&connection), transactions).await?) };
        let (publisher, transactions) = link::while_there(&connection, opened).await?;
        let (connection, queues) = (Arc::new(connection), queues.clone());
        let companion = companion.map(|start| Companion::begin(start, &connection, &queues));
        Ok(Self {
            number,
            connection,
            queues,
            patience,
            publisher,
            transactions: OnceCell::new_with(transactions),
            fetcher,
            companion,
        })
    }

    /// Nothing came to the worker for a moment.
    pub(in crate::queue::rabbitmq) fn has_nothing_to_do(&self) {
        if let Some(companion) = &self.companion {
            companion.idle.notify_one();
        }
    }

    /// Publishes, and waits until the broker has stored everything.
    pub(in crate::queue::rabbitmq) async fn publish(&self, messages: &[Outgoing]) -> Outcome<()> {
        self.answered(self.publisher.publish(messages)).await
    }

    /// Refuses to go on over a connection on which a transaction was cut off: what has become of it the journal
    /// says, to whoever asks over the next one.
    pub(in crate::queue::rabbitmq) fn knows_what_is_stored(&self) -> Outcome<()> {
        match self.transactions.get() {
            Some(transactions) if transactions.is_in_doubt() => {
                Err(BrokerError::new("a transaction was cut off"))
            }
            _ => Ok(()),
        }
    }

    /// As `publish`, and nothing of it where this client is lost before it has sent all.
    pub(in crate::queue::rabbitmq) async fn publish_together(
        &self,
        messages: Vec<Outgoing>,
    ) -> Outcome<()> {
        let publish = async {
            let open = || Transactions::open(&self.connection);
            self.transactions.get_or_try_init(open).await?.publish(messages).await
        };
        self.answered(publish).await
    }

    /// Publishes what nobody needs to wait for.
    pub(in crate::queue::rabbitmq) async fn mention(&self, message: &Outgoing) -> Outcome<()> {
        Ok(self.publisher.mention(message).await?)
    }

    /// Waits for an answer, but not for ever. A server that has said that it lacks memory or disk
    /// is waited for: it reads nothing until that is over, and then goes on where it was.
    pub(in crate::queue::rabbitmq) async fn answered<T>(
        &self,
        answer: impl Future<Output = Outcome<T>>,
    ) -> Outcome<T> {
        let mut answer = std::pin::pin!(answer);
        let deadline = Instant::now() + self.patience;
        loop {
            match timeout(ANSWER, &mut answer).await {
                Ok(outcome) => return outcome,
                Err(_) if self.connection.status().blocked() && Instant::now() < deadline => {
                    tracing::warn!("the server lacks memory or disk and takes nothing for now");
                }
                Err(_) => return Err(BrokerError::new(format!("no answer within {ANSWER:?}"))),
            }
        }
    }

    /// Waits for an answer that is due at once, but no longer than the connection is there.
    pub(super) async fn told<T>(&self, answer: impl Future<Output = Outcome<T>>) -> Outcome<T> {
        link::while_there(&self.connection, self.answered(answer)).await
    }

    /// Declares a durable queue of ours, which cannot be there otherwise: a refusal would close the channel.
    pub(in crate::queue::rabbitmq) async fn declare(&self, queue: &str) -> Outcome<()> {
        let none = FieldTable::default();
        Ok(self.fetcher.queue_declare(queue.into(), durable(), none).await.map(drop)?)
    }

    /// Asks a queue.
    pub(in crate::queue::rabbitmq) async fn depth(&self, queue: &str) -> Outcome<Depth> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let told = self.fetcher.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        Ok(Depth { consumers: told.consumer_count(), messages: told.message_count() })
    }

    /// Asks a queue that not everybody declares.
    pub(in crate::queue::rabbitmq) async fn depth_if_there(&self, queue: &str) -> Outcome<Depth> {
        Ok(topology::depth(&self.connection, queue).await?.unwrap_or_default())
    }

    /// Fetches the message at the head of a queue, if there is one.
    pub(in crate::queue::rabbitmq) async fn fetch(&self, queue: &str) -> Outcome<Option<Message>> {
        let got = self.fetcher.basic_get(queue.into(), BasicGetOptions::default()).await?;
        Ok(got.map(|got| got.delivery))
    }
}
