//! Sweeps of which every chunk is dead, and programs that publish much at once.

use futures_util::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Connection};
use ttg_system::chunk::Sweep;
use ttg_system::queue::Failure;
use ttg_system::wire::{self, DeadLetter, Task};

use super::bench::{Backend, Bench, PATIENCE};

/// Tasks that are claimed, and messages that are published, at once.
pub(crate) const BATCH: usize = 500;

/// A sweep of so many chunks, all of them dead.
pub(crate) async fn graveyard(backend: Backend, chunks: u64) -> (Bench, Sweep) {
    let (bench, sweep) = Bench::start(backend).with_sweep(chunks).await;
    if backend == Backend::RabbitMq {
        bench.lose_tasks().await;
        bury_all(&bench, &sweep).await;
        return (bench, sweep);
    }
    let worker = bench.worker("worker-1").await;
    let mut left = chunks;
    while left > 0 {
        for mut delivery in worker.claim(BATCH, PATIENCE).await.expect("claims") {
            delivery.task.retry_count = bench.settings.max_retries;
            let outcome = worker.fail(&delivery, "no luck").await.expect("fails");
            assert_eq!(outcome, Failure::DeadLettered);
            left -= 1;
        }
    }
    worker.leave().await.expect("leaves");
    (bench, sweep)
}

/// Publishes the letter of each chunk, as a worker does that has failed with it for the last time: there
/// it looks first what the journal says, each time.
async fn bury_all(bench: &Bench, sweep: &Sweep) {
    let mut letterbox = Letterbox::open(bench).await;
    for index in 0..sweep.chunks() {
        let letter = DeadLetter {
            task: Task::first(sweep, index, &wire::now()).to_fields(),
            last_error: format!("no luck with {index}"),
            failed_at: wire::now(),
            retry_count: 3,
        };
        let letters = &bench.rabbitmq().queues().letters;
        letterbox.put("ttg.dlq.exchange", letters, wire::to_message(&letter.to_fields()));
    }
    letterbox.send().await;
}

/// Messages that go to a RabbitMQ server together.
pub(crate) struct Letterbox {
    channel: Channel,
    _connection: Connection,
    /// Of what is put next.
    pub(crate) properties: BasicProperties,
    messages: Vec<(String, String, Vec<u8>, BasicProperties)>,
}

impl Letterbox {
    pub(crate) async fn open(bench: &Bench) -> Self {
        let connection = bench.rabbitmq().connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(Default::default()).await.expect("confirms");
        let properties = BasicProperties::default();
        Self { channel, _connection: connection, properties, messages: Vec::new() }
    }

    pub(crate) fn put(&mut self, exchange: &str, key: &str, body: impl Into<Vec<u8>>) {
        let message = (exchange.to_owned(), key.to_owned(), body.into(), self.properties.clone());
        self.messages.push(message);
    }

    /// Publishes everything, and waits until it is stored.
    pub(crate) async fn send(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        for messages in messages.chunks(BATCH) {
            let sent = messages.iter().map(async |(exchange, key, body, properties)| {
                let options = BasicPublishOptions::default();
                let (exchange, key) = (exchange.as_str().into(), key.as_str().into());
                let publish =
                    self.channel.basic_publish(exchange, key, options, body, properties.clone());
                publish.await.expect("publishes").await.expect("is stored");
            });
            join_all(sent).await;
        }
    }
}
