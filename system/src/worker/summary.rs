//! How a worker ended, and what it did until then.

use std::time::Duration;

use serde::Serialize;

use crate::queue::QueueError;
use crate::stats::Stats;

/// What a worker did: its last line on standard output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// `worker-1`.
    pub worker_id: String,
    /// How it ended.
    pub status: Status,
    /// Chunks whose results it committed.
    pub chunks_processed: u64,
    /// Parameters of those.
    pub params_processed: u64,
    /// Seconds from start to end.
    pub duration_seconds: f64,
    /// Parameters per second of that.
    pub params_per_second: f64,
    /// What those chunks came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregates: Option<Stats>,
    /// What it had to do with the queue, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_stats: Option<QueueStats>,
}

/// What a worker had to do with its queue, in chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// Claimed, be it new or left behind by others.
    pub claimed: u64,
    /// Taken over while it was busy.
    pub taken_over: u64,
    /// Committed.
    pub committed: u64,
    /// Computed, and settled by somebody else before.
    pub already_settled: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The sweep is complete.
    Completed,
    /// There was nothing to do for the idle timeout, and nobody else had anything.
    Idle,
    /// It was asked to stop.
    Interrupted,
    /// The broker could not be reached any more, or no chunk can be computed here.
    Failed,
}

/// Why a worker could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The broker does not answer, or refuses.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// No chunk can be computed here.
    #[error("{worker} cannot compute anything, and gave its chunk back: {reason}")]
    Unusable {
        /// `worker-1`.
        worker: String,
        /// What the kernel says.
        reason: String,
    },
    /// Chunks fail on this worker and on no other.
    #[error(
        "{worker} gives up: the last {chunks} chunks that it tried failed, and there are other \
         workers; the last failure: {reason}"
    )]
    Unfit {
        /// `worker-1`.
        worker: String,
        /// How many in a row.
        chunks: u32,
        /// Why the last of them failed.
        reason: String,
    },
}

impl Summary {
    /// A summary of nothing yet.
    pub fn new(worker_id: &str) -> Self {
        Self {
            worker_id: worker_id.to_owned(),
            status: Status::Failed,
            chunks_processed: 0,
            params_processed: 0,
            duration_seconds: 0.0,
            params_per_second: 0.0,
            aggregates: None,
            queue_stats: None,
        }
    }

    /// Closes it.
    pub fn end(mut self, status: Status, took: Duration) -> Self {
        self.status = status;
        self.duration_seconds = took.as_secs_f64();
        if !took.is_zero() {
            self.params_per_second = self.params_processed as f64 / self.duration_seconds;
        }
        self
    }
}
