//! Who has nothing to do. The server tells nobody what is with whom, and it does not tell how much is
//! with all of them together; but it tells how many consumers a queue has. So a worker that has waited
//! for a while consumes a queue beside that of the tasks, into which nobody publishes. When as many wait
//! there as wait for tasks, no task is with anybody.
//!
//! A worker that holds something and takes nothing more consumes a third one: it would not be seen.

use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};

use super::life::{Life, Outcome};
use super::queues::durable;

/// A consumer of a queue into which nobody publishes, for as long as something lasts.
#[derive(Default)]
pub(super) struct Sign(Option<Given>);

struct Given {
    life: u64,
    channel: Channel,
    _consumer: Consumer,
}

impl Sign {
    /// Gives the sign, if it is not given on this connection.
    pub(super) async fn give(&mut self, life: &Life, queue: &str) -> Outcome<()> {
        if self.0.as_ref().is_some_and(|given| given.life == life.number) {
            return Ok(());
        }
        let channel = life.connection.create_channel().await?;
        // Gone with its last consumer.
        let brief = QueueDeclareOptions { auto_delete: true, ..durable() };
        channel.queue_declare(queue.into(), brief, FieldTable::default()).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue.into(), "".into(), options, none).await?;
        self.0 = Some(Given { life: life.number, channel, _consumer: consumer });
        Ok(())
    }

    /// Takes it back, and knows when the server has seen it.
    pub(super) async fn take_back(&mut self, life: &Life) -> Outcome<()> {
        match self.0.take() {
            Some(given) if given.life == life.number => {
                Ok(given.channel.close(200, "thank you".into()).await?)
            }
            // It went with its connection.
            _ => Ok(()),
        }
    }

    /// Whether it is given, on whichever connection.
    pub(super) fn is_given(&self) -> bool {
        self.0.is_some()
    }
}
