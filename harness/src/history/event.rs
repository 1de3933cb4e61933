//! What can be observed of a run. Every output of the harness is made from these events alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One event and when it happened. Its form in the file is [`Record::write`]'s.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Seconds since the run began. Where the broker says when (a result, a task), this is its
    /// time, so records may be slightly out of order.
    pub t_s: f64,
    /// What happened.
    pub event: Event,
}

/// What happened. A variant has named fields, one structure with named fields, or nothing; a field
/// that it does not have is refused when a history is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The run began.
    RunStarted {
        /// RFC 3339, UTC.
        at: String,
    },
    /// The cluster on which the run's Pods are.
    ClusterReady {
        /// For people: context, address, version and nodes.
        cluster: String,
    },
    /// The broker answers.
    BrokerReady {
        /// For people: program, version and address or file.
        broker: String,
    },
    /// Somebody whom the harness needs is away, such as a cluster's API server, and is waited for.
    Waits {
        /// What is waited for, in one line; nothing any more.
        why: Option<String>,
    },
    /// A process of the system was started.
    ProcessStarted {
        /// `worker-0`, `coordinator` or `aggregator`.
        process: String,
        /// Operating system's process id; on a cluster, a number of the run's own.
        pid: u32,
    },
    /// A process of the system ended.
    ProcessExited {
        /// As in `ProcessStarted`.
        process: String,
        /// Operating system's process id.
        pid: u32,
        /// Exit code, where it exited.
        code: Option<i32>,
        /// Signal number, where a signal ended it.
        signal: Option<i32>,
        /// The last lines that it wrote to its log, where it failed by itself.
        said: Option<String>,
    },
    /// The first task was seen at the broker; wall time counts from here. In static mode: the
    /// first worker started.
    SweepStarted,
    /// A result was committed at the broker (in static mode: printed by a worker). Seen twice
    /// for one chunk, it was committed twice.
    Result(SeenResult),
    /// The harness computed a chunk again by itself, with the same kernel.
    Recomputed(SeenResult),
    /// The program failed when the harness was to compute a chunk again with it.
    NotRecomputed {
        /// The chunk's id.
        chunk_id: String,
        /// Half-open range of parameters, in static mode.
        range: Option<(u64, u64)>,
        /// What went wrong.
        reason: String,
    },
    /// A message among the results that is none.
    UnreadableResult {
        /// What is wrong with it.
        reason: String,
    },
    /// A dead letter was seen at the broker.
    DeadLettered {
        /// The chunk's id, where the letter has one.
        chunk_id: Option<String>,
        /// Half-open range of parameters, where the letter has one.
        range: Option<(u64, u64)>,
        /// Why.
        reason: String,
        /// Failed attempts.
        attempts: u32,
    },
    /// Attempts have failed so far, as workers and the broker tell while the sweep goes on.
    Attempts {
        /// How many are known.
        failed: u64,
        /// Failed tasks that wait for their next attempt at this moment.
        waiting: u64,
        /// Why the last of them failed, where a worker said so; it may have several lines.
        reason: Option<String>,
    },
    /// A fault was carried out on one target.
    FaultInjected {
        /// Its name in the plan.
        fault: String,
        /// Its kind: `kill`, `pause`, …
        kind: String,
        /// The process that it struck, or what it looked for where there was none.
        target: String,
        /// Whether it was proved to have taken effect.
        bit: bool,
        /// The proof, or why there is none: one lower-case fragment.
        proof: String,
        /// Chunks that the target held uncommitted at that moment.
        held: Vec<HeldChunk>,
    },
    /// A fault with a duration ended.
    FaultHealed {
        /// Its name in the plan.
        fault: String,
        /// The process.
        target: String,
        /// What was seen of its end, where that is a part of the proof.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<String>,
    },
    /// A chunk that a struck worker held is with another delivery, or committed.
    TakenOver {
        /// Name of the fault.
        fault: String,
        /// The chunk's id.
        chunk_id: String,
        /// The worker that was struck.
        from: String,
        /// The worker that has it now.
        to: String,
        /// Milliseconds from the strike to this moment.
        after_ms: f64,
    },
    /// What the broker holds of a chunk's task is not one submission. Written at the end, of the first.
    Resubmitted {
        /// The chunk's id.
        chunk_id: String,
        /// How often it was submitted.
        times: u64,
    },
    /// A task asks for another range than the plan has for its chunk, or for no chunk of the plan.
    /// Written at the end.
    WrongTask {
        /// The chunk's id.
        chunk_id: String,
        /// The half-open range that it asks for.
        range: (u64, u64),
        /// The parameters and the chunks of the whole sweep that it speaks of.
        totals: (u64, u64),
    },
    /// A message among the tasks that cannot be read. Written at the end.
    UnreadableTask {
        /// Why.
        reason: String,
    },
    /// How many of the plan's chunks have a task at the broker. Written at the end.
    Submitted {
        /// Chunks.
        chunks: u64,
        /// Tasks that ask for something else than the plan.
        wrong: u64,
        /// Messages among the tasks that cannot be read.
        unreadable: u64,
        /// Chunks that were submitted other than once.
        again: u64,
        /// Deliveries of tasks that came by another way than the wire contract's.
        bypassed: u64,
    },
    /// Dead letters were replayed. Those that are still there are told again after this.
    Replayed {
        /// How many.
        letters: u64,
    },
    /// A report of the system's own aggregator, when it was seen.
    Aggregate(SeenAggregate),
    /// What a foreign aggregator printed that looks like a report and cannot be read.
    UnreadableReport {
        /// Why.
        reason: String,
    },
    /// The same of a foreign aggregator that leaves out some of it.
    PartialAggregate(PartialAggregate),
    /// Attempts that failed and were made again. Written at the end; where they are many, several
    /// times, each of other chunks.
    Retried {
        /// How many.
        attempts: u64,
        /// How many failures the last attempt of each chunk had before it, by the chunk's id.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        chunks: BTreeMap<String, u32>,
    },
    /// Chunks that were delivered more than once, by the broker's count. Written at the end; where
    /// they are many, several times, each of other chunks.
    Redelivered {
        /// How many deliveries beyond the first of each chunk.
        deliveries: u64,
        /// How many of which chunk, by its id, where a second result is excused by one.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        chunks: BTreeMap<String, u64>,
        /// How many of them because the connection that the chunk was delivered over before is gone,
        /// as far as that was seen.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        lost: BTreeMap<String, u64>,
    },
    /// A task that nobody has settled, though everybody has left. Written at the end, of the first.
    OpenTask {
        /// The chunk's id, where the task can be read.
        chunk_id: Option<String>,
        /// The worker that has it, where the broker says that somebody has.
        holder: Option<String>,
    },
    /// A chunk without a result and without a dead letter, though a worker was seen with it. Written at
    /// the end, of the first.
    LastSeen {
        /// The chunk's id.
        chunk_id: String,
        /// The worker that was seen with it last.
        holder: String,
    },
    /// All results were read once more where they are stored, after everybody had left.
    Reread(Reread),
    /// A stored result is not the one that was seen. Written at the end, of the first.
    Changed {
        /// The chunk's id.
        chunk_id: String,
        /// The sum that was seen first; none where no result of the chunk was seen.
        was: Option<f64>,
        /// The sum that is there.
        is: f64,
        /// Whose result that says it is.
        worker: String,
    },
    /// How much was in each queue when the sweep was over, in messages.
    Depths {
        /// Tasks that nobody has settled.
        tasks: u64,
        /// Results.
        results: u64,
        /// Tasks that wait for their next attempt.
        retry: u64,
        /// Dead letters.
        letters: u64,
    },
    /// The harness itself told a process to end, because the run is over.
    Stopped {
        /// As in `ProcessStarted`.
        process: String,
        /// Signal number.
        signal: i32,
    },
    /// Who had what when the harness stopped watching a sweep that was not complete.
    StillHeld {
        /// The first chunks, by their worker.
        workers: BTreeMap<String, Vec<String>>,
        /// All chunks that are with workers.
        chunks: u64,
    },
    /// The machine lacks what the run needs, such as room on a disk: what fails from then on may be
    /// no fault of the system.
    MachineLacks {
        /// What, in one line.
        what: String,
    },
    /// A part of the harness itself crashed: a defect of ours.
    HarnessCrashed {
        /// Which, and what it said, in one line.
        what: String,
    },
    /// The broker could not be read to the end: what it holds is not known.
    BrokerLost {
        /// Why.
        reason: String,
    },
    /// Nothing more will happen. In the file, this line carries the history's seal.
    RunEnded {
        /// Why the harness stopped watching.
        why: EndReason,
    },
}

