//! Tasks, results and dead letters as they travel: the fields that any program must speak.

mod json;

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::chunk::{CHUNKS_BOUND, Chunk, ChunkId, Sweep};
use crate::stats::Stats;

pub use json::{from_json, to_json, to_message};

/// Longest text of a foreign message that is kept in a dead letter, in bytes.
const RAW_BOUND: usize = 4096;

/// Most fields of one that are kept.
const FIELDS_BOUND: usize = 64;

/// The `status` of a result.
const COMPLETED: &str = "completed";

const RETRY_COUNT: &str = "retry_count";

/// What a dead letter says of its task: the task's own fields of these names give way.
const LETTER_FIELDS: [&str; 4] = ["status", "last_error", "failed_at", RETRY_COUNT];

/// What is read of a task.
const TASK: [&str; 8] = [
    "chunk_id",
    "start_param",
    "end_param",
    "params_count",
    "total_params",
    "total_chunks",
    "retry_count",
    "replays",
];

/// What is read of a result.
const RESULT: [&str; 5] = ["chunk_id", "worker_id", "status", "duration_seconds", "result_data"];

/// The fields of a message, in the order in which they are written.
pub type Fields = Vec<(String, String)>;

/// A chunk to be computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The chunk.
    pub chunk: Chunk,
    /// Parameters of the whole sweep.
    pub total_params: u64,
    /// Chunks of the whole sweep.
    pub total_chunks: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Failed attempts so far, since it was last replayed.
    pub retry_count: u32,
    /// How often it was a dead letter and became a task again.
    pub replays: u32,
}

impl Task {
    /// The submission of a sweep's chunk.
    pub fn first(sweep: &Sweep, index: u64, created_at: &str) -> Self {
        Self {
            chunk: sweep.chunk(index),
            total_params: sweep.params,
            total_chunks: sweep.chunks(),
            created_at: created_at.to_owned(),
            retry_count: 0,
            replays: 0,
        }
    }

    /// Whether this is the chunk's submission, and neither a retry nor a replay of it.
    pub fn is_first(&self) -> bool {
        self.retry_count == 0 && self.replays == 0
    }

    /// The message. `retry_count` appears once an attempt has failed, `replays` after a replay.
    pub fn to_fields(&self) -> Fields {
        let mut fields = vec![
            ("chunk_id", self.chunk.id().to_string()),
            ("start_param", self.chunk.start.to_string()),
            ("end_param", self.chunk.end.to_string()),
            ("params_count", self.chunk.params().to_string()),
            ("total_params", self.total_params.to_string()),
            ("total_chunks", self.total_chunks.to_string()),
            ("created_at", self.created_at.clone()),
            ("status", "pending".to_owned()),
        ];
        if self.retry_count > 0 {
            fields.push(("retry_count", self.retry_count.to_string()));
        }
        if self.replays > 0 {
            fields.push(("replays", self.replays.to_string()));
        }
        owned(fields)
    }

    /// Whether this is a task of the sweep: its chunk is, and what it says of the whole is so.
    ///
    /// # Errors
    /// One fragment that says why not: the reason for a dead letter.
    pub fn check(&self, sweep: &Sweep) -> Result<(), String> {
        // Who does not say it writes nothing, which is read as 0.
        for (name, said, is) in [
            ("total_params", self.total_params, sweep.params),
            ("total_chunks", self.total_chunks, sweep.chunks()),
        ] {
            if said != 0 && said != is {
                return Err(format!("{name} is {said}, and the sweep's is {is}"));
            }
        }
        sweep.check(&self.chunk)
    }

    /// Reads a message; fields that it does not know are ignored.
    ///
    /// # Errors
    /// One fragment that says which field is wrong: the reason for a dead letter.
    pub fn from_fields(fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self, String> {
        let values = values(fields, &TASK)?;
        let [id, start, end, count, total_params, total_chunks, retry_count, replays] = values;
        let chunk = Chunk {
            index: number("chunk_id", id)?,
            start: number("start_param", start)?,
            end: number("end_param", end)?,
        };
        if chunk.end <= chunk.start {
            return Err(format!(
                "end_param {} is not above start_param {}",
                chunk.end, chunk.start
            ));
        }
        let count = optional_number("params_count", count)?.unwrap_or(chunk.params());
        if count != chunk.params() {
            return Err(format!(
                "params_count is {count}, but the range has {} parameters",
                chunk.params()
            ));
        }
        let total_chunks = optional_number("total_chunks", total_chunks)?;
        let bound = total_chunks.unwrap_or(CHUNKS_BOUND).min(CHUNKS_BOUND);
        if chunk.index >= bound {
            return Err(format!("chunk_id {} is not below the {bound} chunks", chunk.id()));
        }
        let count = |name, value| -> Result<u32, String> {
            let count = optional_number(name, value)?.unwrap_or(0);
            Ok(u32::try_from(count).unwrap_or(u32::MAX))
        };
        Ok(Self {
            chunk,
            total_params: optional_number("total_params", total_params)?.unwrap_or(0),
            total_chunks: total_chunks.unwrap_or(0),
            created_at: get(fields, "created_at").unwrap_or_default().to_owned(),
            retry_count: count("retry_count", retry_count)?,
            replays: count("replays", replays)?,
        })
    }
}

/// A field of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultField {
    /// Whose result it is.
    ChunkId,
    /// Who has computed it.
    WorkerId,
    /// That it is one.
    Status,
    /// How long that took.
    DurationSeconds,
    /// When it was there.
    CompletedAt,
    /// Sum, count, least, greatest and mean, as JSON.
    ResultData,
}

