//! Who holds what, from the server's own trace of every message (the firehose): AMQP has no other
//! way to learn it. Where tracing is off (`rabbitmqctl trace_on` switches it on), nobody seems to
//! hold anything.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use lapin::message::Delivery as Message;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer};

use super::life::{Life, Outcome, Trouble};
use super::queues::{LETTERS_EXCHANGE, RESULTS_EXCHANGE, RETRY_EXCHANGE};
use crate::queue::{Held, Token};
use crate::wire::{self, Task, TaskResult};

const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";

/// See the file.
#[derive(Default)]
pub(super) struct Trace {
    reading: Option<Reading>,
    /// Chunk to connection and number of its delivery.
    held: BTreeMap<u64, (String, u64)>,
    /// Deliveries of each chunk that was delivered more than once.
    again: BTreeMap<u64, u64>,
    /// Connection to worker.
    names: BTreeMap<String, String>,
    /// Deliveries beyond the first of each task.
    pub(super) redelivered: u64,
}

/// A queue of our own, into which the server copies what it traces.
struct Reading {
    /// Of the connection that it is read over.
    life: u64,
    channel: Channel,
    queue: ShortString,
    consumer: Consumer,
}

impl Trace {
    pub(super) fn held(&self) -> Vec<Held> {
        let one = |(&chunk, (connection, number)): (&u64, &(String, u64))| Held {
            chunk_index: Some(chunk),
            worker: self.names.get(connection).unwrap_or(connection).clone(),
            token: Token { id: chunk.to_string(), number: *number },
        };
        self.held.iter().map(one).collect()
    }

    /// Takes in everything that was traced until now.
    pub(super) async fn read_on(&mut self, life: &Life, mine: &str) -> Outcome<()> {
        let mut reading = match self.reading.take() {
            Some(reading) if reading.life == life.number => reading,
            _ => {
                // Of connections that nobody watched.
                self.held.clear();
                Reading::begin(life).await?
            }
        };
        reading.mark(mine).await?;
        loop {
            let message = life.answered(reading.next()).await?;
            if message.exchange.as_str().is_empty() && message.data == mine.as_bytes() {
                self.reading = Some(reading);
                return Ok(());
            }
            self.take_in(life, &message);
        }
    }

    fn take_in(&mut self, life: &Life, message: &Message) {
        let connection = header(message, "connection").unwrap_or_default();
        let text = String::from_utf8_lossy(&message.data);
        let key = message.routing_key.as_str();
        if let Some(queue) = key.strip_prefix("deliver.") {
            let task = Task::from_fields(&wire::from_json(&text));
            if queue == life.queues.tasks
                && let Ok(task) = task
            {
                let again = flag(message, "redelivered");
                self.redelivered += u64::from(again);
                let chunk = task.chunk.index;
                if again {
                    *self.again.entry(chunk).or_insert(1) += 1;
                }
                let number = self.again.get(&chunk).copied().unwrap_or(1);
                self.held.insert(chunk, (connection, number));
            }
            return;
        }
        let is = |exchange: &str| key.strip_prefix("publish.") == Some(exchange);
        if is("") {
            let journal = life.queues.journal();
            let ours = keys(message).contains(&journal);
            match kind(message).as_deref() {
                Some("hello") if ours => {
                    self.names.insert(connection, text.into_owned());
                }
                Some("released" | "returned") if ours => {
                    if let Ok(chunk) = text.parse() {
                        self.release(chunk, &connection);
                    }
                }
                _ => {}
            }
        } else if is(RESULTS_EXCHANGE) {
            if let Ok(result) = TaskResult::from_fields(&wire::from_json(&text)) {
                self.release(result.chunk_index, &connection);
                self.names.entry(connection).or_insert(result.worker_id);
            }
        } else if (is(RETRY_EXCHANGE) || is(LETTERS_EXCHANGE))
            && let Ok(task) = Task::from_fields(&wire::from_json(&text))
        {
            self.release(task.chunk.index, &connection);
        }
    }

    fn release(&mut self, chunk: u64, connection: &str) {
        if self.held.get(&chunk).is_some_and(|(by, _)| by == connection) {
            self.held.remove(&chunk);
        }
    }
}

impl Reading {
    async fn begin(life: &Life) -> Outcome<Self> {
        let channel = life.connection.create_channel().await?;
        let none = FieldTable::default;
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, none()).await?.name().clone();
        let deliver = format!("deliver.{}", life.queues.tasks);
        let publish = ["", RESULTS_EXCHANGE, RETRY_EXCHANGE, LETTERS_EXCHANGE];
        let publish = publish.map(|exchange| format!("publish.{exchange}"));
        for key in publish.iter().chain([&deliver]) {
            let (exchange, bind) = (TRACE_EXCHANGE.into(), QueueBindOptions::default());
            channel.queue_bind(queue.clone(), exchange, key.as_str().into(), bind, none()).await?;
        }
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(queue.clone(), "".into(), options, none()).await?;
        Ok(Self { life: life.number, channel, queue, consumer })
    }

    /// Puts a mark into the queue, and nowhere else: it comes after all that is traced by then,
    /// whether anything is or not. In the journal, every worker that starts would read it.
    async fn mark(&self, mine: &str) -> Outcome<()> {
        let (queue, options) = (self.queue.clone(), BasicPublishOptions::default());
        let properties = BasicProperties::default();
        self.channel.basic_publish("".into(), queue, options, mine.as_bytes(), properties).await?;
        Ok(())
    }

    async fn next(&mut self) -> Outcome<Message> {
        let ended = || Trouble::new("the server ended the trace");
        Ok(self.consumer.next().await.ok_or_else(ended)??)
    }
}

fn value<'a>(message: &'a Message, name: &str) -> Option<&'a AMQPValue> {
    message.properties.headers().as_ref()?.inner().get(name)
}

fn header(message: &Message, name: &str) -> Option<String> {
    match value(message, name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    }
}

/// The AMQP type of the message that was traced.
fn kind(message: &Message) -> Option<String> {
    let AMQPValue::FieldTable(properties) = value(message, "properties")? else { return None };
    match properties.inner().get("type")? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    }
}

fn flag(message: &Message, name: &str) -> bool {
    matches!(value(message, name), Some(AMQPValue::LongInt(1)))
}

fn keys(message: &Message) -> Vec<String> {
    let Some(AMQPValue::FieldArray(keys)) = value(message, "routing_keys") else {
        return Vec::new();
    };
    let text = |key: &AMQPValue| match key {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    };
    keys.as_slice().iter().filter_map(text).collect()
}
