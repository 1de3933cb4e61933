//! Messages become deliveries: what is settled is acknowledged, what no worker survives is attempted
//! alone, and what can be no task becomes a dead letter.

use lapin::message::Delivery as Message;

use super::held::Holding;
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::journal::record::{self, Doubt};
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::queue::{Delivery, Result, Token};
use crate::wire::{self, Task, ms};

impl RabbitMq {
    /// Tasks from messages, which came through the consumer, in order, or were fetched.
    pub(super) async fn arrivals(
        &self,
        life: u64,
        messages: Vec<Message>,
        in_order: bool,
    ) -> Result<Vec<Delivery>> {
        if !messages.is_empty() {
            // Over this connection: what is there is what was seen.
            self.look_for_loss().await?;
            self.journal.has_seen_task();
            if self.consumer.known.is_blank() {
                let read = self.client.call(async |life| self.journal.read_sweep(&life).await);
                self.consumer.known.suppose(read.await?.map(|info| info.sweep));
            }
        }
        let messages = self.attempted_together(life, messages).await?;
        let mut deliveries = Vec::new();
        for message in messages {
            deliveries.extend(self.arrival(life, message, in_order).await?);
        }
        Ok(deliveries)
    }

    /// The delivery of a message, unless its chunk is settled, or it can be none.
    async fn arrival(
        &self,
        life: u64,
        message: Message,
        in_order: bool,
    ) -> Result<Option<Delivery>> {
        let data = message.data.clone();
        let text = String::from_utf8_lossy(&data);
        let read = Task::from_json(&text);
        let task = read.as_ref().ok();
        let index = task.map(|task| task.chunk.index);
        let created_ms = task.and_then(|task| ms(&task.created_at)).unwrap_or(i64::MAX);
        let (mut number, mut deaths, mut settled) = (1, 0, false);
        if let (true, Some(index)) = (may_be_settled(&message), index) {
            let (again, released) = self.journal.deliveries_again(index);
            settled = self.journal.is_settled(index);
            // With this one, which is written down already and may not have been read.
            number = 2 + again;
            deaths = (u64::from(message.redelivered) + again).saturating_sub(released);
        }
        let id = self.consumer.held.put(Holding { life, message, in_order, created_ms });
        let token = Token { id, number };
        if settled {
            self.acknowledge(&token).await;
            return Ok(None);
        }
        let most = self.settings.max_deliveries;
        let fields = || wire::from_json(&text);
        match self.consumer.known.arrival(read, fields, deaths, most, self).await? {
            Ok(task) => Ok(Some(Delivery { token, task, suspect: deaths > 1 })),
            Err(dead) => {
                self.bury(&token, &dead).await?;
                Ok(None)
            }
        }
    }

    /// As many of the messages, from the first on, as may be attempted together; the others wait.
    /// What was with workers that died is attempted alone. The flag `redelivered` alone is no sign
    /// of that: a server that was killed sets it on every task. What came back twice is suspect.
    /// Only what is attempted counts as delivered again.
    async fn attempted_together(
        &self,
        life: u64,
        mut messages: Vec<Message>,
    ) -> Result<Vec<Message>> {
        if !messages.iter().any(may_be_settled) {
            return Ok(messages);
        }
        self.journal.catch_up(&self.client).await?;
        let alone = messages.iter().position(|message| self.is_suspect(message));
        let together = alone.map_or(messages.len(), |place| place.max(1));
        let others = messages.split_off(together);
        // None of a single one, as those are that are fetched.
        if let Some(inbox) = self.consumer.inbox.lock().await.as_mut().filter(|it| it.life == life)
        {
            inbox.put_back(others);
        }
        let again: Vec<Outgoing> = messages
            .iter()
            .filter(|message| may_be_settled(message) && !self.is_known_settled(message))
            .map(|message| match message.redelivered {
                true => record::redelivered(&self.queues, &message.data),
                false => record::repeated(&self.queues, &message.data),
            })
            .collect();
        if !again.is_empty() {
            self.client.call(async |life| life.publish(&again).await).await?;
        }
        Ok(messages)
    }

    fn is_suspect(&self, message: &Message) -> bool {
        message.redelivered
            && index(message).is_some_and(|index| {
                let (again, released) = self.journal.deliveries_again(index);
                again > released && !self.journal.is_settled(index)
            })
    }

    fn is_known_settled(&self, message: &Message) -> bool {
        index(message).is_some_and(|index| self.journal.is_settled(index))
    }
}

/// Whether somebody may have done the task before: it was delivered before, or may be there twice.
fn may_be_settled(task: &Message) -> bool {
    task.redelivered || Doubt::of(task).is_some()
}

/// Index of the chunk of a task, where it can be read.
fn index(task: &Message) -> Option<u64> {
    Task::from_json(&String::from_utf8_lossy(&task.data)).ok().map(|task| task.chunk.index)
}
