//! RabbitMQ: the wire contract's queues, and beside them a journal.
//!
//! Queues cannot be looked at without taking from them, and AMQP has no step that both publishes
//! and acknowledges. So everything that is published to the contract's exchanges also goes to a
//! stream of ours, the *journal*: onlookers read it without taking anything, a coordinator sees
//! in it what it has submitted, and a worker to whom a task is delivered again sees whether it was
//! settled. The journal's order decides: of several results of a chunk the first counts.
//!
//! A result is published and confirmed before its task is acknowledged. Between the two a worker
//! may die; the task is then delivered again, found settled, and acknowledged. Only where two
//! workers compute one chunk at the same moment is a result stored twice; the aggregator counts
//! the first.
//!
//! A delivery belongs to a connection: when that is gone, or has sent no heartbeat for two of its
//! intervals, the broker gives its deliveries to others by itself. A delivery of a connection that
//! is gone is never acknowledged on a new one.

mod adoption;
mod arrivals;
mod bits;
mod computed_by;
mod digest;
mod ground;
mod guest;
mod inbox;
mod inspect;
mod journal;
mod letters;
mod life;
mod link;
mod lost_retries;
mod peek;
mod queues;
mod reader;
mod reconcile;
mod record;
mod roll;
mod server;
mod shelf;
mod sight;
mod submit;
mod tls;
mod trace;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::computed_by::Accepted;
use self::inbox::Inbox;
use self::inspect::Pages;
use self::journal::Journal;
use self::life::{Life, Outcome, Outgoing};
use self::link::Link;
use self::queues::{LETTERS_EXCHANGE, RESULTS_EXCHANGE, RETRY_EXCHANGE, TASKS_EXCHANGE};
use self::reconcile::Gap;
use self::roll::Sign;
use self::sight::Sight;
use self::trace::Trace;
use super::arrival::{Dead, Known};
use super::pace::Pace;
use super::reconcile::{HighWater, Suspicion};
use super::{
    Address, Asker, Commit, Delivery, Failure, Queue, Result, Settings, Token, first_contact,
};
use crate::chunk::ChunkId;
use crate::wire::{self, Task, TaskResult};

pub use super::Secret;
pub(super) use guest::{leave_as_guest, look_as_guest};
pub use queues::{QueueType, Queues};
pub use server::Server;

/// How long a claim waits before it looks whether the sweep is complete.
const LOOK: Duration = Duration::from_millis(250);

/// A connection to RabbitMQ, of a worker or of somebody else.
pub struct RabbitMq {
    settings: Settings,
    queues: Queues,
    link: Link,
    journal: Journal,
    known: Known,
    sight: Sight,
    inbox: Mutex<Option<Inbox>>,
    /// Deliveries that are not acknowledged, by token.
    held: RefCell<BTreeMap<String, Holding>>,
    pace: Pace,
    /// How many consumers the task queue had at the last look.
    consumers: Cell<u32>,
    pages: Pages,
    trace: Mutex<Option<Trace>>,
    idle: Mutex<Sign>,
    paused: Mutex<Sign>,
    high_water: HighWater,
    suspicion: Suspicion<Gap>,
    accepted: Accepted,
    /// The next step of submitting may have been tried before, and its outcome is not known.
    in_doubt: Cell<bool>,
}

/// A delivery as the broker knows it.
struct Holding {
    life: u64,
    message: Message,
    /// It came through the consumer, in the order of its tags.
    in_order: bool,
}

impl RabbitMq {
    /// Connects.
    ///
    /// # Errors
    /// Where the server does not answer within a few seconds, or refuses.
    pub async fn connect(settings: &Settings, worker: Option<&str>) -> Result<Self> {
        let Address::RabbitMq(server) = &settings.address else {
            unreachable!("only made for a RabbitMQ address");
        };
        let link = Link::new(settings, server, worker);
        link.within(first_contact(settings, worker), async |_| Ok(())).await?;
        Ok(Self {
            settings: settings.clone(),
            queues: server.queues.clone(),
            journal: Journal::new(&server.queues),
            link,
            known: Known::default(),
            sight: Sight::default(),
            inbox: Mutex::default(),
            held: RefCell::default(),
            pace: Pace::new(settings.takeover_interval),
            consumers: Cell::new(0),
            pages: Pages::default(),
            trace: Mutex::default(),
            idle: Mutex::default(),
            paused: Mutex::default(),
            high_water: HighWater::default(),
            suspicion: Suspicion::default(),
            accepted: Accepted::default(),
            in_doubt: Cell::default(),
        })
    }

