//! What a worker on RabbitMQ does, without its promises: take 64, publish 64 persistent results to
//! their queue alone, await their confirms, acknowledge 64.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection};
use tokio::time::timeout;
use ttg_system::queue::Address;
use ttg_system::queue::rabbitmq::Server;

use super::BATCH;

/// The queue is empty when nothing has come for so long. It is part of what is measured.
const EMPTY: Duration = Duration::from_millis(100);

const RESULT: &str = r#"{"chunk_id":"00000000","worker_id":"worker-1","status":"completed",
"start_param":0,"end_param":1,"duration_seconds":0.0,"completed_at":"2026-01-02T03:04:05.678901Z",
"result_data":{"sum":13.0,"count":1,"min":13.0,"max":13.0,"avg":13.0}}"#;

pub(crate) fn worker(address: &Address, number: u32) {
    let Address::RabbitMq(server) = address else { unreachable!("a RabbitMQ address") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let name = format!("bare-{number}");
    runtime.expect("a runtime").block_on(work(server, &name)).expect("the server answers");
}

async fn work(server: &Server, name: &str) -> lapin::Result<()> {
    let url = format!("amqp://{}:{}", server.host, server.port);
    let connection = Connection::connect(&url, Default::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    channel.basic_qos(2 * BATCH as u16, BasicQosOptions::default()).await?;
    let (tasks, results) = (server.queues.tasks.as_str(), server.queues.results.as_str());
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(tasks.into(), name.into(), options, none).await?;
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH
            && let Ok(Some(message)) = timeout(EMPTY, consumer.next()).await
        {
            batch.push(message?);
        }
        let Some(last) = batch.last() else { return Ok(()) };
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
        let mut confirms = Vec::with_capacity(BATCH);
        for _ in &batch {
            let (body, properties) = (RESULT.as_bytes(), persistent.clone());
            let sent =
                channel.basic_publish("".into(), results.into(), mandatory, body, properties);
            confirms.push(sent.await?);
        }
        for confirmed in join_all(confirms).await {
            confirmed?;
        }
        last.acker.ack(BasicAckOptions { multiple: true }).await?;
    }
}
