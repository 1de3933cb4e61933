//! Tasks that are gone from their queue: purged, expired, dropped by a policy, or with the whole of it.
//!
//! The journal shows which chunks are open, and the queues how many tasks wait. Where none waits and no
//! worker has anything (see `consumer/presence.rs`), for longer than a dead connection can go unnoticed, what is
//! open is lost.

use std::time::Duration;

use async_trait::async_trait;

use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::connection::Life;
use crate::queue::rabbitmq::error::Outcome;
use crate::queue::rabbitmq::journal::record::{self, Doubt};
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::queue::reconcile::{Mark, Reconcile, Reconciled};
use crate::queue::{Progress, QueueError, Result};
use crate::wire::{self, Task};

/// How many chunks were open at which place in the course of events.
pub(super) type Gap = (u64, u64);

#[async_trait(?Send)]
impl Reconcile for RabbitMq {
    async fn reconcile(&self) -> Result<Reconciled> {
        self.look_for_loss().await?;
        self.client.call(async |life| self.journal.follow(&life).await).await?;
        let Some(info) = self.journal.opened() else { return Ok(Reconciled::default()) };
        let Progress { submitted, committed, dead, .. } = self.journal.progress();
        let mark = Mark { created_at: info.created_at, submitted, committed };
        if self.submitter.high_water.has_fallen(mark) {
            return Err(QueueError::lost(&self.settings.address));
        }
        let open = submitted.saturating_sub(committed + dead);
        let so_far = Reconciled { open, ..Reconciled::default() };
        if open == 0 || !self.client.call(async |life| self.is_all_idle(&life).await).await? {
            self.submitter.suspicion.is_over();
            return Ok(so_far);
        }
        let gap = (open, self.journal.events());
        if !self.submitter.suspicion.has_lasted(gap, self.until_sure()) {
            return Ok(Reconciled { in_doubt: true, ..so_far });
        }
        let resubmitted = self.client.alone(async |life| self.resubmit(life, gap).await).await?;
        Ok(Reconciled { resubmitted, ..so_far })
    }
}

impl RabbitMq {
    /// The server notices within three heartbeats that a connection is dead, and gives what it had to
    /// others.
    fn until_sure(&self) -> Duration {
        3 * self.client.heartbeat() + Duration::from_secs(1)
    }

    /// Submits again what is open, unless something has happened since.
    async fn resubmit(&self, life: &Life, gap: Gap) -> Outcome<u64> {
        self.journal.read_on(life).await?;
        let open = self.journal.open_chunks();
        if gap != (open.len() as u64, self.journal.events()) || !self.is_all_idle(life).await? {
            return Ok(0);
        }
        let Some(info) = self.journal.opened() else { return Ok(0) };
        // Somebody has done those and says so, wrongly: he would say it again.
        let is_doubtful = |chunk: &u64| self.journal.is_doubtful(*chunk);
        let (doubtful, lost): (Vec<u64>, Vec<u64>) = open.into_iter().partition(is_doubtful);
        let refused = doubtful.iter().map(|chunk| record::refused(&self.queues, *chunk));
        life.publish(&refused.collect::<Vec<Outgoing>>()).await?;
        let created_at = wire::now();
        let task = |index: &u64| {
            let retry = self.journal.retry(*index);
            retry.unwrap_or_else(|| Task::first(&info.sweep, *index, &created_at))
        };
        let again = |index: &u64| Doubt::Again.put_on(Outgoing::task(&self.queues, &task(index)));
        life.publish(&lost.iter().map(again).collect::<Vec<Outgoing>>()).await?;
        Ok(lost.len() as u64)
    }
}
