//! Who has nothing to do. The server tells nobody what is with whom, and it does not tell how much is
//! with all of them together; but it tells how many consumers a queue has. So a worker that has waited
//! for a while consumes a queue beside that of the tasks, into which nobody publishes. When as many wait
//! there as wait for tasks, no task is with anybody.
//!
//! A worker that holds something and takes nothing more consumes a third one: it would not be seen.

use lapin::Consumer;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::sync::Mutex;

use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::connection::{ConsumingChannel, Life};
use crate::queue::rabbitmq::error::Outcome;
use crate::queue::rabbitmq::topology::durable;

/// What a worker says of itself.
#[derive(Default)]
pub(super) struct Presence {
    idle: Mutex<Sign>,
    paused: Mutex<Sign>,
}

/// A consumer of a queue into which nobody publishes, for as long as something lasts.
#[derive(Default)]
struct Sign(Option<Given>);

struct Given {
    life: u64,
    channel: ConsumingChannel,
    _consumer: Consumer,
}

impl Sign {
    /// Gives the sign, if it is not given on this connection.
    async fn give(&mut self, life: &Life, queue: &str) -> Outcome<()> {
        if self.0.as_ref().is_some_and(|given| given.life == life.number) {
            return Ok(());
        }
        let channel = ConsumingChannel::from(life.connection.create_channel().await?);
        // Gone with its last consumer.
        let brief = QueueDeclareOptions { auto_delete: true, ..durable() };
        channel.queue_declare(queue.into(), brief, FieldTable::default()).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue.into(), "".into(), options, none).await?;
        self.0 = Some(Given { life: life.number, channel, _consumer: consumer });
        Ok(())
    }

    /// Takes it back, and knows when the server has seen it.
    async fn take_back(&mut self, life: &Life) -> Outcome<()> {
        match self.0.take() {
            Some(given) if given.life == life.number => {
                Ok(given.channel.close(200, "thank you".into()).await?)
            }
            // It went with its connection.
            _ => Ok(()),
        }
    }

    /// Whether it is given, on whichever connection.
    fn is_given(&self) -> bool {
        self.0.is_some()
    }
}

impl RabbitMq {
    /// Whether no task waits, and none is with anybody. A worker says that it has nothing to do.
    pub(in crate::queue::rabbitmq) async fn is_all_idle(&self, life: &Life) -> Outcome<bool> {
        let Presence { idle, paused } = &self.consumer.presence;
        if !self.consumer.held.is_empty(self.client.live()) {
            // One that is here. Each question to a queue that is not there also costs one of the connection's 2047
            // channel numbers for good (lapin 4.12 remembers the refusal), and with the connection goes what is held.
            return Ok(false);
        }
        if self.client.is_worker() {
            let mut idle = idle.lock().await;
            life.answered(idle.give(life, &self.queues.idle())).await?;
            let mut paused = paused.lock().await;
            if paused.is_given() {
                life.answered(paused.take_back(life)).await?;
            }
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

    /// Whoever holds something and takes nothing more would not be seen.
    pub(super) async fn says_it_is_paused(&self, life: &Life) -> Outcome<()> {
        let mut paused = self.consumer.presence.paused.lock().await;
        life.answered(paused.give(life, &self.queues.paused())).await
    }

    /// Something came: the worker has something to do.
    pub(super) async fn is_busy_now(&self, life: &Life) -> Outcome<()> {
        let Presence { idle, paused } = &self.consumer.presence;
        for sign in [idle, paused] {
            let mut sign = sign.lock().await;
            if sign.is_given() {
                life.answered(sign.take_back(life)).await?;
            }
        }
        Ok(())
    }
}
