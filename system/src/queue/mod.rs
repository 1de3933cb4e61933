//! The queue: what worker, coordinator, aggregator and onlookers ask of a broker.
//!
//! One small trait a role, implemented by one type a backend. The promises:
//!
//! - A chunk is *settled* once: committed by the first commit of its index, or dead. Later commits
//!   of it change nothing, whoever makes them and however late.
//! - A delivery belongs to its worker while it is renewed; a delivery is known by its number, so
//!   a worker that was frozen and wakes up can neither acknowledge, nor extend, nor give back what
//!   is with somebody else by then.
//! - A dead chunk is open again once its dead letter is replayed; nothing else brings one back.
//! - Every call may be repeated after an error: an error says that the outcome is not known.

mod access;
mod arrival;
mod computed_by;
pub mod embedded;
mod environment;
mod error;
mod guest;
mod letters;
mod pace;
pub mod rabbitmq;
mod reconcile;
pub mod redis;
pub mod room;
mod told;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::chunk::Sweep;
use crate::wire::{self, DeadLetter, Task, TaskResult};
use access::tls_advice;
pub use access::{Secret, Tls};
pub use computed_by::{ComputedBy, KernelCheck};
pub use error::QueueError;
pub use guest::Guest;
pub use letters::{DeadLetters, Decide, Decision, replayed};
pub(crate) use reconcile::EVERY as RECONCILE_EVERY;
pub use reconcile::{Reconcile, Reconciled};
pub use url::{BrokerUrl, ServerUrl};

/// How a queue is reached and what its leases and retries are.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which broker, and where.
    pub address: Address,
    /// Without a sign of life for this long, a delivery is anybody's.
    pub lease: Duration,
    /// How often a worker looks for deliveries that are anybody's.
    pub takeover_interval: Duration,
    /// How often a failed chunk is attempted again.
    pub max_retries: u32,
    /// How long a failed chunk waits for that.
    pub retry_delay: Duration,
    /// A chunk that was delivered this often and never settled is dead: it kills its workers.
    pub max_deliveries: u32,
    /// How long a broker that does not answer is tried before an error is reported.
    pub patience: Duration,
    /// As `patience`, of the first connection of whoever is no worker; and of anybody to a file that is not
    /// there.
    pub first_contact: Duration,
    /// Whether a place that is not there is made, a file for one: only whoever submits means to.
    pub creates: bool,
}

impl Settings {
    /// Defaults for a broker at `address`.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            lease: Duration::from_secs(5),
            takeover_interval: Duration::from_millis(100),
            max_retries: 3,
            retry_delay: Duration::from_secs(1),
            max_deliveries: 10,
            patience: Duration::from_secs(60),
            first_contact: FIRST_CONTACT,
            creates: true,
        }
    }
}

/// Which broker, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A SQLite file.
    Embedded(std::path::PathBuf),
    /// A Redis server.
    Redis(Box<redis::Server>),
    /// A RabbitMQ server.
    RabbitMq(Box<rabbitmq::Server>),
}

impl Address {
    /// A Redis server without users, passwords and encryption.
    pub fn redis(host: &str, port: u16) -> Self {
        Self::Redis(Box::new(redis::Server::at(host, port)))
    }

    /// The variables that say where it is.
    fn variables(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "EMBEDDED_PATH",
            Self::Redis(_) => "REDIS_HOST and REDIS_PORT",
            Self::RabbitMq(_) => "RABBITMQ_HOST and RABBITMQ_PORT",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "the file {}", path.display()),
            Self::Redis(server) => write!(f, "{server}"),
            Self::RabbitMq(server) => write!(f, "{server}"),
        }
    }
}

/// What calls return.
pub type Result<T> = std::result::Result<T, QueueError>;

/// A chunk handed to this worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Which delivery, of which task.
    pub token: Token,
    /// The task.
    pub task: Task,
    /// It was with a worker that died or fell silent, and may be why: it is attempted with nothing
    /// else at stake, so that it takes nobody with it.
    pub suspect: bool,
}

/// Names one delivery of one task: the fence against workers that lost it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// The broker's id of the task.
    pub id: String,
    /// How many deliveries of the task there were, this one included.
    pub number: u64,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// The result counts.
    Committed,
    /// The chunk was settled before; nothing changed.
    AlreadySettled,
}

