//! Records of our own in the journal, told apart by their AMQP type; and what a journal's message
//! says.

use std::hash::{DefaultHasher, Hash, Hasher};

use lapin::message::Delivery as Message;
use serde::{Deserialize, Serialize};

use crate::chunk::Sweep;
use crate::queue::SweepInfo;
use crate::queue::rabbitmq::publisher::Outgoing;
use crate::queue::rabbitmq::topology::{
    LETTERS_EXCHANGE, Queues, RESULTS_EXCHANGE, RETRY_EXCHANGE, TASKS_EXCHANGE,
};
use crate::wire::{self, DeadLetter, Task, TaskResult};

/// What a message of the journal says.
pub(in crate::queue::rabbitmq) enum Record {
    /// The name of this data, which outlives a reset.
    Store(String),
    /// A reset has made this journal, and the queues beside it.
    Reset,
    /// The sweep was opened.
    Sweep(SweepInfo),
    /// A task was published: a submission, a retry or a replay.
    Task(Task),
    /// A retry that was published past the queue in which retries wait.
    Stray(Task),
    /// What was published as one and cannot be read: why.
    NoTask(String),
    /// A task that the journal has already was published again: its queue may have lost it.
    Again(Task),
    /// All chunks below this one are in the queue for good.
    Submitted(u64),
    /// Results were published: one of anybody's, or as many as a worker of ours has stored together.
    Results {
        results: Vec<Result<TaskResult, String>>,
        /// When the oldest of their tasks was made, in milliseconds since 1970, where a worker of ours says so.
        tasks_since_ms: Option<i64>,
    },
    /// The chunk has only results that it cannot come to, and is in no queue any more.
    Refused(u64),
    /// A dead letter was published, and its text.
    Letter(DeadLetter, String),
    /// A dead letter was replayed or dropped: its text.
    Gone(String),
    /// A task was delivered again.
    Redelivered(u64),
    /// A task was delivered that may be there twice, though nobody had this message before.
    Repeated(u64),
    /// Whoever has a task of a connection that is gone is alive, and goes on with it.
    Survived(u64),
    /// A task was fetched and put back at once, which makes its next delivery look like another one.
    Returned(u64),
    /// A task was given back, which makes its next delivery look like another one.
    Released(u64),
    /// Whoever asks where the journal ends reads until it comes to its own mark.
    Mark(String),
    /// Anything else.
    Other,
}

/// A hash of what a message of the journal says: whoever comes to a place again sees whether the same stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue::rabbitmq) struct Fingerprint(pub(in crate::queue::rabbitmq) u64);

impl Fingerprint {
    pub(in crate::queue::rabbitmq) fn of(message: &Message) -> Self {
        let mut hasher = DefaultHasher::new();
        let kind = message.properties.kind().as_ref().map(lapin::types::ShortString::as_str);
        (message.exchange.as_str(), kind, &message.data).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Why a task that is submitted may be in its queue twice. A message goes to its queue and to the
/// journal, and of a server that is killed before it has confirmed it the one may be left and the
/// other not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue::rabbitmq) enum Doubt {
    /// Somebody may have tried before, and the journal shows nothing of it.
    Maybe,
    /// The journal has it.
    Again,
}

impl Doubt {
    /// What is said of it by the AMQP type of a task.
    fn word(self) -> &'static str {
        match self {
            Self::Maybe => "maybe",
            Self::Again => "again",
        }
    }

    pub(in crate::queue::rabbitmq) fn of(task: &Message) -> Option<Self> {
        Self::named(task.properties.kind().as_ref()?.as_str())
    }

    /// By the AMQP type of a task.
    pub(in crate::queue::rabbitmq) fn named(kind: &str) -> Option<Self> {
        [Self::Maybe, Self::Again].into_iter().find(|doubt| doubt.word() == kind)
    }

    /// A task with this doubt.
    pub(in crate::queue::rabbitmq) fn put_on(self, task: Outgoing) -> Outgoing {
        task.typed(self.word())
    }
}

/// The sweep as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    start_param: u64,
    total_parameters: u64,
    chunk_size: u64,
    job_id: String,
    created_at: String,
}

impl Written {
    fn sweep(&self) -> Sweep {
        let Self { start_param: start, total_parameters: params, chunk_size, .. } = *self;
        Sweep { start, params, chunk_size }
    }
}

