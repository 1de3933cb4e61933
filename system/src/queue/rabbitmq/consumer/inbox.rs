//! Tasks that the broker pushes.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Message;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use crate::queue::rabbitmq::connection::Life;
use crate::queue::rabbitmq::error::{BrokerError, Outcome};

/// How long the rest of a batch is waited for once its first task is there.
const LINGER: Duration = Duration::from_millis(2);

/// A consumer of the task queue.
pub(super) struct Inbox {
    /// Of the connection that it is fed over.
    pub(super) life: u64,
    queue: String,
    name: String,
    channel: Channel,
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
        let channel = life.connection.create_channel().await?;
        let consumer = subscribe(&channel, queue, name, 1).await?;
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
        let mut taken: Vec<Message> = Vec::new();
        while taken.len() < max
            && let Some(message) = self.waiting.pop_front()
        {
            taken.push(message);
        }
        if taken.is_empty() {
            match timeout(wait, self.consumer.next()).await {
                Err(_) => return Ok(taken),
                Ok(message) => taken.push(opened(message)?),
            }
        }
        while taken.len() < max
            && let Ok(message) = timeout(LINGER, self.consumer.next()).await
        {
            taken.push(opened(message)?);
        }
        self.last = taken.iter().map(|it| it.delivery_tag).max().unwrap_or(0).max(self.last);
        Ok(taken)
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

    /// One chunk that takes long is all that a worker should hold; of short ones the next batch is
    /// there when this one is done.
    async fn expect(&mut self, max: usize, held: &[u64]) -> Outcome<()> {
        let wanted = if max <= 1 { 1 } else { 2 * max.next_power_of_two() };
        let wanted = u16::try_from(wanted).unwrap_or(u16::MAX);
        let has_some = !self.waiting.is_empty() && self.prefetch > 0;
        if has_some && wanted >= self.prefetch {
            return Ok(());
        }
        let full = held.iter().filter(|tag| **tag > self.since).count() + self.waiting.len();
        if wanted == self.prefetch && full < usize::from(self.prefetch) {
            return Ok(());
        }
        if self.prefetch > 0 {
            self.unsubscribe().await?;
        }
        let waiting = self.waiting.back().map_or(0, |message| message.delivery_tag);
        self.since = self.last.max(waiting);
        self.changes += 1;
        let name = format!("{}.{}", self.name, self.changes);
        self.consumer = subscribe(&self.channel, &self.queue, &name, wanted).await?;
        self.prefetch = wanted;
        Ok(())
    }

    async fn unsubscribe(&mut self) -> Outcome<()> {
        let options = BasicCancelOptions::default();
        self.channel.basic_cancel(self.consumer.tag(), options).await?;
        while let Some(Some(message)) = self.consumer.next().now_or_never() {
            self.waiting.push_back(message?);
        }
        Ok(())
    }
}

async fn subscribe(channel: &Channel, queue: &str, name: &str, prefetch: u16) -> Outcome<Consumer> {
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