    async fn bury(&self, token: &Token, dead: &Dead) -> Result<Failure> {
        let id = dead.chunk.map(|index| ChunkId(index).to_string()).unwrap_or_default();
        let fields = dead.letter.to_fields();
        let letter = Outgoing::message(
            LETTERS_EXCHANGE,
            &self.queues.letters,
            &id,
            wire::to_message(&fields),
        );
        let letter = letter.with_headers(&dead.letter, wire::get(&fields, "last_error"));
        self.publish(std::slice::from_ref(&letter)).await?;
        self.acknowledge(token).await;
        Ok(Failure::DeadLettered)
    }

    /// Stores the results of chunks that are not settled, as far as is known; `tried` are those of which that
    /// was tried before, on a connection that broke.
    async fn store_results(
        &self,
        life: &Life,
        done: &[(Token, TaskResult)],
        tried: &RefCell<BTreeSet<u64>>,
    ) -> Outcome<Vec<Commit>> {
        let lost = |token: &Token| !self.is_ours(token);
        if done.iter().any(|(token, _)| lost(token)) {
            // Somebody else may have done it by now, or the broker has stored it already.
            self.journal.read_on(life).await?;
        }
        let mut seen = BTreeSet::new();
        let outcomes: Vec<Commit> = done
            .iter()
            .map(|(token, result)| {
                let chunk = result.chunk_index;
                let settled = !seen.insert(chunk) || (lost(token) && self.is_over(token, chunk));
                if settled { Commit::AlreadySettled } else { Commit::Committed }
            })
            .collect();
        let of = |outcome| done.iter().zip(&outcomes).filter(move |(_, it)| **it == outcome);
        // What was tried is in the journal now, and its own queue may have lost it with a server that was
        // killed before it confirmed it.
        let again = of(Commit::AlreadySettled)
            .filter(|((_, result), _)| tried.borrow().contains(&result.chunk_index))
            .map(|((_, result), _)| self.result(result).for_its_queue_alone());
        let new = of(Commit::Committed).map(|((_, result), _)| self.result(result));
        let all: Vec<Outgoing> = again.chain(new).collect();
        tried.borrow_mut().extend(done.iter().map(|(_, result)| result.chunk_index));
        life.publish(&all).await?;
        Ok(outcomes)
    }

    /// Whether the delivery is still ours: its connection is the present one, and lives.
    fn is_ours(&self, token: &Token) -> bool {
        let live = self.link.live();
        self.held.borrow().get(&token.id).is_some_and(|held| Some(held.life) == live)
    }

    /// Acknowledges a delivery, if it is still ours. Where that fails it is delivered again, and
    /// found settled.
    async fn acknowledge(&self, token: &Token) {
        let held = self.held.borrow_mut().remove(&token.id);
        if let Some(held) = held.filter(|held| Some(held.life) == self.link.live()) {
            self.ack(&held, BasicAckOptions::default()).await;
        }
    }

    async fn ack(&self, Holding { life, message, .. }: &Holding, options: BasicAckOptions) {
        let done = async { Ok(message.acker.ack(options).await?) };
        let _ = self.link.told(*life, done).await;
    }

    /// Acknowledges several at once, where nothing that is still held lies between them.
    async fn acknowledge_all(&self, tokens: &[&Token]) {
        let live = self.link.live();
        let mut done = Vec::new();
        let oldest_open = {
            let mut held = self.held.borrow_mut();
            for token in tokens {
                done.extend(held.remove(&token.id));
            }
            held.retain(|_, holding| Some(holding.life) == live);
            let in_order = held.values().filter(|holding| holding.in_order);
            in_order.map(|holding| holding.message.delivery_tag).min().unwrap_or(u64::MAX)
        };
        done.retain(|holding| Some(holding.life) == live);
        let (together, single): (Vec<_>, Vec<_>) = done
            .into_iter()
            .partition(|holding| holding.in_order && holding.message.delivery_tag < oldest_open);
        if let Some(last) = together.iter().max_by_key(|holding| holding.message.delivery_tag) {
            self.ack(last, BasicAckOptions { multiple: true }).await;
        }
        for holding in single {
            self.ack(&holding, BasicAckOptions::default()).await;
        }
    }
}

