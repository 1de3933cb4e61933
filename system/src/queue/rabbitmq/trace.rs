//! Who holds what, from the server's own trace of every message (the firehose): AMQP has no other
//! way to learn it. Where tracing is off (`rabbitmqctl trace_on` switches it on), nobody seems to
//! hold anything. Acknowledgements are not traced: what is settled is with nobody, whoever has it.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use futures_util::StreamExt;
use lapin::message::Delivery as Message;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Consumer};

use super::connection::{ConsumingChannel, Life, Turn};
use super::error::{BrokerError, Outcome};
use super::journal::Journal;
use super::journal::record::Doubt;
use super::topology::{LETTERS_EXCHANGE, Queues, RESULTS_EXCHANGE, RETRY_EXCHANGE, TASKS_EXCHANGE};
use crate::chunk_set::ChunkSet;
use crate::queue::{Held, TakenResult, Token};
use crate::wire::{Task, TaskResult};

const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";

/// Which worker holds which chunk, as far as the server's trace was read.
#[derive(Default)]
pub(super) struct Trace {
    reading: Option<Reading>,
    /// Chunk to its delivery.
    held: BTreeMap<u64, Delivered>,
    /// Chunks with a result that was traced. What was settled before is in the journal.
    committed: ChunkSet,
    /// Chunks whose submission was delivered. A server that was killed may not know that it was.
    delivered: ChunkSet,
    /// Over which connection each chunk was delivered last, whatever has become of it since.
    over: HashMap<u64, Rc<str>>,
    /// Deliveries of each chunk that was delivered more than once.
    again: BTreeMap<u64, u64>,
    /// Deliveries of tasks that did not come by their exchange: the journal does not have those.
    bypassed: u64,
    /// Chunks whose results were delivered to somebody who has brought none, and to workers.
    taken: [ChunkSet; 2],
    /// Connection to worker.
    names: BTreeMap<String, Name>,
    /// Connection to worker, those that are gone too.
    owners: HashMap<String, String>,
    /// Deliveries that were traced.
    deliveries: u64,
    /// Of each chunk that was delivered again: over which connection it had been delivered before,
    /// and when, by the number of messages traced, it came again.
    before: BTreeMap<u64, Vec<(Rc<str>, u64)>>,
    /// When something came over a connection last, by the same count.
    active: HashMap<String, u64>,
    /// Messages that were traced.
    traced: u64,
}

/// A queue of our own, into which the server copies what it traces.
struct Reading {
    /// Of the connection that it is read over.
    life: u64,
    channel: ConsumingChannel,
    queue: ShortString,
    consumer: Consumer,
}

/// One delivery of a chunk.
struct Delivered {
    connection: String,
    number: u64,
    /// Its place among all deliveries.
    place: u64,
    /// Of a worker of ours: it came for the first time, or the worker has said that it begins.
    begun: bool,
}

/// Who is at the other end of a connection.
struct Name {
    worker: String,
    /// It has introduced itself, and so says when it begins with what comes to it again.
    is_ours: bool,
}

impl Trace {
    /// What is with whom, as far as was traced and the journal was read.
    pub(super) fn held(&self, journal: &Journal) -> Vec<Held> {
        let is_open = |chunk: &u64| !self.committed.contains(*chunk) && !journal.is_settled(*chunk);
        let open = || self.held.iter().filter(|(chunk, _)| is_open(chunk));
        let mut first: HashMap<&str, u64> = HashMap::new();
        for (_, Delivered { connection, place, .. }) in open() {
            let earliest = first.entry(connection).or_insert(*place);
            *earliest = (*earliest).min(*place);
        }
        let one = |(&chunk, delivered): (&u64, &Delivered)| {
            let Delivered { connection, number, place, begun } = delivered;
            let name = self.names.get(connection);
            Held {
                chunk_index: Some(chunk),
                worker: name.map_or(connection, |name| &name.worker).clone(),
                token: Token { id: chunk.to_string(), number: *number },
                // A foreign worker does one after another.
                begun: match name {
                    Some(Name { is_ours: true, .. }) => *begun,
                    _ => first.get(connection.as_str()) == Some(place),
                },
            }
        };
        open().map(one).collect()
    }

    /// How often each chunk was delivered again, as far as was traced.
    pub(super) fn again(&self) -> BTreeMap<u64, u64> {
        self.again.iter().map(|(chunk, number)| (*chunk, number - 1)).collect()
    }

