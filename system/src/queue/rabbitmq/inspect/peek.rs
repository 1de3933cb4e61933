//! Looks through a queue and leaves everything in it. AMQP has no such step: the messages are consumed
//! and not acknowledged, and go back to their places when the channel is closed.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::Channel;
use lapin::message::Delivery as Message;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::time::timeout;

use crate::queue::rabbitmq::connection::{ConsumingChannel, Life, Turn};
use crate::queue::rabbitmq::error::{BrokerError, Outcome};
use crate::queue::rabbitmq::topology::depth_over;

/// Messages that one channel shows.
const PAGE: u16 = 10_000;

/// Longest wait for a message that the server has counted.
const ANSWER: Duration = Duration::from_secs(10);

/// Shows up to `max` messages of a queue, from its head on. Whether it is there: one that is not is empty.
pub(in crate::queue::rabbitmq) async fn all(
    life: &Life,
    queue: &str,
    max: u64,
    each: &mut dyn FnMut(&Message),
) -> Outcome<bool> {
    look_through(life, queue, max, async |channel, count| {
        show_page(channel, queue, count, &mut |message| each(&message)).await
    })
    .await
}

/// Shows all messages of a queue, page by page. Whoever acknowledges one takes it away.
pub(in crate::queue::rabbitmq) async fn pages(
    life: &Life,
    queue: &str,
    show: impl AsyncFn(Vec<Message>) -> Outcome<()>,
) -> Outcome<()> {
    look_through(life, queue, u64::MAX, async |channel, count| {
        let mut page = Vec::new();
        show_page(channel, queue, count, &mut |message| page.push(message)).await?;
        show(page).await
    })
    .await
    .map(drop)
}

/// Has as many messages of a queue shown as there are, up to `max`: a channel for each page. Whether it is there.
async fn look_through(
    life: &Life,
    queue: &str,
    max: u64,
    mut show: impl AsyncFnMut(&Channel, u16) -> Outcome<()>,
) -> Outcome<bool> {
    let first = ConsumingChannel::from(life.connection.create_channel().await?);
    let Some(depth) = depth_over(&first, queue).await? else { return Ok(false) };
    let mut left = u64::from(depth.messages).min(max);
    // What is not acknowledged counts against a channel's limit, so that each shows one page; together they
    // have the server send no more ahead than one of them, however much there is.
    let mut channels = vec![first];
    while left > 0 {
        let page = left.min(PAGE.into());
        show(channels.last().expect("there is a first"), page as u16).await?;
        left -= page;
        if left > 0 {
            channels.push(life.connection.create_channel().await?.into());
        }
    }
    // The last ones first: each puts back in front of what is there.
    for channel in channels.into_iter().rev() {
        channel.close(200, "thank you".into()).await?;
    }
    Ok(true)
}

/// Shows as many messages from the head of the queue on, and keeps them from everybody else until the channel
/// is closed.
async fn show_page(
    channel: &Channel,
    queue: &str,
    count: u16,
    each: &mut dyn FnMut(Message),
) -> Outcome<()> {
    channel.basic_qos(count, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let consume = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let mut consumer = consume.await?;
    let mut turn = Turn::begin();
    for _ in 0..count {
        turn.give_way().await;
        let next = timeout(ANSWER, consumer.next()).await;
        let next =
            next.map_err(|_| BrokerError::new(format!("{queue} holds less than it says")))?;
        let ended = || BrokerError::new(format!("{queue} was deleted while it was read"));
        each(next.ok_or_else(ended)??);
    }
    Ok(())
}
