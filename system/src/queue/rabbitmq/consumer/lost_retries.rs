//! Retries that a server has lost. When its time has come, a retry is moved to the queue of tasks by
//! the server itself, and nobody confirms that: of a server that is killed then, neither queue may have
//! it (seen with 3.10: a quarter of those that were being moved). The journal has it, so whoever has
//! nothing to do sends it again when it is long overdue. It may be with somebody all the same: it says
//! that it may be there twice, as what is submitted in doubt does.

use crate::queue::Result;
use crate::queue::rabbitmq::RabbitMq;
use crate::queue::rabbitmq::journal::record::Doubt;
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::wire::Task;

impl RabbitMq {
    /// Sends again what is overdue by a lease.
    pub(super) async fn send_lost_retries(&self) -> Result<()> {
        let due = self.settings.retry_delay + self.settings.lease;
        if self.journal.overdue(due).is_empty() {
            return Ok(());
        }
        self.client.alone(async |life| {
            // Somebody else may have done it by now.
            self.journal.read_on(life).await?;
            let again = |task: &Task| {
                tracing::warn!(chunk = %task.chunk.id(), "a retry is overdue, and is sent again");
                Doubt::Again.put_on(Outgoing::task(&self.queues, task))
            };
            let again: Vec<Outgoing> = self.journal.overdue(due).iter().map(again).collect();
            life.publish(&again).await
        })
        .await
    }
}
