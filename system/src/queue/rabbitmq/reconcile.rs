//! Tasks that are gone from their queue: purged, expired, dropped by a policy, or with the whole of it.
//!
//! The journal shows which chunks are open, and the queues how many tasks wait. Where none waits and no
//! worker has anything (see [`super::roll`]), for longer than a dead connection can go unnoticed, what is
//! open is lost.

use std::time::Duration;

use async_trait::async_trait;

use super::life::{Life, Outcome, Outgoing};
use super::record::Doubt;
use super::{RabbitMq, record};
use crate::queue::reconcile::{Mark, Reconcile, Reconciled};
use crate::queue::{Progress, QueueError, Result};
use crate::wire;

/// How many chunks were open at which place in the course of events.
pub(super) type Gap = (u64, u64);

#[async_trait(?Send)]
impl Reconcile for RabbitMq {
    async fn reconcile(&self) -> Result<Reconciled> {
        self.look_for_loss().await?;
        self.link.call(async |life| self.journal.follow(&life).await).await?;
        let Some(info) = self.journal.opened() else { return Ok(Reconciled::default()) };
        let Progress { submitted, committed, dead, .. } = self.journal.progress();
        let mark = Mark { created_at: info.created_at, submitted, committed };
        if self.high_water.has_fallen(mark) {
            return Err(QueueError::lost(&self.settings.address));
        }
        let open = submitted.saturating_sub(committed + dead);
        let so_far = Reconciled { open, ..Reconciled::default() };
        if open == 0 || !self.link.call(async |life| self.is_all_idle(&life).await).await? {
            self.suspicion.is_over();
            return Ok(so_far);
        }
        let gap = (open, self.journal.events());
        if !self.suspicion.has_lasted(gap, self.until_sure()) {
            return Ok(Reconciled { in_doubt: true, ..so_far });
        }
        let resubmitted = self.alone(async |life| self.resubmit(life, gap).await).await?;
        Ok(Reconciled { resubmitted, ..so_far })
    }
}

impl RabbitMq {
    /// The server notices within three heartbeats that a connection is dead, and gives what it had to
    /// others.
    fn until_sure(&self) -> Duration {
        3 * self.link.heartbeat() + Duration::from_secs(1)
    }

    /// Whether no task waits, and none is with anybody. A worker says that it has nothing to do.
    async fn is_all_idle(&self, life: &Life) -> Outcome<bool> {
        if self.link.is_worker() && self.held.borrow().is_empty() {
            let mut idle = self.idle.lock().await;
            life.answered(idle.give(life, &self.queues.idle())).await?;
        }
        let tasks = life.depth(&self.queues.tasks).await?;
        if tasks.messages > 0 {
            return Ok(false);
        }
        let idle = life.depth_if_there(&self.queues.idle()).await?.consumers;
        let paused = life.depth_if_there(&self.queues.paused()).await?.consumers;
        let waiting = life.depth_if_there(&self.queues.retry).await?.messages;
        Ok(waiting == 0 && paused == 0 && idle == tasks.consumers)
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
            retry.unwrap_or_else(|| wire::Task::first(&info.sweep, *index, &created_at))
        };
        let again = |index: &u64| Doubt::Again.put_on(self.task(&task(index)));
        life.publish(&lost.iter().map(again).collect::<Vec<Outgoing>>()).await?;
        Ok(lost.len() as u64)
    }

    /// Whoever holds something and takes nothing more would not be seen.
    pub(super) async fn says_it_is_paused(&self, life: &Life) -> Outcome<()> {
        let mut paused = self.paused.lock().await;
        life.answered(paused.give(life, &self.queues.paused())).await
    }

    /// Something came: the worker has something to do.
    pub(super) async fn is_busy_now(&self, life: &Life) -> Outcome<()> {
        for sign in [&self.idle, &self.paused] {
            let mut sign = sign.lock().await;
            if sign.is_given() {
                life.answered(sign.take_back(life)).await?;
            }
        }
        Ok(())
    }
}
