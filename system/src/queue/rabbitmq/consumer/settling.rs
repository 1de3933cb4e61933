//! What becomes of a delivery: its result is stored, or its letter, and it is acknowledged; or it is given
//! back.

use std::cell::RefCell;
use std::collections::BTreeSet;

use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicNackOptions};

use super::held::{Done, Holding};
use crate::queue::arrival::Dead;
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::connection::Life;
use crate::queue::rabbitmq::error::Outcome;
use crate::queue::rabbitmq::journal::record;
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::queue::{Commit, Failure, Result, Token};
use crate::wire::TaskResult;

/// Most results in one record of the journal. The server sends a thousand records ahead to whoever reads it.
const RECORDED: usize = 32;

impl RabbitMq {
    /// Stores the results of chunks that are not settled, as far as is known; `tried` are those of which that
    /// was tried before, on a connection that broke.
    pub(super) async fn store_results(
        &self,
        life: &Life,
        done: &[(Token, TaskResult)],
        tried: &RefCell<BTreeSet<u64>>,
    ) -> Outcome<Vec<Commit>> {
        life.knows_what_is_stored()?;
        // Nobody tells of a reset where no tasks are asked for.
        let is_paused = self.consumer.is_paused().await;
        let is_done = |token: &Token, chunk: u64| match self.is_ours(token) {
            true => is_paused && self.is_discarded(token),
            false => self.is_over(token, chunk),
        };
        if is_paused || done.iter().any(|(token, _)| !self.is_ours(token)) {
            // Somebody else may have done it by now, or the broker has stored it already.
            self.journal.read_on(life).await?;
        }
        let mut seen = BTreeSet::new();
        let outcomes: Vec<Commit> = done
            .iter()
            .map(|(token, result)| {
                let chunk = result.chunk_index;
                let settled = !seen.insert(chunk) || is_done(token, chunk);
                if settled { Commit::AlreadySettled } else { Commit::Committed }
            })
            .collect();
        let of = |outcome| done.iter().zip(&outcomes).filter(move |(_, it)| **it == outcome);
        // What was tried is in the journal now, and its own queue may have lost it with a server that was
        // killed before it confirmed it.
        let again = of(Commit::AlreadySettled)
            .filter(|((token, result), _)| {
                tried.borrow().contains(&result.chunk_index) && !self.is_discarded(token)
            })
            .map(|((_, result), _)| Outgoing::result(&self.queues, result).for_its_queue_alone());
        let new: Vec<(Outgoing, i64)> = of(Commit::Committed)
            .map(|((token, result), _)| {
                let created_ms = self.consumer.held.created_ms(token).unwrap_or(i64::MAX);
                (Outgoing::result(&self.queues, result), created_ms)
            })
            .collect();
        let records: Vec<Outgoing> =
            new.chunks(RECORDED).map(|results| record::results(&self.queues, results)).collect();
        let all = again.chain(new.into_iter().map(|(result, _)| result)).chain(records).collect();
        tried.borrow_mut().extend(done.iter().map(|(_, result)| result.chunk_index));
        life.publish_together(all).await?;
        Ok(outcomes)
    }

    /// Whether the delivery is still ours: its connection is the present one, and lives.
    pub(super) fn is_ours(&self, token: &Token) -> bool {
        self.consumer.held.is_of(token, self.client.live())
    }

    /// Acknowledges a delivery, if it is still ours. Where that fails it is delivered again, and
    /// found settled.
    pub(super) async fn acknowledge(&self, token: &Token) {
        if let Some(holding) = self.consumer.held.take(token, self.client.live()) {
            self.ack(&holding, BasicAckOptions::default()).await;
        }
    }

    async fn ack(&self, Holding { life, message, .. }: &Holding, options: BasicAckOptions) {
        let done = async { Ok(message.acker.ack(options).await?) };
        let _ = self.client.told(*life, done).await;
    }

    /// Acknowledges several at once, where nothing that is still held lies between them.
    pub(super) async fn acknowledge_all(&self, tokens: &[&Token]) {
        let Done { together, single } = self.consumer.held.take_done(tokens, self.client.live());
        if let Some(last) = together {
            self.ack(&last, BasicAckOptions { multiple: true }).await;
        }
        for holding in single {
            self.ack(&holding, BasicAckOptions::default()).await;
        }
    }

    pub(super) async fn bury(&self, token: &Token, dead: &Dead) -> Result<Failure> {
        self.publish(&[Outgoing::letter(&self.queues, dead)]).await?;
        self.acknowledge(token).await;
        Ok(Failure::DeadLettered)
    }

    /// Gives messages back. It is written down first: whoever gets them next is to know that they
    /// killed nobody.
    pub(super) async fn give_back(&self, messages: Vec<Message>) -> Result<()> {
        let Some(life) = self.client.live() else {
            // The connection is gone, and the deliveries with it.
            return Ok(());
        };
        let released: Vec<_> =
            messages.iter().map(|it| record::released(&self.queues, &it.data)).collect();
        if !released.is_empty() {
            self.client.call(async |life| life.publish(&released).await).await?;
        }
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        for message in messages {
            // Where that fails, the connection is given up, and the delivery with it.
            let _ = self.client.told(life, async { Ok(message.acker.nack(requeue).await?) }).await;
        }
        Ok(())
    }

    /// Whether the journal knows that this need not be done any more.
    pub(super) fn is_over(&self, token: &Token, chunk: u64) -> bool {
        self.journal.is_settled(chunk) || self.is_discarded(token)
    }

    /// Whether the journal knows that this is of a sweep that was discarded.
    fn is_discarded(&self, token: &Token) -> bool {
        let created_ms = self.consumer.held.created_ms(token);
        created_ms.is_some_and(|created_ms| self.journal.is_discarded(created_ms))
    }
}