impl Record {
    pub(in crate::queue::rabbitmq) fn read(message: &Message) -> Self {
        let text = String::from_utf8_lossy(&message.data);
        match message.exchange.as_str() {
            // A retry is told when it is put aside: not every server brings what it takes up again
            // to a stream (3.10 does not).
            exchange @ (TASKS_EXCHANGE | RETRY_EXCHANGE) => {
                match (Task::from_json(&text), Doubt::of(message)) {
                    (Ok(task), Some(Doubt::Again)) => Self::Again(task),
                    // A retry is published to its own queue, from which it comes here when its time has
                    // come; what is published here as one is one that the other does not have.
                    (Ok(task), _) if exchange == TASKS_EXCHANGE && !has_waited(message) => {
                        if task.retry_count > 0 { Self::Stray(task) } else { Self::Task(task) }
                    }
                    (Ok(task), _) if exchange == RETRY_EXCHANGE && task.retry_count > 0 => {
                        Self::Task(task)
                    }
                    (Ok(_), _) => Self::Other,
                    (Err(reason), _) => Self::NoTask(reason),
                }
            }
            RESULTS_EXCHANGE => {
                Self::Results { results: vec![TaskResult::from_json(&text)], tasks_since_ms: None }
            }
            LETTERS_EXCHANGE => {
                Self::Letter(DeadLetter::from_fields(wire::from_json(&text)), text.into_owned())
            }
            "" => Self::own(message, &text),
            _ => Self::Other,
        }
    }

    /// A record of our own; nothing of any other message is read.
    pub(in crate::queue::rabbitmq) fn read_own(message: &Message) -> Option<Self> {
        let is_own = message.exchange.as_str().is_empty();
        is_own.then(|| Self::own(message, &String::from_utf8_lossy(&message.data)))
    }