    /// How many deliveries of each chunk were lost with their connection: nothing came over that any
    /// more once the chunk was delivered again, and its worker came back over another one. Whoever gives a
    /// task back is there still, and who is only silent may be.
    pub(super) fn lost(&self) -> BTreeMap<u64, u64> {
        let is_gone = |(connection, again): &&(Rc<str>, u64)| {
            let is_silent = self.active.get(&**connection).is_none_or(|last| last <= again);
            is_silent && self.came_back(connection, *again)
        };
        let lost = |(chunk, before): (&u64, &Vec<(Rc<str>, u64)>)| {
            (*chunk, before.iter().filter(is_gone).count() as u64)
        };
        self.before.iter().map(lost).filter(|(_, times)| *times > 0).collect()
    }

    /// Whether the worker of this connection was seen over another one after that message.
    fn came_back(&self, connection: &str, after: u64) -> bool {
        let Some(worker) = self.owners.get(connection) else { return false };
        let is_its_next = |(other, owner): (&String, &String)| {
            owner == worker
                && other != connection
                && self.active.get(other).is_some_and(|last| *last > after)
        };
        self.owners.iter().any(is_its_next)
    }

    /// How many tasks were delivered that did not come by their exchange.
    pub(super) fn bypassed(&self) -> u64 {
        self.bypassed
    }

    /// Results that were delivered to anybody.
    pub(super) fn taken(&self) -> Vec<TakenResult> {
        let of = |by_worker: bool| {
            let chunks = self.taken[usize::from(by_worker)].iter();
            chunks.map(move |chunk_index| TakenResult { chunk_index, by_worker })
        };
        of(false).chain(of(true)).collect()
    }

    /// Begins anew on a connection where nobody has watched yet.
    pub(super) async fn begin(&mut self, life: &Life) -> Outcome<()> {
        self.reading = Some(Reading::begin(life).await?);
        self.forget();
        Ok(())
    }

    /// Watches no longer: what is delivered now would be kept for nobody.
    pub(super) async fn end(&mut self) {
        if let Some(Reading { channel, queue, .. }) = self.reading.take() {
            // With its connection it goes in any case.
            let _ = channel.queue_delete(queue, QueueDeleteOptions::default()).await;
        }
    }

