//! A sweep that somebody else's coordinator has begun: only its tasks and results tell of it.
//!
//! What was published before there was a journal stands in its queue alone. It goes through its exchange
//! once more, which brings it into both; then the one that was there first is taken away. Who dies between
//! the two leaves a task twice, whose chunk is counted once.

use lapin::message::Delivery as Message;
use lapin::options::BasicAckOptions;

use crate::queue::SweepInfo;
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::connection::Life;
use crate::queue::rabbitmq::error::Outcome;
use crate::queue::rabbitmq::inspect::peek;
use crate::queue::rabbitmq::journal::record;
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::queue::rabbitmq::topology::{RESULTS_EXCHANGE, TASKS_EXCHANGE, is_recorded_together};
use crate::wire::{self, Task, TaskResult};

impl RabbitMq {
    /// Opens a sweep in a journal that has none, with what there is of it. What is there, where that is of
    /// another one.
    pub(super) async fn begin(&self, life: &Life, mut asked: SweepInfo) -> Outcome<Option<String>> {
        self.bring_into_journal(life).await?;
        self.journal.read_on(life).await?;
        let (there, created_at) = {
            let told = self.journal.told();
            (told.contradicts(&asked.sweep), told.created_at().map(str::to_owned))
        };
        if there.is_some() {
            return Ok(there);
        }
        asked.created_at = created_at.unwrap_or(asked.created_at);
        life.publish(&[record::sweep(&self.queues, &asked)]).await?;
        self.journal.read_on(life).await?;
        let is_there =
            |chunk: &u64| self.journal.is_submitted(*chunk) || self.journal.is_committed(*chunk);
        let below = (0..asked.sweep.chunks()).take_while(is_there).count() as u64;
        if below > 0 {
            life.publish(&[record::submitted(&self.queues, below)]).await?;
            self.journal.read_on(life).await?;
        }
        Ok(None)
    }

    async fn bring_into_journal(&self, life: &Life) -> Outcome<()> {
        for (queue, exchange) in
            [(&self.queues.tasks, TASKS_EXCHANGE), (&self.queues.results, RESULTS_EXCHANGE)]
        {
            peek::pages(life, queue, async |page| {
                // What is of a sweep that was discarded has its record in the journal, where it does not count.
                let unseen = |message: &&Message| {
                    let has_record = self.journal.follows_reset() && is_recorded_together(message);
                    !has_record && !self.is_in_journal(exchange, message)
                };
                let unseen: Vec<&Message> = page.iter().filter(unseen).collect();
                let again = |message: &&Message| {
                    let id = message.properties.message_id().as_ref().map_or("", |id| id.as_str());
                    let body = String::from_utf8_lossy(&message.data).into_owned();
                    Outgoing::message(exchange, queue, id, body)
                };
                life.publish(&unseen.iter().map(again).collect::<Vec<_>>()).await?;
                for message in unseen {
                    message.acker.ack(BasicAckOptions::default()).await?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Whether the journal knows of it. What cannot be read tells nothing, wherever it stands.
    fn is_in_journal(&self, exchange: &str, message: &Message) -> bool {
        let fields = wire::from_json(&String::from_utf8_lossy(&message.data));
        match exchange {
            TASKS_EXCHANGE => Task::from_fields(&fields)
                .map_or(true, |task| self.journal.is_submitted(task.chunk.index)),
            _ => TaskResult::from_fields(&fields).map_or(
                true,
                |TaskResult { chunk_index, .. }| {
                    self.journal.is_committed(chunk_index) || self.journal.is_doubtful(chunk_index)
                },
            ),
        }
    }
}
