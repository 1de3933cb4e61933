//! The coordinator's side, and whatever else decides what is submitted. Steps are taken under a lock.

mod adoption;
mod computed_by;
mod reconcile;

use std::cell::{Cell, RefCell};

use async_trait::async_trait;
use lapin::options::QueueDeleteOptions;

use self::computed_by::Accepted;
use self::reconcile::Gap;
use super::RabbitMq;
use super::journal::record::{self, Doubt};
use super::publisher::Outgoing;
use crate::chunk::Sweep;
use crate::queue::reconcile::{HighWater, Suspicion};
use crate::queue::{QueueError, Result, Submit, SweepInfo};
use crate::wire::{self, Task};

/// What is known of submitting.
#[derive(Default)]
pub(super) struct Submitter {
    /// The next step may have been tried before, and its outcome is not known.
    in_doubt: Cell<bool>,
    accepted: Accepted,
    high_water: HighWater,
    suspicion: Suspicion<Gap>,
}

#[async_trait(?Send)]
impl Submit for RabbitMq {
    async fn open(&self, sweep: &Sweep, job_id: Option<&str>) -> Result<u64> {
        let asked = SweepInfo::asked(sweep, job_id);
        let refused = self
            .client
            .alone(async |life| {
                self.journal.read_beginning(life).await?;
                if self.journal.is_cut() {
                    return Ok(None);
                }
                self.journal.read_on(life).await?;
                self.journal.name_store(life).await?;
                // Whoever opened it may have come further than the journal shows.
                self.submitter.in_doubt.set(self.journal.sweep().is_some());
                if self.journal.opened().is_some() {
                    return Ok(None);
                }
                self.begin(life, asked.clone()).await
            })
            .await?;
        if self.journal.is_cut() {
            return Err(QueueError::lost(&self.settings.address));
        }
        self.journal.keep_store();
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
        let there = self.client.alone(async |life| {
            self.journal.read_on(life).await?;
            // It may have been reset since, and another one opened.
            let is_open = self.journal.opened().is_some_and(|info| info.sweep == *sweep);
            if !is_open || self.journal.is_of_other_store() {
                return Ok(None);
            }
            let submitted = self.journal.submitted_for_good();
            // Somebody else was quicker, or this was done and its answer was lost.
            if submitted != from {
                return Ok(Some(submitted));
            }
            // An attempt that is not confirmed may have left some of them in the queue.
            let in_doubt = self.submitter.in_doubt.replace(true);
            let task = |index| self.first_task(sweep, index, &created_at, in_doubt);
            let open = (from..to).filter(|index| !self.journal.is_settled(*index));
            life.publish(&open.map(task).collect::<Vec<_>>()).await?;
            life.publish(&[record::submitted(&self.queues, to)]).await?;
            self.submitter.in_doubt.set(false);
            Ok(Some(to))
        });
        there.await?.ok_or_else(|| QueueError::lost(&self.settings.address))
    }

    async fn reset(&self) -> Result<()> {
        let (store, is_looking) = (RefCell::new(None), Cell::new(false));
        self.client
            .alone(async |life| {
                // Where looking for it has cost a connection, it would cost the next one too.
                if store.borrow().is_none() && !is_looking.replace(true) {
                    let found = self.journal.find_store(life).await;
                    store.replace(found.or_else(|| self.journal.store()));
                    is_looking.set(false);
                }
                self.journal.close().await;
                let channel = life.connection.create_channel().await?;
                // Deleted, not purged: whoever holds a task of it is told that way.
                let own = [self.queues.journal(), self.queues.snapshots(), self.queues.kernels()];
                let ours = self.queues.bindings().map(|(queue, _)| queue.to_owned());
                for queue in ours.iter().chain(&own) {
                    let options = QueueDeleteOptions::default();
                    channel.queue_delete(queue.as_str().into(), options).await?;
                }
                self.queues.declare(&life.connection, channel, None).await?;
                // Workers tell by the name that nothing was lost that should be there.
                let named = store.borrow().as_ref().map(|name| record::store(&self.queues, name));
                let first = named.into_iter().chain([record::reset(&self.queues)]);
                life.publish(&first.collect::<Vec<_>>()).await
            })
            .await
    }
}

impl RabbitMq {
    /// The first task of a chunk, which says if it may be there already.
    fn first_task(&self, sweep: &Sweep, index: u64, created_at: &str, in_doubt: bool) -> Outgoing {
        let message = Outgoing::task(&self.queues, &Task::first(sweep, index, created_at));
        match (self.journal.is_submitted(index), in_doubt) {
            (true, _) => Doubt::Again.put_on(message),
            (false, true) => Doubt::Maybe.put_on(message),
            (false, false) => message,
        }
    }
}
