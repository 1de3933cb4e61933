//! The coordinator: submits a sweep's chunks, each exactly once, however often it is started.

use serde::Serialize;
use tokio::time::sleep;

use crate::chunk::Sweep;
use crate::queue::{RECONCILE_EVERY, Reconciled, Result, Submit};

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
    /// Chunks that were open and in no queue any more.
    pub chunks_resubmitted: u64,
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
    let chunks_resubmitted = if found > 0 { resubmit_lost(broker).await? } else { 0 };
    Ok(Summary {
        status: "submitted",
        total_chunks: total,
        chunks_found: found,
        chunks_submitted: total - found.min(total),
        chunks_resubmitted,
    })
}

/// Sees to it that what was found open is still in a queue. Waits while that is not sure.
async fn resubmit_lost(broker: &dyn Submit) -> Result<u64> {
    loop {
        let Reconciled { in_doubt, resubmitted, .. } = broker.reconcile().await?;
        if !in_doubt {
            return Ok(resubmitted);
        }
        sleep(RECONCILE_EVERY).await;
    }
}
