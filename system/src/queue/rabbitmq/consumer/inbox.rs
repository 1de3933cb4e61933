//! Tasks that the broker pushes.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Message;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::time::{Instant, timeout, timeout_at};

use crate::queue::rabbitmq::connection::{ConsumingChannel, Life};
use crate::queue::rabbitmq::error::{BrokerError, Outcome};

/// How long the next task of a batch is waited for.
const LINGER: Duration = Duration::from_millis(2);

/// How long a batch may take to come whose tasks come without a pause.
const FILL: Duration = Duration::from_millis(10);

/// A consumer of the task queue.
pub(super) struct Inbox {
    /// Of the connection that it is fed over.
    pub(super) life: u64,
    queue: String,
    name: String,
    channel: ConsumingChannel,
    consumer: Consumer,
    /// How many tasks the broker sends ahead.
    prefetch: u16,
    /// What came before the prefetch was changed.
    waiting: VecDeque<Message>,
    changes: u32,
    /// Tags above this one came through the present subscription.
    since: u64,
    last: u64,
}

impl Inbox {
    pub(super) async fn open(life: &Life, queue: &str, name: &str) -> Outcome<Self> {
        let channel = ConsumingChannel::from(life.connection.create_channel().await?);
        let consumer = consume(&channel, queue, name, 1).await?;
        let (queue, name) = (queue.to_owned(), name.to_owned());
        let waiting = VecDeque::new();
        Ok(Self {
            life: life.number,
            queue,
            name,
            channel,
            consumer,
            prefetch: 1,
            waiting,
            changes: 0,
            since: 0,
            last: 0,
        })
    }

    /// Up to `max` tasks; none after `wait`. The tags of those that are held already count
    /// towards the prefetch.
    pub(super) async fn take(
        &mut self,
        max: usize,
        wait: Duration,
        held: &[u64],
    ) -> Outcome<Vec<Message>> {
        self.expect(max, held).await?;
        let mut taken = Vec::new();
        if self.waiting.is_empty() {
            match timeout(wait, self.consumer.next()).await {
                Err(_) => return Ok(taken),
                Ok(message) => taken.push(opened(message)?),
            }
        }
        self.fill(&mut taken, max).await?;
        Ok(taken)
    }

    /// Up to `max` of the tasks that were sent ahead. Where these are fewer, more are sent from now on; where far
    /// fewer are wanted than are sent, none is taken until `take` has asked for them.
    pub(super) async fn take_ahead(&mut self, max: usize) -> Outcome<Vec<Message>> {
        let wanted = prefetch_for(max);
        if self.prefetch == 0 || self.is_far_more_than(wanted) {
            return Ok(Vec::new());
        }
        self.take_in()?;
        if wanted > self.prefetch && self.waiting.len() < max {
            self.subscribe(wanted).await?;
        }
        let mut taken = Vec::new();
        self.fill(&mut taken, max).await?;
        Ok(taken)
    }

    /// Takes what is there, and what comes while there is no pause, but not for long.
    async fn fill(&mut self, taken: &mut Vec<Message>, max: usize) -> Outcome<()> {
        let end = Instant::now() + FILL;
        while taken.len() < max {
            if let Some(message) = self.waiting.pop_front() {
                taken.push(message);
                continue;
            }
            let pause = end.min(Instant::now() + LINGER);
            let Ok(message) = timeout_at(pause, self.consumer.next()).await else { break };
            taken.push(opened(message)?);
        }
        self.last = taken.iter().map(|it| it.delivery_tag).max().unwrap_or(0).max(self.last);
        Ok(())
    }

    /// Takes in what has come.
    fn take_in(&mut self) -> Outcome<()> {
        while let Some(Some(message)) = self.consumer.next().now_or_never() {
            self.waiting.push_back(message?);
        }
        Ok(())
    }

    /// Whether the server sends so many ahead that others would miss them. A little too many are left at that:
    /// what the old subscription has sent counts no more towards the new one.
    fn is_far_more_than(&self, wanted: u16) -> bool {
        wanted <= self.prefetch / 4
    }

    /// Puts back the last of what was taken, for the next time.
    pub(super) fn put_back(&mut self, messages: Vec<Message>) {
        messages.into_iter().rev().for_each(|message| self.waiting.push_front(message));
    }

    /// Takes nothing more until the next `take`: what is given back is for others. Returns what
    /// was sent ahead.
    pub(super) async fn pause(&mut self) -> Outcome<Vec<Message>> {
        if self.prefetch > 0 {
            self.unsubscribe().await?;
            self.prefetch = 0;
        }
        Ok(self.waiting.drain(..).collect())
    }

    /// Whether tasks are sent to it.
    pub(super) fn is_subscribed(&self) -> bool {
        self.prefetch > 0
    }

    /// Whether the server has cancelled the consumer: the queue was deleted.
    pub(super) fn is_cancelled(&mut self) -> bool {
        loop {
            if self.prefetch == 0 {
                return false;
            }
            match self.consumer.next().now_or_never() {
                None => return false,
                Some(Some(Ok(message))) => self.waiting.push_back(message),
                Some(_) => return true,
            }
        }
    }

    /// Has the server send so many ahead as are wanted now.
    async fn expect(&mut self, max: usize, held: &[u64]) -> Outcome<()> {
        let wanted = prefetch_for(max);
        let is_too_many = self.is_far_more_than(wanted);
        if self.prefetch > 0 && !is_too_many {
            let full = held.iter().filter(|tag| **tag > self.since).count() + self.waiting.len();
            let is_enough = wanted <= self.prefetch && full < usize::from(self.prefetch);
            if is_enough || !self.waiting.is_empty() {
                return Ok(());
            }
        }
        self.subscribe(wanted).await
    }

    /// Lets the server send so many ahead.
    async fn subscribe(&mut self, prefetch: u16) -> Outcome<()> {
        if self.prefetch > 0 {
            self.unsubscribe().await?;
        }
        let waiting = self.waiting.back().map_or(0, |message| message.delivery_tag);
        self.since = self.last.max(waiting);
        self.changes += 1;
        let name = format!("{}.{}", self.name, self.changes);
        self.consumer = consume(&self.channel, &self.queue, &name, prefetch).await?;
        self.prefetch = prefetch;
        Ok(())
    }

    async fn unsubscribe(&mut self) -> Outcome<()> {
        let options = BasicCancelOptions::default();
        self.channel.basic_cancel(self.consumer.tag(), options).await?;
        self.take_in()
    }
}

/// How many tasks the server is to send ahead to a worker that takes so many at once. One chunk that takes long
/// is all that it should hold; of short ones the next batch is there when this one is done.
fn prefetch_for(max: usize) -> u16 {
    let wanted = if max <= 1 { 1 } else { 2 * max.next_power_of_two() };
    u16::try_from(wanted).unwrap_or(u16::MAX)
}

async fn consume(channel: &Channel, queue: &str, name: &str, prefetch: u16) -> Outcome<Consumer> {
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let tag = ShortString::from(name);
    let options = BasicConsumeOptions::default();
    Ok(channel.basic_consume(queue.into(), tag, options, FieldTable::default()).await?)
}

fn opened(message: Option<lapin::Result<Message>>) -> Outcome<Message> {
    message
        .ok_or_else(|| BrokerError::new("the server cancelled the consumer"))?
        .map_err(Into::into)
}
