//! Looks through a queue and leaves everything in it. AMQP has no such step: the messages are consumed
//! and not acknowledged, and go back to their places when the channel is closed.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery as Message;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::time::timeout;

use super::life::{Life, Outcome, Trouble, is_not_found};

/// Longest wait for a message that the server has counted.
const ANSWER: Duration = Duration::from_secs(10);

/// Shows up to `max` messages of a queue, from its head on. One that is not there is empty.
pub(super) async fn all(
    life: &Life,
    queue: &str,
    max: u64,
    each: &mut dyn FnMut(&Message),
) -> Outcome<()> {
    // A refusal closes the channel.
    let channel = life.connection.create_channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let told = match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
        Err(error) if is_not_found(&error) => return Ok(()),
        told => told?,
    };
    let count = u64::from(told.message_count()).min(max);
    if let Ok(count @ 1..) = u16::try_from(count) {
        // The server sends no more than is asked for. What is not acknowledged counts, so that a limit
        // below that would be the end.
        channel.basic_qos(count, BasicQosOptions::default()).await?;
    }
    let options = BasicConsumeOptions::default();
    let consume = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let mut consumer = consume.await?;
    for _ in 0..count {
        let next = timeout(ANSWER, consumer.next()).await;
        let next = next.map_err(|_| Trouble::new(format!("{queue} holds less than it says")))?;
        let ended = || Trouble::new(format!("{queue} was deleted while it was read"));
        each(&next.ok_or_else(ended)??);
    }
    channel.close(200, "thank you".into()).await?;
    Ok(())
}
