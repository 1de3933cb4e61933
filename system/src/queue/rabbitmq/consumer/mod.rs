//! The worker's side: tasks come, are held, and are settled.
//!
//! The life of a delivery:
//!
//! ```text
//!  in ttg.tasks ──────────── pushed to a consumer, or fetched (left_behind)
//!      ▲                                │
//!      │                     may anybody have had it before? ── no ──► held
//!      │                                │ yes: the journal is asked     ▲
//!      │                                ├── settled ──► acknowledged    │
//!      │                                ├── its workers died too often ──► buried ──► acknowledged
//!      │                                └── open ── redelivered ────────┘
//!      │
//!      │  held ──┬── commit: result stored and confirmed ──► acknowledged
//!      │         ├── fail: retry, or letter, stored and confirmed ──► acknowledged
//!      ├─────────┼── release: it is written down (released), and given back
//!      └─────────┴── connection gone: the broker gives it to the next; lost
//!
//!   lost ──┬── renew: its worker lives, and says so (survived)
//!          └── commit: stored, unless the journal says that it is settled
//! ```

mod arrivals;
mod held;
mod inbox;
mod lost_retries;
mod presence;
mod settling;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use lapin::message::Delivery as Message;
use lapin::options::BasicNackOptions;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::RabbitMq;
use super::connection::Life;
use super::error::Outcome;
use super::journal::record;
use super::publisher::Outgoing;
use crate::queue::arrival::{Dead, Known};
use crate::queue::pace::Pace;
use crate::queue::{Asker, Commit, Delivery, Failure, Queue, Result, Token};
use crate::wire::{Task, TaskResult};

use self::held::Held;
use self::inbox::Inbox;
use self::presence::Presence;

/// How long a claim waits before it looks whether the sweep is complete.
const COMPLETION_POLL: Duration = Duration::from_millis(250);

/// A worker to whom nothing comes for so long has time for more than tasks.
const IDLE: Duration = Duration::from_millis(50);

/// What a worker has of the queue of the tasks.
pub(super) struct Consumer {
    /// The sweep, to tell tasks from garbage.
    pub(super) known: Known,
    inbox: Mutex<Option<Inbox>>,
    held: Held,
    presence: Presence,
    pace: Pace,
    /// How many consumers the task queue had at the last look.
    peers: Cell<u32>,
}

impl Consumer {
    /// `interval`: how often a worker looks for what the dead left behind.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            known: Known::default(),
            inbox: Mutex::default(),
            held: Held::default(),
            presence: Presence::default(),
            pace: Pace::new(interval),
            peers: Cell::new(0),
        }
    }

    /// Whether it has asked for tasks, and asks for none now.
    async fn is_paused(&self) -> bool {
        self.inbox.lock().await.as_ref().is_some_and(|inbox| !inbox.is_subscribed())
    }
}