    /// Whether somebody watches on this connection.
    pub(super) fn has_begun(&self, life: &Life) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.life == life.number)
    }

    /// Takes in everything that was traced until now.
    pub(super) async fn read_on(&mut self, life: &Life, mine: &str) -> Outcome<()> {
        let unwatched = || BrokerError::new("nobody watches on this connection");
        let mut reading = self.reading.take().ok_or_else(unwatched)?;
        reading.mark(mine).await?;
        let mut turn = Turn::begin();
        loop {
            turn.give_way().await;
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
        let key = message.routing_key.as_str();
        self.traced += 1;
        self.active.insert(connection.clone(), self.traced);
        if kind(message).as_deref() == Some("snapshot") {
            // It is no text, and may be long.
            return;
        }
        let text = String::from_utf8_lossy(&message.data);
        if let Some(queue) = key.strip_prefix("deliver.") {
            if queue == life.queues.results {
                let by_worker = self.owners.contains_key(&connection);
                if let Ok(result) = TaskResult::from_json(&text) {
                    self.taken[usize::from(by_worker)].insert(result.chunk_index);
                }
            } else if queue == life.queues.tasks
                && let Ok(task) = Task::from_json(&text)
            {
                self.take_delivery(message, &task, connection);
            }
            return;
        }
        // Others may have queues of their own behind the same exchanges.
        let keys = keys(message);
        let is = |exchange: &str, to: &String| {
            key.strip_prefix("publish.") == Some(exchange) && keys.contains(to)
        };
        let Queues { results, retry, letters, .. } = &life.queues;
        if key == "publish." {
            let ours = keys.contains(&life.queues.journal());
            match kind(message).as_deref() {
                Some("hello") if ours => {
                    self.greet(connection, text.into_owned());
                }
                Some("sweep") if ours => {
                    self.forget();
                    (self.delivered, self.over) = (ChunkSet::default(), HashMap::new());
                }
                // Written again after what was there is discarded.
                Some("store") if ours => self.committed = ChunkSet::default(),
                Some("redelivered" | "repeated") if ours => {
                    // A result that was published and not stored, since its worker died before it had sent
                    // the rest: whoever says this has looked into the journal.
                    if let Ok(chunk) = text.parse() {
                        self.committed.remove(chunk);
                    }
                    if let Some(delivered) = self.of(&text, &connection) {
                        delivered.begun = true;
                    }
                }
                Some("released" | "returned") if ours => {
                    if let Ok(chunk) = text.parse() {
                        self.release(chunk, &connection);
                    }
                }
                _ => {}
            }
        } else if is(RESULTS_EXCHANGE, results) {
            if let Ok(result) = TaskResult::from_json(&text) {
                self.release(result.chunk_index, &connection);
                self.committed.insert(result.chunk_index);
                let worker = result.worker_id;
                self.owners.insert(connection.clone(), worker.clone());
                self.names.entry(connection).or_insert(Name { worker, is_ours: false });
            }
        } else if (is(RETRY_EXCHANGE, retry) || is(LETTERS_EXCHANGE, letters))
            && let Ok(task) = Task::from_json(&text)
        {
            self.release(task.chunk.index, &connection);
        }
    }

    fn take_delivery(&mut self, message: &Message, task: &Task, connection: String) {
        let chunk = task.chunk.index;
        let flagged = flag(message, "redelivered");
        let came_before = task.is_first() && self.delivered.contains(chunk);
        if flagged || is_another(message) || came_before {
            *self.again.entry(chunk).or_insert(1) += 1;
        }
        if task.is_first() {
            self.delivered.insert(chunk);
        }
        if header(message, "exchange_name").is_some_and(|exchange| exchange != TASKS_EXCHANGE) {
            self.bypassed += 1;
        }
        let over: Rc<str> = match self.over.get(&chunk) {
            Some(before) if **before == *connection => Rc::clone(before),
            Some(before) if flagged || came_before => {
                self.before.entry(chunk).or_default().push((Rc::clone(before), self.traced));
                connection.as_str().into()
            }
            _ => connection.as_str().into(),
        };
        self.over.insert(chunk, over);
        let number = self.again.get(&chunk).copied().unwrap_or(1);
        self.deliveries += 1;
        let (place, begun) = (self.deliveries, !flagged);
        self.held.insert(chunk, Delivered { connection, number, place, begun });
    }

    fn forget(&mut self) {
        self.held.clear();
        self.committed = ChunkSet::default();
    }

    /// A worker has introduced itself. What came over a connection that it had before is lost to it.
    fn greet(&mut self, connection: String, worker: String) {
        self.owners.insert(connection.clone(), worker.clone());
        let (names, present) = (&mut self.names, &connection);
        names.retain(|other, name| {
            let is_gone = other != present && name.worker == worker;
            if is_gone {
                self.held.retain(|_, delivered| delivered.connection != *other);
            }
            !is_gone
        });
        names.insert(connection, Name { worker, is_ours: true });
    }

    /// The chunk with this number, if it is with this connection.
    fn of(&mut self, chunk: &str, connection: &str) -> Option<&mut Delivered> {
        let delivered = self.held.get_mut(&chunk.parse().ok()?)?;
        Some(delivered).filter(|delivered| delivered.connection == connection)
    }

    fn release(&mut self, chunk: u64, connection: &str) {
        if self.held.get(&chunk).is_some_and(|delivered| delivered.connection == connection) {
            self.held.remove(&chunk);
        }
    }
}

impl Reading {
    async fn begin(life: &Life) -> Outcome<Self> {
        let channel = ConsumingChannel::from(life.connection.create_channel().await?);
        let none = FieldTable::default;
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), own, none()).await?.name().clone();
        let Queues { tasks, results, .. } = &life.queues;
        let deliver = [tasks, results].map(|queue| format!("deliver.{queue}"));
        let publish = ["", RESULTS_EXCHANGE, RETRY_EXCHANGE, LETTERS_EXCHANGE];
        let publish = publish.map(|exchange| format!("publish.{exchange}"));
        for key in publish.iter().chain(&deliver) {
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
        let ended = || BrokerError::new("the server ended the trace");
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

/// Whether it is of a task that may have been published before: a delivery more of the same chunk.
fn is_another(message: &Message) -> bool {
    kind(message).is_some_and(|kind| Doubt::named(&kind).is_some())
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