impl ResultField {
    /// In the order in which they are written.
    pub const ALL: [Self; 6] = [
        Self::ChunkId,
        Self::WorkerId,
        Self::Status,
        Self::DurationSeconds,
        Self::CompletedAt,
        Self::ResultData,
    ];

    /// Its name in the wire contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChunkId => "chunk_id",
            Self::WorkerId => "worker_id",
            Self::Status => "status",
            Self::DurationSeconds => "duration_seconds",
            Self::CompletedAt => "completed_at",
            Self::ResultData => "result_data",
        }
    }

    /// What all results have in it, where that is so.
    pub fn constant(self) -> Option<&'static str> {
        (self == Self::Status).then_some(COMPLETED)
    }
}

/// What a worker says of a chunk that it has computed.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskResult {
    /// The chunk's index.
    pub chunk_index: u64,
    /// `worker-1`.
    pub worker_id: String,
    /// Seconds of computing.
    pub duration_seconds: f64,
    /// RFC 3339, UTC.
    pub completed_at: String,
    /// What its values came to.
    pub stats: Stats,
}

impl TaskResult {
    /// The message.
    pub fn to_fields(&self) -> Fields {
        owned(self.values().into())
    }

    fn values(&self) -> [(&'static str, String); ResultField::ALL.len()] {
        ResultField::ALL.map(|field| {
            let mut value = String::new();
            self.write(field, &mut value);
            (field.name(), value)
        })
    }

    /// Appends the value of one of its fields.
    pub fn write(&self, field: ResultField, text: &mut String) {
        let written = match field {
            ResultField::ChunkId => write!(text, "{}", ChunkId(self.chunk_index)),
            ResultField::WorkerId => text.write_str(&self.worker_id),
            ResultField::Status => text.write_str(COMPLETED),
            ResultField::DurationSeconds => write!(text, "{:.4}", self.duration_seconds),
            ResultField::CompletedAt => text.write_str(&self.completed_at),
            ResultField::ResultData => text.write_str(&json_text(&self.stats)),
        };
        written.expect("a text takes everything");
    }

    /// Whether this can be the result of a chunk of the sweep.
    ///
    /// # Errors
    /// One fragment that says why not.
    pub fn check(&self, sweep: &Sweep) -> Result<(), String> {
        self.stats.check(sweep.chunk_if_any(self.chunk_index)?.params())
    }

    /// Reads a message.
    ///
    /// # Errors
    /// One fragment that says which field is wrong. What is not `completed` is no result.
    pub fn from_fields(fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self, String> {
        let [id, worker_id, status, duration, data] = values(fields, &RESULT)?;
        match status {
            Some(COMPLETED) => {}
            Some(other) => {
                let other = bounded(other);
                return Err(format!("status is {other:?}, and a result is {COMPLETED:?}"));
            }
            None => return Err(format!("status is missing, and a result is {COMPLETED:?}")),
        }
        let data = data.ok_or("result_data is missing")?;
        Ok(Self {
            chunk_index: number("chunk_id", id)?,
            worker_id: worker_id.unwrap_or("unknown").to_owned(),
            duration_seconds: duration
                .and_then(|text| text.parse().ok())
                .filter(|seconds: &f64| seconds.is_finite())
                .unwrap_or(0.0),
            completed_at: get(fields, "completed_at").unwrap_or_default().to_owned(),
            stats: serde_json::from_str(data)
                .map_err(|error| format!("result_data is not readable: {error}"))?,
        })
    }
}

/// A task that nobody will attempt again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The task's own fields, or what of it could be kept.
    pub task: Fields,
    /// Why.
    pub last_error: String,
    /// RFC 3339, UTC.
    pub failed_at: String,
    /// Failed attempts.
    pub retry_count: u32,
}

impl DeadLetter {
    /// The message: the task's fields with `status`, `last_error`, `failed_at`, `retry_count`.
    pub fn to_fields(&self) -> Fields {
        let mut fields: Fields = self
            .task
            .iter()
            .filter(|(name, _)| !LETTER_FIELDS.contains(&name.as_str()))
            .take(FIELDS_BOUND)
            .map(|(name, value)| (bounded(name), bounded(value)))
            .collect();
        let values = [
            "dead_lettered".to_owned(),
            bounded(&self.last_error),
            self.failed_at.clone(),
            self.retry_count.to_string(),
        ];
        fields.extend(LETTER_FIELDS.map(str::to_owned).into_iter().zip(values));
        fields
    }