/// What became of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The chunk is attempted again after the retry delay.
    Retried,
    /// That was the last attempt.
    DeadLettered,
    /// The delivery was somebody else's by then, or the chunk settled; nothing changed.
    NotHeld,
}

/// Who asks for what the dead left behind: idle workers get a head start, so that a chunk does
/// not wait behind another where somebody has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Takes over at once.
    Idle,
    /// Takes over what nobody took since it last looked.
    Busy,
}

/// Where a sweep stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Chunks of the sweep, once a coordinator has said so.
    pub total: Option<u64>,
    /// Chunks submitted.
    pub submitted: u64,
    /// Chunks committed.
    pub committed: u64,
    /// Chunks dead.
    pub dead: u64,
}

impl Progress {
    /// Whether nothing is left to do.
    pub fn is_complete(&self) -> bool {
        self.total
            .is_some_and(|total| self.submitted >= total && self.committed + self.dead >= total)
    }
}

/// What a worker asks of a broker.
#[async_trait(?Send)]
pub trait Queue: Reconcile + ComputedBy {
    /// Up to `max` deliveries: new tasks, or what the dead left behind; none after `wait`.
    /// Returns as soon as there is something, and early when the sweep is complete.
    async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>>;

    /// Up to `max` new tasks that are there or on their way, before or while a commit goes on. Whoever gets none
    /// claims afterwards, so a backend that gains nothing by it gives none.
    async fn claim_ahead(&self, max: usize) -> Result<Vec<Delivery>>;

    /// Stores results and acknowledges their deliveries, each pair as one step.
    ///
    /// # Errors
    /// [`QueueError::OtherKernel`] where it shows only now that the sweep is another's: nothing is stored.
    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>>;

    /// A sign of life for deliveries; those that were lost are returned.
    async fn renew(&self, held: &[Token]) -> Result<Vec<Token>>;

    /// Takes over up to `max` deliveries that were given back, or one whose worker is dead, or
    /// silent for a lease: that one is attempted alone, since it may be what killed it. `held`
    /// is what this worker knows to be its own: anything else under its name was a former life's, so it is not
    /// asked while a claim goes on.
    async fn take_over(&self, max: usize, held: &[Token], asker: Asker) -> Result<Vec<Delivery>>;

    /// An attempt failed.
    async fn fail(&self, delivery: &Delivery, reason: &str) -> Result<Failure>;

    /// Gives deliveries back, for others to take at once, and with them whatever was sent ahead. They
    /// do not count towards those after which a chunk is dead.
    async fn release(&self, held: &[Token]) -> Result<()>;

    /// Whether every chunk is settled. It may be told a little late.
    async fn is_complete(&self) -> Result<bool>;

    /// Whether other workers are there, as far as that is seen.
    async fn has_peers(&self) -> Result<bool> {
        Ok(false)
    }

    /// Signs off. What is still held is others' at once.
    async fn leave(&self) -> Result<()>;
}

/// What a coordinator asks of a broker.
#[async_trait(?Send)]
pub trait Submit: Reconcile {
    /// Opens a sweep, or finds it open; how many of its chunks are submitted. Where somebody else has
    /// submitted tasks of this sweep, and nobody has opened it, they and their results are taken over.
    ///
    /// # Errors
    /// [`QueueError::OtherSweep`] where the broker holds another one, or tasks of one.
    async fn open(&self, sweep: &Sweep, job_id: Option<&str>) -> Result<u64>;

    /// Submits the chunks from index `from` to below `to`, if exactly those below `from` are
    /// submitted: a second coordinator, or a repetition, changes nothing. Returns how many are
    /// submitted now.
    async fn submit(&self, sweep: &Sweep, from: u64, to: u64) -> Result<u64>;

    /// Discards the sweep that is there, with everything of it.
    async fn reset(&self) -> Result<()>;

    /// From now on settled tasks of the sweep make room, where they would stay otherwise: on Redis, whose
    /// stream keeps what is acknowledged. What is open is never among them, and nobody who counts takes them
    /// for lost: they are counted as `trimmed` in [`redis`]'s progress. Onlookers who read all tasks back, as the
    /// harness does, do not find them any more; so nobody asks for this but people.
    async fn trim(&self) -> Result<()> {
        Ok(())
    }
}

/// What an onlooker asks of a broker; it changes nothing there.
#[async_trait(?Send)]
pub trait Inspect {
    /// The sweep that is there.
    async fn sweep(&self) -> Result<Option<SweepInfo>>;