    fn own(message: &Message, text: &str) -> Self {
        let properties = &message.properties;
        let kind = properties.kind().as_ref().map(lapin::types::ShortString::as_str);
        match kind {
            Some("store") => Self::Store(text.to_owned()),
            Some("results") => Self::Results {
                results: text.lines().map(TaskResult::from_json).collect(),
                tasks_since_ms: properties
                    .correlation_id()
                    .as_ref()
                    .and_then(|it| it.as_str().parse().ok()),
            },
            Some("reset") => Self::Reset,
            Some("mark") => Self::Mark(text.to_owned()),
            Some("returned") => text.parse().map_or(Self::Other, Self::Returned),
            Some("released") => text.parse().map_or(Self::Other, Self::Released),
            Some("gone") => Self::Gone(text.to_owned()),
            Some("redelivered") => text.parse().map_or(Self::Other, Self::Redelivered),
            Some("repeated") => text.parse().map_or(Self::Other, Self::Repeated),
            Some("survived") => text.parse().map_or(Self::Other, Self::Survived),
            Some("refused") => text.parse().map_or(Self::Other, Self::Refused),
            Some("submitted") => text.parse().map_or(Self::Other, Self::Submitted),
            Some("sweep") => match serde_json::from_str::<Written>(text) {
                Ok(written) if written.sweep().check_bounds().is_ok() => Self::Sweep(SweepInfo {
                    sweep: written.sweep(),
                    job_id: written.job_id,
                    created_at: written.created_at,
                }),
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// Whether a message has come out of another queue, as a retry does when its time has come.
fn has_waited(message: &Message) -> bool {
    let headers = message.properties.headers().as_ref();
    headers.is_some_and(|headers| headers.inner().contains_key("x-death"))
}

/// The sweep that is opened.
pub(in crate::queue::rabbitmq) fn sweep(queues: &Queues, info: &SweepInfo) -> Outgoing {
    let Sweep { start, params, chunk_size } = info.sweep;
    let written = Written {
        start_param: start,
        total_parameters: params,
        chunk_size,
        job_id: info.job_id.clone(),
        created_at: info.created_at.clone(),
    };
    own(queues, "sweep", serde_json::to_string(&written).expect("plain numbers and text"))
}

/// The name of the data: the first one in a journal counts.
pub(in crate::queue::rabbitmq) fn store(queues: &Queues, name: &str) -> Outgoing {
    own(queues, "store", name.to_owned())
}

/// A reset has made this journal.
pub(in crate::queue::rabbitmq) fn reset(queues: &Queues) -> Outgoing {
    own(queues, "reset", String::new())
}

/// Results that are stored together, each with when its task was made, in milliseconds since 1970: a line of JSON
/// each, which is what is published of it to its own queue. The oldest of those times is the `correlation_id`.
pub(in crate::queue::rabbitmq) fn results(
    queues: &Queues,
    results: &[(Outgoing, i64)],
) -> Outgoing {
    let lines: Vec<&[u8]> = results.iter().map(|(result, _)| result.body.as_slice()).collect();
    let record = Outgoing::of_our_own(queues.journal(), "results", lines.join(&b'\n'));
    match results.iter().map(|(_, created_ms)| *created_ms).min() {
        Some(since) => record.correlated(&since.to_string()),
        None => record,
    }
}

/// A mark that is nobody else's.
pub(in crate::queue::rabbitmq) fn new_mark() -> String {
    format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// The place in the journal where it is written.
pub(in crate::queue::rabbitmq) fn mark(queues: &Queues, id: &str) -> Outgoing {
    own(queues, "mark", id.to_owned())
}

/// A dead letter was replayed or dropped, whose text this is.
pub(in crate::queue::rabbitmq) fn gone(queues: &Queues, letter: String) -> Outgoing {
    own(queues, "gone", letter)
}

/// A task was delivered again, whose message this is.
pub(in crate::queue::rabbitmq) fn redelivered(queues: &Queues, task: &[u8]) -> Outgoing {
    let task = Task::from_json(&String::from_utf8_lossy(task));
    let index = task.map(|task| task.chunk.index.to_string());
    own(queues, "redelivered", index.unwrap_or_default())
}

/// A task was delivered that may be there twice, whose message this is.
pub(in crate::queue::rabbitmq) fn repeated(queues: &Queues, task: &[u8]) -> Outgoing {
    redelivered(queues, task).typed("repeated")
}

/// The task whose message this is was delivered over a connection that is gone, and its worker is
/// alive.
pub(in crate::queue::rabbitmq) fn survived(queues: &Queues, task: &[u8]) -> Outgoing {
    redelivered(queues, task).typed("survived")
}

/// All chunks below this one are in the queue for good.
pub(in crate::queue::rabbitmq) fn submitted(queues: &Queues, below: u64) -> Outgoing {
    own(queues, "submitted", below.to_string())
}

/// The chunk has only results that it cannot come to, and is in no queue any more.
pub(in crate::queue::rabbitmq) fn refused(queues: &Queues, chunk: u64) -> Outgoing {
    own(queues, "refused", chunk.to_string())
}

/// A task was given back, whose message this is: whoever traces the server sees by whom.
pub(in crate::queue::rabbitmq) fn released(queues: &Queues, task: &[u8]) -> Outgoing {
    redelivered(queues, task).typed("released")
}

/// A task was fetched and put back at once, whose message this is.
pub(in crate::queue::rabbitmq) fn returned(queues: &Queues, task: &[u8]) -> Outgoing {
    redelivered(queues, task).typed("returned")
}

/// A worker has connected: whoever traces the server sees over which connection.
pub(in crate::queue::rabbitmq) fn hello(queues: &Queues, worker: &str) -> Outgoing {
    own(queues, "hello", worker.to_owned())
}

/// A snapshot of the journal, for the stream that holds those.
pub(in crate::queue::rabbitmq) fn snapshot(queues: &Queues, body: Vec<u8>) -> Outgoing {
    Outgoing::of_our_own(queues.snapshots(), "snapshot", body)
}

/// A token, for the queue that holds those of whoever would keep the snapshots.
pub(in crate::queue::rabbitmq) fn token(queues: &Queues) -> Outgoing {
    Outgoing::of_our_own(queues.keeper(), "token", Vec::new())
}

/// A kernel that the sweep may be computed by, for the queue that holds those.
pub(in crate::queue::rabbitmq) fn kernel(queues: &Queues, kernel: &str) -> Outgoing {
    Outgoing::of_our_own(queues.kernels(), "kernel", kernel.into())
}

fn own(queues: &Queues, kind: &str, body: String) -> Outgoing {
    Outgoing::of_our_own(queues.journal(), kind, body.into())
}
