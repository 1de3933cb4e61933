//! Steps that nobody else may take at the same time. The lock is a queue that only one connection can have,
//! and that goes with it.

use std::rc::Rc;
use std::time::Duration;

use lapin::Channel;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tokio::time::{Instant, sleep};

use super::{Life, ReconnectingClient};
use crate::queue::Result;
use crate::queue::rabbitmq::error::{BrokerError, Outcome, is_locked};

/// Waits between attempts to get a lock that somebody else has: the first, and the longest. Each attempt costs the
/// connection one of its 2047 channel numbers for good (lapin 4.12 remembers the refusal).
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

impl ReconnectingClient {
    /// Carries out a step that nobody else may take at the same time.
    pub(in crate::queue::rabbitmq) async fn alone<T>(
        &self,
        step: impl AsyncFn(&Life) -> Outcome<T>,
    ) -> Result<T> {
        self.call(async |life: Rc<Life>| {
            let lock = self.lock(&life).await?;
            let outcome = step(&life).await;
            let name = life.queues.lock();
            let unlock = lock.queue_delete(name.as_str().into(), QueueDeleteOptions::default());
            life.answered(async { Ok(unlock.await?) }).await?;
            outcome
        })
        .await
    }

    /// Waits for its turn. The lock of one that dies or falls silent goes with its connection; one
    /// that keeps it all the same must not hold up everybody for ever.
    async fn lock(&self, life: &Life) -> Outcome<Channel> {
        let (name, patience) = (life.queues.lock(), self.patience);
        let deadline = Instant::now() + patience;
        let mut pause = BACKOFF.0;
        loop {
            if let Some(channel) = life.answered(try_lock(life, &name)).await? {
                return Ok(channel);
            }
            if Instant::now() >= deadline {
                return Err(BrokerError::new(format!(
                    "somebody else has had the lock {name} for {patience:?} (find the connection \
                     that has it with rabbitmqctl list_queues name owner_pid, and close it)"
                )));
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }
}

/// The channel of the lock; none where it is somebody else's.
async fn try_lock(life: &Life, name: &str) -> Outcome<Option<Channel>> {
    // A refusal closes the channel.
    let channel = life.connection.create_channel().await?;
    let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(name.into(), own, FieldTable::default()).await {
        Ok(_) => Ok(Some(channel)),
        Err(error) if is_locked(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