    /// Where the sweep stands.
    async fn standing(&self) -> Result<Progress>;

    /// As [`Inspect::sweep`], for whoever waits and asks again and again: what has just changed may be told
    /// at the next time only. On RabbitMQ nothing is written for it; to know what is so at the moment, one
    /// leaves a mark in the journal.
    async fn sweep_of_late(&self) -> Result<Option<SweepInfo>> {
        self.sweep().await
    }

    /// As [`Inspect::standing`], likewise. It tells of no end: whoever thinks that he sees one asks where
    /// the sweep stands.
    async fn standing_of_late(&self) -> Result<Progress> {
        self.standing().await
    }

    /// Up to `max` results from `cursor` on, waiting up to `wait` for the first; the cursor moves
    /// on. Results that cannot be read come as errors with the reason.
    async fn results(
        &self,
        cursor: &mut Cursor,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Stamped<Readable<TaskResult>>>>;

    /// Up to `max` tasks from `cursor` on, as they came into the queue: submissions, retries and
    /// replays. Those that cannot be read come as errors with the reason.
    async fn tasks(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<Stamped<Readable<Task>>>>;

    /// What is with workers at the moment. RabbitMQ tells of a delivery a moment late.
    async fn held(&self) -> Result<Vec<Held>>;

    /// Up to `max` dead letters from `cursor` on: those that are neither replayed nor dropped.
    async fn dead_letters(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<DeadLetter>>;

    /// How many workers have asked for tasks and not left.
    async fn workers(&self) -> Result<usize>;

    /// Deliveries beyond the first of each task.
    async fn redelivered(&self) -> Result<Redelivered>;

    /// How many tasks were delivered that came by another way than the wire contract's, where such ways
    /// are seen.
    async fn bypassed(&self) -> Result<u64> {
        Ok(0)
    }

    /// Results that somebody has taken from where they are stored, where that is seen; ask before
    /// [`Inspect::stored_results`]. Nobody does where they stay for whoever reads them.
    async fn taken_results(&self) -> Result<Vec<TakenResult>> {
        Ok(Vec::new())
    }

    /// How much room it has for a sweep, where that can be told.
    async fn room(&self) -> Result<Option<room::Room>> {
        Ok(None)
    }

    /// How much is in each queue.
    async fn depths(&self) -> Result<Depths>;

    /// Up to `max` tasks that nobody has settled: waiting, with somebody, or put aside for their next
    /// attempt. On RabbitMQ those that are with workers are not among them, and the next delivery of
    /// the others looks like another one: ask when everybody has left.
    async fn open_tasks(&self, max: usize) -> Result<Vec<OpenTask>>;

    /// Shows every result that is stored where the wire contract has them, from the first on, whatever
    /// was read before. Nothing is taken. On RabbitMQ, nobody else may be consuming them.
    async fn stored_results(&self, each: &mut EachResult<'_>) -> Result<()> {
        let mut cursor = Cursor::default();
        loop {
            let page = self.results(&mut cursor, STORED_PAGE, Duration::ZERO).await?;
            if page.is_empty() {
                return Ok(());
            }
            page.into_iter().for_each(|result| each(result.what));
        }
    }
}

/// Results per read, where all are read.
const STORED_PAGE: usize = 1000;

/// Is shown stored results; one that cannot be read comes with the reason.
pub type EachResult<'a> = dyn FnMut(Readable<TaskResult>) + 'a;

/// A message, or why it cannot be read.
pub type Readable<T> = std::result::Result<T, String>;

/// A result that somebody has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenResult {
    /// Of which chunk.
    pub chunk_index: u64,
    /// By one who has brought results himself.
    pub by_worker: bool,
}

/// A task that nobody has settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTask {
    /// The chunk's index, where the task can be read.
    pub chunk_index: Option<u64>,
    /// The worker that has it, where somebody has.
    pub holder: Option<String>,
}

impl OpenTask {
    /// One that is with nobody, by its fields.
    fn waiting(fields: &wire::Fields) -> Self {
        let task = Task::from_fields(fields);
        Self { chunk_index: task.ok().map(|task| task.chunk.index), holder: None }
    }
}

impl From<Held> for OpenTask {
    fn from(held: Held) -> Self {
        Self { chunk_index: held.chunk_index, holder: Some(held.worker) }
    }
}

/// How much is in each queue, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depths {
    /// Tasks that nobody has settled. On RabbitMQ those that are with workers are not among them.
    pub tasks: u64,
    /// Results, which stay for whoever reads them.
    pub results: u64,
    /// Failed tasks that wait for their next attempt.
    pub retry: u64,
    /// Dead letters.
    pub letters: u64,
}