#[async_trait(?Send)]
impl Queue for RabbitMq {
    async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.look_for_loss().await?;
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (mut came, mut claimed) = self.claim_within(max, left.min(LOOK)).await?;
            // What is there twice is settled, and goes before whoever would leave it behind.
            while came && claimed.is_empty() {
                (came, claimed) = self.claim_within(max, LOOK).await?;
            }
            if !claimed.is_empty() || left <= LOOK || self.is_complete().await? {
                return Ok(claimed);
            }
        }
    }

    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        self.notice_reset().await;
        let tried = RefCell::new(BTreeSet::new());
        let outcomes = loop {
            self.look_for_loss().await?;
            let step = self.link.call(async |life| {
                // The look may have been over a connection before this one.
                if self.may_be_lost(&life).await? {
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
        let lost: Vec<Token> = held.iter().filter(|it| !self.is_ours(it)).cloned().collect();
        // They come to somebody again, and it was not their worker that died.
        let survived: Vec<Outgoing> = lost
            .iter()
            .filter_map(|token| self.held.borrow_mut().remove(&token.id))
            .map(|holding| record::survived(&self.queues, &holding.message.data))
            .collect();
        if !survived.is_empty() {
            self.link.call(async |life| life.publish(&survived).await).await?;
        }
        Ok(lost)
    }

    async fn take_over(&self, max: usize, _held: &[Token], _asker: Asker) -> Result<Vec<Delivery>> {
        if !self.pace.is_due() {
            return Ok(Vec::new());
        }
        let (life, messages) = self
            .link
            .call(async |life| {
                let consumers = life.answered(life.depth(&self.queues.tasks)).await?.consumers;
                let before = self.consumers.replace(consumers);
                let left = if consumers < before {
                    life.answered(life.left_behind(max.min(1))).await?
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
            return Ok(Failure::NotHeld);
        }
        self.journal.catch_up(&self.link).await?;
        if self.is_over(&delivery.token, delivery.task.chunk.index) {
            self.acknowledge(&delivery.token).await;
            return Ok(Failure::NotHeld);
        }
        let attempts = delivery.task.retry_count + 1;
        let task = Task { retry_count: attempts, ..delivery.task.clone() };
        if attempts > self.settings.max_retries {
            return self.bury(&delivery.token, &Dead::failed(&task, reason)).await;
        }
        let (id, body) = (task.chunk.id().to_string(), wire::to_message(&task.to_fields()));
        let again = Outgoing::message(RETRY_EXCHANGE, &self.queues.retry, &id, body);
        self.publish(std::slice::from_ref(&again)).await?;
        self.acknowledge(&delivery.token).await;
        Ok(Failure::Retried)
    }

    async fn has_peers(&self) -> Result<bool> {
        let tasks = &self.queues.tasks;
        let depth = self.link.call(async |life| life.depth(tasks).await).await?;
        // One that rests asks for nothing, and is not counted.
        let own = self.inbox.lock().await.as_ref().is_some_and(Inbox::is_subscribed);
        Ok(depth.consumers > u32::from(own))
    }

    async fn release(&self, held: &[Token]) -> Result<()> {
        // What is given back must not come to us again.
        let mut back = match self.inbox.lock().await.as_mut() {
            Some(inbox) if Some(inbox.life) == self.link.live() => {
                self.link.told(inbox.life, inbox.pause()).await.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        for token in held {
            let holding = self.held.borrow_mut().remove(&token.id);
            let ours = holding.filter(|it| Some(it.life) == self.link.live());
            back.extend(ours.map(|holding| holding.message));
        }
        self.give_back(back).await?;
        if self.held.borrow().is_empty() {
            return Ok(());
        }
        self.link.call(async |life| self.says_it_is_paused(&life).await).await
    }

    async fn is_complete(&self) -> Result<bool> {
        self.look_for_loss().await?;
        // Nothing is written for that, since everybody who is idle asks again and again.
        self.link.call(async |life| self.journal.follow(&life).await).await?;
        let progress = self.journal.progress();
        if progress.total.is_some() && !self.sight.has_seen.get() {
            self.sight.keep(self.journal.store());
        }
        if !progress.is_complete() {
            self.send_lost_retries().await?;
        }
        Ok(progress.is_complete())
    }

    async fn leave(&self) -> Result<()> {
        let live = self.link.live();
        let mut back = Vec::new();
        if let Some(mut inbox) = self.inbox.lock().await.take().filter(|it| Some(it.life) == live) {
            back.extend(self.link.told(inbox.life, inbox.pause()).await.unwrap_or_default());
        }
        let held = self.held.take().into_values().filter(|holding| Some(holding.life) == live);
        back.extend(held.map(|holding| holding.message));
        self.give_back(back).await?;
        self.link.close().await;
        Ok(())
    }
}

impl RabbitMq {
    /// Whether anything came, and what of it is to be computed.
    async fn claim_within(&self, max: usize, wait: Duration) -> Result<(bool, Vec<Delivery>)> {
        let (life, messages) = self
            .link
            .call(async |life| {
                let mut inbox = self.inbox.lock().await;
                if inbox.as_ref().is_none_or(|inbox| inbox.life != life.number) {
                    let (tasks, name) = (&self.queues.tasks, &self.link.name);
                    *inbox = Some(life.answered(Inbox::open(&life, tasks, name)).await?);
                }
                let inbox = inbox.as_mut().expect("it was opened just now");
                let held = self.tags(life.number);
                let taken = life.answered(inbox.take(max, wait, &held)).await?;
                if !taken.is_empty() {
                    self.is_busy_now(&life).await?;
                }
                Ok((life.number, taken))
            })
            .await?;
        Ok((!messages.is_empty(), self.arrivals(life, messages, true).await?))
    }

    /// Gives messages back. It is written down first: whoever gets them next is to know that they
    /// killed nobody.
    async fn give_back(&self, messages: Vec<Message>) -> Result<()> {
        let Some(life) = self.link.live() else {
            // The connection is gone, and the deliveries with it.
            return Ok(());
        };
        let released: Vec<_> =
            messages.iter().map(|it| record::released(&self.queues, &it.data)).collect();
        if !released.is_empty() {
            self.link.call(async |life| life.publish(&released).await).await?;
        }
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        for message in messages {
            // Where that fails, the connection is given up, and the delivery with it.
            let _ = self.link.told(life, async { Ok(message.acker.nack(requeue).await?) }).await;
        }
        Ok(())
    }

    /// Tags of what came through the consumer and is not acknowledged.
    fn tags(&self, life: u64) -> Vec<u64> {
        let held = self.held.borrow();
        let ours = held.values().filter(|holding| holding.life == life && holding.in_order);
        ours.map(|holding| holding.message.delivery_tag).collect()
    }

    /// Gives up a connection whose queue was deleted: what is held is of a sweep that is gone.
    async fn notice_reset(&self) {
        let mut inbox = self.inbox.lock().await;
        // That of a connection that broke has ended too, and the next one may be there already.
        if let Some(cancelled) = inbox.take_if(Inbox::is_cancelled) {
            self.link.end(cancelled.life).await;
        }
    }

    /// Whether the journal knows that this need not be done any more.
    fn is_over(&self, token: &Token, chunk: u64) -> bool {
        self.journal.is_settled(chunk) || self.journal.is_before_sweep(created_ms(token))
    }

    /// A task for its queue.
    fn task(&self, task: &Task) -> Outgoing {
        let (id, body) = (task.chunk.id().to_string(), wire::to_message(&task.to_fields()));
        Outgoing::message(TASKS_EXCHANGE, &self.queues.tasks, &id, body)
    }

    fn result(&self, result: &TaskResult) -> Outgoing {
        let id = ChunkId(result.chunk_index).to_string();
        let body = wire::to_json(&result.to_fields());
        Outgoing::message(RESULTS_EXCHANGE, &self.queues.results, &id, body)
    }
}

/// When the task of a token was created, in milliseconds since 1970: it is of no sweep that was
/// opened later.
fn created_ms(token: &Token) -> i64 {
    token.id.rsplit(':').next().and_then(|ms| ms.parse().ok()).unwrap_or(i64::MAX)
}