impl Event {
    /// Whether its time is the broker's, or that of a moment before it was told of; all else is
    /// told of at once, by the harness's own clock.
    pub fn has_time_of_its_own(&self) -> bool {
        matches!(
            self,
            Self::SweepStarted
                | Self::Result(_)
                | Self::UnreadableResult { .. }
                | Self::FaultInjected { .. }
        )
    }
}

/// One result message, as the wire contract has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenResult {
    /// The chunk's id: its index. In static mode, the id of a batch.
    pub chunk_id: String,
    /// Half-open range of parameters, where the message says it (static mode).
    pub range: Option<(u64, u64)>,
    /// `worker-0`.
    pub worker: String,
    /// Seconds of computing, as the worker says.
    pub duration_s: f64,
    /// Sum of the values.
    pub sum: f64,
    /// Number of values.
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean value.
    pub avg: f64,
}

/// A chunk held by a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldChunk {
    /// The chunk's id.
    pub chunk_id: String,
    /// The delivery's number for that chunk: 1 for the first.
    pub delivery: u64,
}

/// A report of the system's own aggregator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenAggregate {
    /// Chunks counted.
    pub chunks: u64,
    /// Result messages that it left out because their chunk was counted already.
    pub duplicates_removed: u64,
    /// Chunks that it says are dead, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_lettered: Option<u64>,
    /// Whether it says that the sweep is complete.
    pub complete: bool,
    /// Parameters counted.
    pub count: u64,
    /// Grand sum.
    pub sum: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean value.
    pub avg: f64,
}