    /// Reads a message. Every message is readable: what is missing stays empty.
    pub fn from_fields(fields: Fields) -> Self {
        let text = |name| get(&fields, name).unwrap_or_default().to_owned();
        let (last_error, failed_at) = (text("last_error"), text("failed_at"));
        let retry_count = text("retry_count").parse().unwrap_or(0);
        Self { task: fields, last_error, failed_at, retry_count }
    }

    /// The task, where it can be read.
    pub fn task(&self) -> Option<Task> {
        Task::from_fields(&self.task).ok()
    }
}

/// The value of a field.
pub fn get<'a>(fields: &'a [(impl AsRef<str>, impl AsRef<str>)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field.as_ref() == name).map(|(_, value)| value.as_ref())
}

/// Milliseconds since 1970 of a time as the wire writes it.
pub fn ms(time: &str) -> Option<i64> {
    time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// The present moment as the wire writes it.
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn owned(fields: Vec<(&str, String)>) -> Fields {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The values of these names. A name that is there twice is read in two ways by two readers.
fn values<'a, const N: usize>(
    fields: &'a [(impl AsRef<str>, impl AsRef<str>)],
    names: &[&str; N],
) -> Result<[Option<&'a str>; N], String> {
    let mut values = [None; N];
    for (name, value) in fields {
        let name = name.as_ref();
        if let Some(place) = names.iter().position(|known| *known == name)
            && values[place].replace(value.as_ref()).is_some()
        {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok(values)
}

fn number(name: &str, value: Option<&str>) -> Result<u64, String> {
    optional_number(name, value)?.ok_or_else(|| format!("{name} is missing"))
}

fn optional_number(name: &str, value: Option<&str>) -> Result<Option<u64>, String> {
    value
        .map(|text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|_| digits);
            number.ok_or_else(|| format!("{name} is {:?}, not a whole number", bounded(text)))
        })
        .transpose()
}

fn json_text(stats: &Stats) -> String {
    serde_json::to_string(stats).expect("stats are plain numbers")
}

fn bounded(text: &str) -> String {
    text.char_indices().take_while(|(at, _)| *at < RAW_BOUND).map(|(_, c)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn task() -> Task {
        Task {
            chunk: Chunk { index: 42, start: 4200, end: 4300 },
            total_params: 10_000,
            total_chunks: 100,
            created_at: "2026-01-02T03:04:05Z".to_owned(),
            retry_count: 0,
            replays: 0,
        }
    }

    #[test]
    fn a_task_has_the_fields_of_the_contract() {
        insta::assert_snapshot!(to_json(&task().to_fields()), @r#"{"chunk_id":"00042","created_at":"2026-01-02T03:04:05Z","end_param":"4300","params_count":"100","start_param":"4200","status":"pending","total_chunks":"100","total_params":"10000"}"#);
    }

    #[test]
    fn on_rabbitmq_a_task_says_how_often_it_failed_from_the_first_on() {
        let again = Task { retry_count: 2, ..task() };
        let message = |task: &Task| to_message(&task.to_fields());
        assert!(message(&task()).contains(r#""retry_count":0"#), "{}", message(&task()));
        assert!(message(&again).contains(r#""retry_count":2"#), "{}", message(&again));
        for task in [task(), again] {
            assert_eq!(Task::from_fields(&from_json(&message(&task))), Ok(task));
        }
    }

    #[test]
    fn a_result_has_the_fields_of_the_contract() {
        let stats = Stats { sum: 1.5, count: 2, min: 0.5, max: 1.0, avg: 0.75 };
        let result = TaskResult {
            chunk_index: 42,
            worker_id: "worker-1".to_owned(),
            duration_seconds: 0.207_14,
            completed_at: "2026-01-02T03:04:05Z".to_owned(),
            stats,
        };
        let fields = result.to_fields();
        insta::assert_snapshot!(to_json(&fields), @r#"{"chunk_id":"00042","completed_at":"2026-01-02T03:04:05Z","duration_seconds":"0.2071","result_data":"{\"sum\":1.5,\"count\":2,\"min\":0.5,\"max\":1.0,\"avg\":0.75}","status":"completed","worker_id":"worker-1"}"#);
        assert_eq!(TaskResult::from_fields(&fields).map(|r| r.stats), Ok(stats));
    }

    #[test]
    fn a_task_reads_back_and_ignores_what_it_does_not_know() {
        let mut fields = task().to_fields();
        fields.push(("colour".to_owned(), "blue".to_owned()));
        assert_eq!(Task::from_fields(&fields), Ok(task()));
        let numbers = r#"{"chunk_id":"00042","start_param":4200,"end_param":4300,"retry_count":2}"#;
        assert_eq!(Task::from_fields(&from_json(numbers)).map(|t| t.retry_count), Ok(2));
    }

    #[test]
    fn a_task_that_was_replayed_says_so_and_is_no_submission() {
        let again = Task { replays: 2, ..task() };
        assert_eq!(get(&again.to_fields(), "replays"), Some("2"));
        assert_eq!(Task::from_fields(&again.to_fields()), Ok(again.clone()));
        let retry = Task { retry_count: 1, ..task() };
        assert_eq!([task(), again, retry].map(|task| task.is_first()), [true, false, false]);
    }

    #[rstest]
    #[case::missing(r#"{"start_param":"1","end_param":"2"}"#, "chunk_id is missing")]
    #[case::text(
        r#"{"chunk_id":"x","start_param":"1","end_param":"2"}"#,
        "chunk_id is \"x\", not a whole number"
    )]
    #[case::negative(
        r#"{"chunk_id":"1","start_param":"-1","end_param":"2"}"#,
        "start_param is \"-1\", not a whole number"
    )]
    #[case::reversed(
        r#"{"chunk_id":"1","start_param":"9","end_param":"2"}"#,
        "end_param 2 is not above start_param 9"
    )]
    #[case::count(
        r#"{"chunk_id":"1","start_param":"1","end_param":"2","params_count":"7"}"#,
        "params_count is 7, but the range has 1 parameters"
    )]
    #[case::beyond(
        r#"{"chunk_id":"9","start_param":"1","end_param":"2","total_chunks":"3"}"#,
        "chunk_id 00009 is not below the 3 chunks"
    )]
    #[case::garbage("\u{0} not json", "chunk_id is missing")]
    fn a_task_that_cannot_be_read_says_why(#[case] text: &str, #[case] reason: &str) {
        assert_eq!(Task::from_fields(&from_json(text)), Err(reason.to_owned()));
    }

    #[test]
    fn a_field_that_is_there_twice_makes_no_task_and_no_result() {
        let twice = |mut fields: Fields, name: &str| {
            fields.push((name.to_owned(), "1".to_owned()));
            fields
        };
        let fields = twice(task().to_fields(), "start_param");
        assert_eq!(Task::from_fields(&fields), Err("start_param is there twice".to_owned()));
        assert_eq!(Task::from_fields(&twice(twice(task().to_fields(), "x"), "x")), Ok(task()));
        let fields = from_json(r#"{"chunk_id": "1", "status": "failed", "chunk_id": 2}"#);
        assert_eq!(TaskResult::from_fields(&fields), Err("chunk_id is there twice".to_owned()));
    }

    #[test]
    fn a_dead_letter_keeps_the_task_and_says_why() {
        let letter = DeadLetter {
            task: task().to_fields(),
            last_error: "division by zero".to_owned(),
            failed_at: "2026-01-02T03:04:06Z".to_owned(),
            retry_count: 4,
        };
        let read = DeadLetter::from_fields(letter.to_fields());
        assert_eq!(read.task().map(|t| t.chunk), Some(task().chunk));
        assert_eq!(get(&read.task, "status"), Some("dead_lettered"));
        assert_eq!((read.last_error.as_str(), read.retry_count), ("division by zero", 4));
    }

    #[test]
    fn a_dead_letter_says_why_it_is_one_and_not_what_its_task_says_of_itself() {
        let task =
            from_json(r#"{"last_error":"x","failed_at":"never","colour":"blue","retry_count":7}"#);
        let letter = DeadLetter {
            task,
            last_error: "chunk_id is missing".to_owned(),
            failed_at: "2026-01-02T03:04:06Z".to_owned(),
            retry_count: 0,
        };
        let said = r#"{"colour":"blue","failed_at":"2026-01-02T03:04:06Z","last_error":"chunk_id is missing","retry_count":0,"status":"dead_lettered"}"#;
        assert_eq!(to_message(&letter.to_fields()), said);
        assert_eq!(DeadLetter::from_fields(letter.to_fields()).last_error, "chunk_id is missing");
    }
}
