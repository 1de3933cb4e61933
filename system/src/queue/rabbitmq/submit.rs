//! The coordinator's side. Steps are taken under a lock: a queue that only one connection can
//! have, and that goes with it.

use async_trait::async_trait;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, ErrorKind};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use super::life::{Life, Outcome, Outgoing, Trouble};
use super::record::Doubt;
use super::{RabbitMq, record};
use crate::chunk::Sweep;
use crate::queue::{QueueError, Result, Submit, SweepInfo};
use crate::wire::{self, Task};

/// How often to try for a lock that somebody else has.
const LOOK: Duration = Duration::from_millis(10);

/// What the server answers where it is somebody else's.
const RESOURCE_LOCKED: u16 = 405;

#[async_trait(?Send)]
impl Submit for RabbitMq {
    async fn open(&self, sweep: &Sweep, job_id: Option<&str>) -> Result<u64> {
        let asked = SweepInfo::asked(sweep, job_id);
        let refused = self
            .alone(async |life| {
                self.journal.read_on(life).await?;
                self.name_store(life).await?;
                // Whoever opened it may have come further than the journal shows.
                self.in_doubt.set(self.journal.sweep().is_some());
                if self.journal.opened().is_some() || self.journal.is_cut() {
                    return Ok(None);
                }
                self.begin(life, asked.clone()).await
            })
            .await?;
        if self.journal.is_cut() {
            return Err(QueueError::lost(&self.settings.address));
        }
        self.sight.keep(self.journal.store());
        let there = match (refused, self.journal.opened()) {
            (None, Some(there)) if there.is(&asked) => {
                return Ok(self.journal.submitted_for_good());
            }
            (None, there) => there.map_or("another one".to_owned(), |info| info.to_string()),
            (Some(refused), _) => refused,
        };
        let (address, asked) = (self.settings.address.clone(), asked.to_string());
        Err(QueueError::OtherSweep { address, there, asked })
    }

    async fn submit(&self, sweep: &Sweep, from: u64, to: u64) -> Result<u64> {
        let created_at = wire::now();
        let there = self.alone(async |life| {
            self.journal.read_on(life).await?;
            if self.sight.is_lost(self.journal.store().as_ref()) {
                return Ok(None);
            }
            let submitted = self.journal.submitted_for_good();
            // Somebody else was quicker, or this was done and its answer was lost.
            if submitted != from {
                return Ok(Some(submitted));
            }
            // An attempt that is not confirmed may have left some of them in the queue.
            let in_doubt = self.in_doubt.replace(true);
            let task = |index| self.first_task(sweep, index, &created_at, in_doubt);
            let open = (from..to).filter(|index| !self.journal.is_settled(*index));
            life.publish(&open.map(task).collect::<Vec<_>>()).await?;
            life.publish(&[record::submitted(&self.queues, to)]).await?;
            self.in_doubt.set(false);
            Ok(Some(to))
        });
        there.await?.ok_or_else(|| QueueError::lost(&self.settings.address))
    }

    async fn reset(&self) -> Result<()> {
        let (store, is_looking) = (RefCell::new(None), Cell::new(false));
        self.alone(async |life| {
            // Where looking for it has cost a connection, it would cost the next one too.
            if store.borrow().is_none() && !is_looking.replace(true) {
                let found = self.journal.find_store(life).await;
                store.replace(found.or_else(|| self.journal.store()));
                is_looking.set(false);
            }
            self.journal.close().await;
            let channel = life.connection.create_channel().await?;
            // Deleted, not purged: whoever holds a task of it is told that way.
            let own = [self.queues.journal(), self.queues.kernels()];
            let ours = self.queues.bindings().map(|(queue, _)| queue.to_owned());
            for queue in ours.iter().chain(&own) {
                let options = QueueDeleteOptions::default();
                channel.queue_delete(queue.as_str().into(), options).await?;
            }
            self.queues.declare(&channel, None).await?;
            // Workers tell by it that nothing was lost that should be there.
            let named = store.borrow().as_ref().map(|name| record::store(&self.queues, name));
            life.publish(named.as_slice()).await
        })
        .await
    }
}

impl RabbitMq {
    /// The first task of a chunk, which says if it may be there already.
    fn first_task(&self, sweep: &Sweep, index: u64, created_at: &str, in_doubt: bool) -> Outgoing {
        let message = self.task(&Task::first(sweep, index, created_at));
        match (self.journal.is_submitted(index), in_doubt) {
            (true, _) => Doubt::Again.put_on(message),
            (false, true) => Doubt::Maybe.put_on(message),
            (false, false) => message,
        }
    }

    /// Carries out a step that nobody else may take at the same time.
    pub(super) async fn alone<T>(&self, step: impl AsyncFn(&Life) -> Outcome<T>) -> Result<T> {
        self.link
            .call(async |life: Rc<Life>| {
                let lock = self.lock(&life).await?;
                let outcome = step(&life).await;
                let name = self.queues.lock();
                let unlock = lock.queue_delete(name.as_str().into(), QueueDeleteOptions::default());
                life.answered(async { Ok(unlock.await?) }).await?;
                outcome
            })
            .await
    }

    /// Waits for its turn. The lock of one that dies or falls silent goes with its connection; one
    /// that keeps it all the same must not hold up everybody for ever.
    async fn lock(&self, life: &Life) -> Outcome<Channel> {
        let (name, patience) = (self.queues.lock(), self.settings.patience);
        let deadline = Instant::now() + patience;
        loop {
            if let Some(channel) = life.answered(try_lock(life, &name)).await? {
                return Ok(channel);
            }
            if Instant::now() >= deadline {
                return Err(Trouble::new(format!(
                    "somebody else has had the lock {name} for {patience:?} (find the connection \
                     that has it with rabbitmqctl list_queues name owner_pid, and close it)"
                )));
            }
            sleep(LOOK).await;
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
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(told) if told.get_id() == RESOURCE_LOCKED => Ok(None),
            _ => Err(error.into()),
        },
    }
}