#[async_trait(?Send)]
impl Queue for RabbitMq {
    async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.look_for_loss().await?;
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (mut came, mut claimed) = self.claim_within(max, left.min(COMPLETION_POLL)).await?;
            // What is there twice is settled, and goes before whoever would leave it behind.
            while came && claimed.is_empty() {
                (came, claimed) = self.claim_within(max, COMPLETION_POLL).await?;
            }
            if !claimed.is_empty() || left <= COMPLETION_POLL || self.is_complete().await? {
                return Ok(claimed);
            }
        }
    }

    /// The server sends ahead by itself. Of single tasks it sends the next when the one before is acknowledged.
    async fn claim_ahead(&self, max: usize) -> Result<Vec<Delivery>> {
        if max <= 1 {
            return Ok(Vec::new());
        }
        let taken = self.client.call(async |life| {
            let mut inbox = self.consumer.inbox.lock().await;
            let taken = match inbox.as_mut().filter(|inbox| inbox.life == life.number) {
                Some(inbox) => life.answered(inbox.take_ahead(max)).await?,
                None => Vec::new(),
            };
            Ok((life.number, taken))
        });
        let (life, messages) = taken.await?;
        self.arrivals(life, messages, true).await
    }

    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        self.notice_reset().await;
        let tried = RefCell::new(BTreeSet::new());
        let outcomes = loop {
            self.look_for_loss().await?;
            let step = self.client.call(async |life| {
                // The look may have been over a connection before this one.
                if self.journal.may_be_lost(&life).await? {
                    return Ok(None);
                }
                self.store_results(&life, done, &tried).await.map(Some)
            });
            if let Some(outcomes) = step.await? {
                break outcomes;
            }
        };
        self.acknowledge_all(&done.iter().map(|(token, _)| token).collect::<Vec<_>>()).await;
        Ok(outcomes)
    }

    async fn renew(&self, held: &[Token]) -> Result<Vec<Token>> {
        // The client sends heartbeats by itself.
        self.notice_reset().await;
        self.look_for_loss().await?;
        let (lost, found) = self.consumer.held.lose(held, self.client.live());
        // They come to somebody again, and it was not their worker that died.
        let survived: Vec<Outgoing> =
            found.iter().map(|it| record::survived(&self.queues, &it.data)).collect();
        if !survived.is_empty() {
            self.client.call(async |life| life.publish(&survived).await).await?;
        }
        Ok(lost)
    }

    async fn take_over(&self, max: usize, _held: &[Token], _asker: Asker) -> Result<Vec<Delivery>> {
        if !self.consumer.pace.is_due() {
            return Ok(Vec::new());
        }
        let (life, messages) = self
            .client
            .call(async |life| {
                let consumers = life.answered(life.depth(&self.queues.tasks)).await?.consumers;
                let before = self.consumer.peers.replace(consumers);
                let left = if consumers < before {
                    life.answered(self.left_behind(&life, max.min(1))).await?
                } else {
                    vec![]
                };
                Ok((life.number, left))
            })
            .await?;
        self.arrivals(life, messages, false).await
    }

    async fn fail(&self, delivery: &Delivery, reason: &str) -> Result<Failure> {
        self.notice_reset().await;
        self.look_for_loss().await?;
        if !self.is_ours(&delivery.token) {
            self.acknowledge(&delivery.token).await;
            return Ok(Failure::NotHeld);
        }
        self.journal.catch_up(&self.client).await?;
        if self.is_over(&delivery.token, delivery.task.chunk.index) {
            self.acknowledge(&delivery.token).await;
            return Ok(Failure::NotHeld);
        }
        let attempts = delivery.task.retry_count + 1;
        let task = Task { retry_count: attempts, ..delivery.task.clone() };
        if attempts > self.settings.max_retries {
            return self.bury(&delivery.token, &Dead::failed(&task, reason)).await;
        }
        self.publish(&[Outgoing::retry(&self.queues, &task)]).await?;
        self.acknowledge(&delivery.token).await;
        Ok(Failure::Retried)
    }

    async fn has_peers(&self) -> Result<bool> {
        let tasks = &self.queues.tasks;
        let depth = self.client.call(async |life| life.depth(tasks).await).await?;
        // One that rests asks for nothing, and is not counted.
        let own = self.consumer.inbox.lock().await.as_ref().is_some_and(Inbox::is_subscribed);
        Ok(depth.consumers > u32::from(own))
    }

    async fn release(&self, held: &[Token]) -> Result<()> {
        // What is given back must not come to us again.
        let mut back = match self.consumer.inbox.lock().await.as_mut() {
            Some(inbox) if Some(inbox.life) == self.client.live() => {
                self.client.told(inbox.life, inbox.pause()).await.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let live = self.client.live();
        back.extend(
            held.iter().filter_map(|it| self.consumer.held.take(it, live)).map(|it| it.message),
        );
        self.give_back(back).await?;
        if self.consumer.held.is_empty(self.client.live()) {
            return Ok(());
        }
        self.client.call(async |life| self.says_it_is_paused(&life).await).await
    }

    async fn is_complete(&self) -> Result<bool> {
        self.look_for_loss().await?;
        // Nothing is written for that, since everybody who is idle asks again and again.
        self.client.call(async |life| self.journal.follow(&life).await).await?;
        let progress = self.journal.progress();
        if progress.total.is_some() {
            self.journal.keep_first_store();
        }
        if !progress.is_complete() {
            self.send_lost_retries().await?;
        }
        Ok(progress.is_complete())
    }

    async fn leave(&self) -> Result<()> {
        let live = self.client.live();
        let mut back = Vec::new();
        // Its channel stays until all is given back: closed, it would give back everything at once, unsaid.
        let mut inbox = self.consumer.inbox.lock().await.take().filter(|it| Some(it.life) == live);
        if let Some(inbox) = &mut inbox {
            back.extend(self.client.told(inbox.life, inbox.pause()).await.unwrap_or_default());
        }
        back.extend(self.consumer.held.take_all(live));
        self.give_back(back).await?;
        self.client.close().await;
        Ok(())
    }
}

impl RabbitMq {
    /// Whether anything came, and what of it is to be computed.
    async fn claim_within(&self, max: usize, wait: Duration) -> Result<(bool, Vec<Delivery>)> {
        let (life, messages) = self
            .client
            .call(async |life| {
                let mut inbox = self.consumer.inbox.lock().await;
                if inbox.as_ref().is_none_or(|inbox| inbox.life != life.number) {
                    let (tasks, name) = (&self.queues.tasks, self.client.name());
                    *inbox = Some(life.answered(Inbox::open(&life, tasks, name)).await?);
                }
                let inbox = inbox.as_mut().expect("it was opened just now");
                let held = self.consumer.held.tags(Some(life.number));
                let mut taken = life.answered(inbox.take(max, wait.min(IDLE), &held)).await?;
                if taken.is_empty() && wait > IDLE {
                    life.has_nothing_to_do();
                    taken = life.answered(inbox.take(max, wait - IDLE, &held)).await?;
                }
                if !taken.is_empty() {
                    self.is_busy_now(&life).await?;
                }
                Ok((life.number, taken))
            })
            .await?;
        Ok((!messages.is_empty(), self.arrivals(life, messages, true).await?))
    }

    /// Fetches up to `max` tasks that were delivered before and came back: they wait at the head
    /// of the queue.
    async fn left_behind(&self, life: &Life, max: usize) -> Outcome<Vec<Message>> {
        let mut left = Vec::new();
        while left.len() < max {
            let Some(message) = life.fetch(&self.queues.tasks).await? else { break };
            if !message.redelivered {
                life.publish(&[record::returned(&self.queues, &message.data)]).await?;
                let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                message.acker.nack(requeue).await?;
                break;
            }
            left.push(message);
        }
        Ok(left)
    }

    /// Gives up a connection whose queue was deleted: what is held is of a sweep that is gone.
    async fn notice_reset(&self) {
        let mut inbox = self.consumer.inbox.lock().await;
        // That of a connection that broke has ended too, and the next one may be there already.
        if let Some(cancelled) = inbox.take_if(Inbox::is_cancelled) {
            self.client.end(cancelled.life).await;
        }
    }
}