/// What is stored at the end, beside what was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reread {
    /// Where: a stream, a queue or a table.
    pub place: String,
    /// Results that were seen while the run went on.
    pub seen: u64,
    /// Results that are there.
    pub stored: u64,
    /// Of those that were seen, how many are not there, and were not taken either.
    pub lost: u64,
    /// How many a foreign aggregator has taken.
    pub taken: u64,
    /// Of the lost ones, how many were delivered to somebody who is not to take any.
    pub taken_by_others: u64,
    /// Of those that are there, how many are other than what was seen, or there more often.
    pub changed: u64,
    /// How many messages are there that are no results, beyond those that were seen.
    #[serde(default)]
    pub unreadable: u64,
    /// The first chunks whose results are lost.
    pub chunks: Vec<String>,
}

/// As much of an aggregate as a foreign aggregator reported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is that of `SeenAggregate`")]
pub struct PartialAggregate {
    pub chunks: Option<u64>,
    pub duplicates_removed: Option<u64>,
    pub dead_lettered: Option<u64>,
    pub complete: Option<bool>,
    pub count: Option<u64>,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub avg: Option<f64>,
}

/// Why the harness stopped watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Every chunk is committed or dead, and every process has left.
    Complete,
    /// Every worker has left, and chunks are open.
    WorkersGone,
    /// The broker ended by itself.
    BrokerGone,
    /// Nothing was committed for the plan's `stall_after`.
    Stalled,
    /// The plan's `timeout` passed.
    TimedOut,
    /// The user asked for the end.
    Interrupted,
    /// A part of the harness itself crashed.
    Crashed,
}
