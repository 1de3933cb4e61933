//! What can be observed of a run. Every output of the harness is made from these events alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One event and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Seconds since the run began. Where the broker says when (a result, a task), this is its
    /// time, so records may be slightly out of order.
    pub t_s: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
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
        /// The last line it wrote to standard error, where it failed by itself.
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
    /// What the broker holds of a chunk's task is not one submission. Written at the end.
    Resubmitted {
        /// The chunk's id.
        chunk_id: String,
        /// How often it was submitted.
        times: u64,
    },
    /// Dead letters were replayed. Those that are still there are told again after this.
    Replayed {
        /// How many.
        letters: u64,
    },
    /// A report of the system's own aggregator, when it was seen.
    Aggregate(SeenAggregate),
    /// Attempts that failed and were made again. Written at the end.
    Retried {
        /// How many.
        attempts: u64,
    },
    /// Chunks that were delivered more than once, by the broker's count. Written at the end; where
    /// they are many, several times, each of other chunks.
    Redelivered {
        /// How many deliveries beyond the first of each chunk.
        deliveries: u64,
        /// How many of which chunk, by its id, where a second result is excused by one.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        chunks: BTreeMap<String, u64>,
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
    /// The broker could not be read to the end: what it holds is not known.
    BrokerLost {
        /// Why.
        reason: String,
    },
    /// Nothing more will happen.
    RunEnded {
        /// Why the harness stopped watching.
        why: EndReason,
    },
}

/// One result message, as the wire contract has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
pub struct HeldChunk {
    /// The chunk's id.
    pub chunk_id: String,
    /// The delivery's number for that chunk: 1 for the first.
    pub delivery: u64,
}

/// A report of the system's own aggregator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}