/// Deliveries beyond the first of each task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redelivered {
    /// How many.
    pub deliveries: u64,
    /// How many of which chunk. Nothing where a commit is one step: there they excuse no result.
    pub chunks: BTreeMap<u64, u64>,
    /// How many of them because the connection that the chunk was delivered over before is gone, as
    /// far as that was seen: nothing came over it any more.
    pub lost: BTreeMap<u64, u64>,
}

/// The sweep that a broker holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepInfo {
    /// Parameters and chunk size.
    pub sweep: Sweep,
    /// Which job.
    pub job_id: String,
    /// RFC 3339, UTC.
    pub created_at: String,
}

impl SweepInfo {
    /// A sweep that is asked for now.
    fn asked(sweep: &Sweep, job_id: Option<&str>) -> Self {
        let job_id = job_id.unwrap_or_default().to_owned();
        Self { sweep: *sweep, job_id, created_at: wire::now() }
    }

    /// Whether this is the same sweep as before. One of which only its tasks tell, and not when it began,
    /// may have been taken over by a coordinator since.
    pub(crate) fn is_still(&self, before: &Self) -> bool {
        let is_as_old = before.created_at.is_empty() || self.created_at == before.created_at;
        self.sweep == before.sweep && is_as_old
    }

    /// Whether this is the sweep that is asked for; who names no job asks for any.
    fn is(&self, asked: &Self) -> bool {
        self.sweep == asked.sweep && (asked.job_id.is_empty() || self.job_id == asked.job_id)
    }
}

impl fmt::Display for SweepInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words(&self.sweep))?;
        if self.job_id.is_empty() { Ok(()) } else { write!(f, " (job {})", self.job_id) }
    }
}

/// A sweep in words.
fn words(Sweep { start, params, chunk_size }: &Sweep) -> String {
    format!("a sweep of {params} parameters from {start} in chunks of {chunk_size}")
}

/// How far an onlooker has read; begins at the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor at a backend's own name for a place.
    pub fn at(place: String) -> Self {
        Self(place)
    }

    /// That name; empty at the beginning.
    pub fn place(&self) -> &str {
        &self.0
    }
}

/// Something with the broker's time for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamped<T> {
    /// Milliseconds since 1970, by the broker's clock.
    pub at_ms: i64,
    /// What.
    pub what: T,
}

/// A task that is with a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The chunk's index, where the task can be read.
    pub chunk_index: Option<u64>,
    /// The worker.
    pub worker: String,
    /// The delivery.
    pub token: Token,
    /// The worker is at it, or about to be. What is only sent ahead is no attempt, and does not
    /// count as one.
    pub begun: bool,
}

/// Everything that a backend can do.
pub trait Broker: Queue + Submit + Inspect + DeadLetters {}

impl<T: Queue + Submit + Inspect + DeadLetters> Broker for T {}

/// Connects to the broker of the settings. A worker says its name (`worker-1`); others have none.
///
/// # Errors
/// Where it does not answer within a few seconds.
pub async fn connect(settings: &Settings, worker: Option<&str>) -> Result<Rc<dyn Broker>> {
    Ok(match &settings.address {
        Address::Embedded(path) => Rc::new(embedded::Embedded::open(path, settings, worker).await?),
        Address::Redis(_) => Rc::new(redis::Redis::connect(settings, worker).await?),
        Address::RabbitMq(_) => Rc::new(rabbitmq::RabbitMq::connect(settings, worker).await?),
    })
}

/// How long people wait for a first connection, who may have typed the address, unless they say.
const FIRST_CONTACT: Duration = Duration::from_secs(3);

/// How long the first connection is tried. A worker may be started, or started again, while its
/// broker is away: to it the first time is like any other.
fn first_contact(settings: &Settings, worker: Option<&str>) -> Duration {
    if worker.is_some() { settings.patience } else { settings.first_contact }
}

/// Name under which deliveries wait that were given back: nobody's.
const RELEASED: &str = "released";
