//! Dead letters: taken from their queue one by one, and put back where they are kept.

use std::cell::{Cell, RefCell};

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};

use super::life::{Outcome, Trouble};
use super::record::Doubt;
use super::{RabbitMq, record};
use crate::queue::letters::replayed;
use crate::queue::{DeadLetters, Decide, Decision, Result};
use crate::wire::{self, DeadLetter};

#[async_trait(?Send)]
impl DeadLetters for RabbitMq {
    async fn sift(&self, decide: &mut Decide<'_>) -> Result<()> {
        let decide = RefCell::new(decide);
        let begun = Cell::new(false);
        self.alone(async |life| {
            if begun.get() {
                // Nobody is asked about the same letter twice.
                let cause = "the connection broke among the dead letters (run it again)".into();
                return Err(Trouble { cause, is_final: true });
            }
            self.journal.read_on(life).await?;
            let channel = life.connection.create_channel().await?;
            let queue = self.queues.letters.as_str();
            let mut left = life.depth(queue).await?.messages;
            let mut kept = Vec::new();
            while left > 0
                && let Some(got) =
                    channel.basic_get(queue.into(), BasicGetOptions::default()).await?
            {
                left -= 1;
                begun.set(true);
                let text = String::from_utf8_lossy(&got.delivery.data);
                let letter = DeadLetter::from_fields(wire::from_json(&text));
                let decision = (*decide.borrow_mut())(&letter);
                let goes = match decision {
                    Decision::Keep => false,
                    Decision::Drop => true,
                    Decision::Replay => self.replay(life, &letter).await?,
                };
                if goes {
                    life.publish(&[record::gone(&self.queues, text.into_owned())]).await?;
                    got.delivery.acker.ack(BasicAckOptions::default()).await?;
                } else {
                    kept.push(got.delivery);
                }
            }
            for letter in kept {
                let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                letter.acker.nack(requeue).await?;
            }
            Ok(())
        })
        .await
    }
}

impl RabbitMq {
    /// Publishes the task of a letter; whether the letter may go. Twice, where the connection
    /// breaks before that: the journal shows that the second is settled.
    async fn replay(&self, life: &super::life::Life, letter: &DeadLetter) -> Outcome<bool> {
        let sweep = self.journal.sweep().map(|info| info.sweep);
        let Ok(task) = replayed(letter, sweep.as_ref()) else { return Ok(false) };
        if self.journal.is_committed(task.chunk.index) {
            return Ok(true);
        }
        let message = self.task(&task);
        // A replay that broke off has brought it to the journal at least.
        let message = match self.journal.is_dead(task.chunk.index) {
            true => message,
            false => Doubt::Again.put_on(message),
        };
        life.publish(&[message]).await?;
        Ok(true)
    }
}
