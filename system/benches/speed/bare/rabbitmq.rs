//! What a worker on RabbitMQ does, without its promises: take a batch, publish its persistent results to
//! their queue alone, await their confirms, acknowledge it.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::Confirmation;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection};
use tokio::time::timeout;
use ttg_system::queue::Address;
use ttg_system::queue::rabbitmq::Server;

use super::{BATCH, Done, RESULT};
use crate::outcome::{Outcome, failed};

/// Tasks that are published before their confirms are awaited.
const AT_ONCE: usize = 5_000;

/// A task as a message; its bytes are all that matters.
const TASK: &str = r#"{"chunk_id":"00000000","start_param":0,"end_param":1,"params_count":1,
"total_params":300000,"total_chunks":300000,"created_at":"2026-01-02T03:04:05.678901Z",
"status":"pending"}"#;

/// When nothing has come for so long, the server is asked whether anything is left.
const QUIET: Duration = Duration::from_millis(20);

pub(super) fn work(address: &Address, number: u32, deadline: Instant) -> Outcome<Done> {
    let Address::RabbitMq(server) = address else { unreachable!("a RabbitMQ address") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let name = format!("bare-{number}");
    runtime.map_err(failed)?.block_on(consume(server, &name, deadline)).map_err(failed)
}

/// Fills the task queue, and it alone: nothing is written to the journal, and thousands of confirms are
/// awaited at once.
pub(super) async fn submit(address: &Address, chunks: u64) -> Outcome<()> {
    let Address::RabbitMq(server) = address else { unreachable!("a RabbitMQ address") };
    match publish(server, chunks).await.map_err(failed)? {
        stored if stored == chunks => Ok(()),
        stored => Err(failed(format!("{stored} of {chunks} tasks of the bare loop are stored"))),
    }
}

async fn publish(server: &Server, chunks: u64) -> lapin::Result<u64> {
    let connection = connect(server).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    // What a sweep has left.
    for queue in [&server.queues.tasks, &server.queues.results] {
        channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await?;
    }
    let mut stored = 0;
    for from in (0..chunks).step_by(AT_ONCE) {
        let count = (chunks - from).min(AT_ONCE as u64) as usize;
        stored += store(&channel, &server.queues.tasks, TASK, count).await?;
    }
    Ok(stored)
}

/// Publishes the same message so many times. How many are stored.
async fn store(channel: &Channel, queue: &str, body: &str, count: usize) -> lapin::Result<u64> {
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let mut confirms = Vec::with_capacity(count);
    for _ in 0..count {
        let (body, properties) = (body.as_bytes(), persistent.clone());
        let sent = channel.basic_publish("".into(), queue.into(), mandatory, body, properties);
        confirms.push(sent.await?);
    }
    let mut stored = 0;
    for confirmed in join_all(confirms).await {
        // It comes back where it could not be stored.
        stored += u64::from(matches!(confirmed?, Confirmation::Ack(None)));
    }
    Ok(stored)
}

async fn connect(server: &Server) -> lapin::Result<Connection> {
    let url = format!("amqp://{}:{}", server.host, server.port);
    Connection::connect(&url, Default::default()).await
}

async fn consume(server: &Server, name: &str, deadline: Instant) -> lapin::Result<Done> {
    let connection = connect(server).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    channel.basic_qos(2 * BATCH as u16, BasicQosOptions::default()).await?;
    let (tasks, results) = (server.queues.tasks.as_str(), server.queues.results.as_str());
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(tasks.into(), name.into(), options, none).await?;
    let mut done = Done::default();
    while Instant::now() < deadline {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH
            && let Ok(Some(message)) = timeout(QUIET, consumer.next()).await
        {
            batch.push(message?);
        }
        let Some(last) = batch.last() else {
            // A pause is no end: a loop that takes it for one stops early.
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let told = channel.queue_declare(tasks.into(), passive, FieldTable::default()).await?;
            if told.message_count() == 0 {
                break;
            }
            continue;
        };
        done.tasks_came();
        done.results_went();
        done.chunks += store(&channel, results, RESULT, batch.len()).await?;
        last.acker.ack(BasicAckOptions { multiple: true }).await?;
    }
    Ok(done)
}
