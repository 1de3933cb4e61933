//! Tasks that somebody has deleted from the file, and results.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Transaction};

use super::Embedded;
use super::submit::{SWEEP, read_sweep};
use crate::queue::reconcile::{Mark, Reconcile, Reconciled};
use crate::queue::{QueueError, Result, SweepInfo};
use crate::wire::{self, Task};

/// Tasks that are with somebody or wait.
const QUEUED: &str = "SELECT count(*) FROM tasks WHERE state IN ('ready', 'leased')";

/// Results that are there.
const STORED: &str = "SELECT count(*) FROM results";

/// Chunks that are submitted, and neither settled nor queued.
const LOST: &str = "
    WITH RECURSIVE chunks (id) AS
        (SELECT 0 WHERE ?1 > 0 UNION ALL SELECT id + 1 FROM chunks WHERE id + 1 < ?1)
    SELECT id FROM chunks
    WHERE NOT EXISTS (SELECT 1 FROM results WHERE chunk = id)
      AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE chunk = id)
      AND NOT EXISTS (SELECT 1 FROM dropped WHERE chunk = id)
      AND id NOT IN (SELECT CAST(json_extract(task, '$.chunk_id') AS INTEGER) FROM tasks
                     WHERE state IN ('ready', 'leased') AND json_valid(task))";

/// What one look shows.
struct Look {
    info: SweepInfo,
    submitted: u64,
    committed: u64,
    /// Chunks that are not settled.
    open: u64,
    queued: u64,
    /// Results are missing, as far as they were counted.
    gone: bool,
}

#[async_trait(?Send)]
impl Reconcile for Embedded {
    async fn reconcile(&self) -> Result<Reconciled> {
        // Whoever waits must not queue up for the write lock.
        let Some(now) = self.with(|c| look(&c.transaction()?)).await? else {
            return Ok(Reconciled::default());
        };
        self.keep_in_sight();
        let Look { submitted, committed, open, queued, gone, .. } = now;
        let mark = Mark { created_at: now.info.created_at, submitted, committed };
        if gone || self.state().high_water.has_fallen(mark) {
            return Err(QueueError::lost(&self.settings.address));
        }
        let resubmitted = if queued < open { self.transact(resubmit).await? } else { 0 };
        Ok(Reconciled { open: open.max(queued), in_doubt: false, resubmitted })
    }
}

fn look(t: &Transaction<'_>) -> rusqlite::Result<Option<Look>> {
    let Some((info, submitted)) = t.query_row(SWEEP, [], read_sweep).optional()? else {
        return Ok(None);
    };
    let count = |query: &str| t.prepare_cached(query)?.query_row([], |row| row.get::<_, u64>(0));
    let committed = count("SELECT committed FROM sweep")?;
    let open = submitted.saturating_sub(committed + count("SELECT dead FROM sweep")?);
    let queued = count(QUEUED)?;
    // To count them takes longer the more there are.
    let gone = (open == 0 || queued < open) && count(STORED)? < committed;
    Ok(Some(Look { info, submitted, committed, open, queued, gone }))
}

/// Submits again what is lost.
fn resubmit(t: &Transaction<'_>) -> rusqlite::Result<u64> {
    let Some((info, submitted)) = t.query_row(SWEEP, [], read_sweep).optional()? else {
        return Ok(0);
    };
    let mut lost = t.prepare_cached(LOST)?;
    let lost = lost.query_map([submitted], |row| row.get(0))?;
    let lost = lost.collect::<rusqlite::Result<Vec<u64>>>()?;
    let created_at = wire::now();
    let mut insert = t.prepare_cached("INSERT INTO tasks (task) VALUES (?)")?;
    for index in &lost {
        let task = Task::first(&info.sweep, *index, &created_at);
        insert.execute([wire::to_json(&task.to_fields())])?;
    }
    Ok(lost.len() as u64)
}
