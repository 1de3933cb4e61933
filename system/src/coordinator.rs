//! The coordinator: submits a sweep's chunks, each exactly once, however often it is started.

use serde::Serialize;

use crate::chunk::Sweep;
use crate::queue::{Result, Submit};

/// Chunks per step. A coordinator that dies loses at most the step at hand, which then is not done.
const STEP: u64 = 500;

/// What a coordinator did: its last line on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Always `submitted`.
    pub status: &'static str,
    /// Chunks of the sweep.
    pub total_chunks: u64,
    /// Chunks that were there before it came.
    pub chunks_found: u64,
    /// Chunks that were missing then.
    pub chunks_submitted: u64,
}

/// Submits what is missing of the sweep.
///
/// # Errors
/// Where the broker holds another sweep, or does not answer.
pub async fn run(broker: &dyn Submit, sweep: &Sweep, job_id: Option<&str>) -> Result<Summary> {
    let found = broker.open(sweep, job_id).await?;
    let total = sweep.chunks();
    let mut submitted = found;
    while submitted < total {
        submitted = broker.submit(sweep, submitted, (submitted + STEP).min(total)).await?;
    }
    Ok(Summary {
        status: "submitted",
        total_chunks: total,
        chunks_found: found,
        chunks_submitted: total - found.min(total),
    })
}
