//! The coordinator's side.

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, params};

use super::Embedded;
use crate::chunk::Sweep;
use crate::queue::{QueueError, Result, Submit, SweepInfo};
use crate::wire::{self, Task};

/// The columns that [`read_sweep`] reads.
pub(super) const SWEEP: &str =
    "SELECT start_param, params, chunk_size, job_id, created_at, submitted FROM sweep";

#[async_trait(?Send)]
impl Submit for Embedded {
    async fn open(&self, sweep: &Sweep, job_id: Option<&str>) -> Result<u64> {
        let asked = SweepInfo::asked(sweep, job_id);
        let wanted = asked.clone();
        let (there, submitted) = self
            .transact(move |t| {
                let Sweep { start, params, chunk_size } = wanted.sweep;
                t.execute(
                    "INSERT OR IGNORE INTO sweep \
                     (id, start_param, params, chunk_size, job_id, created_at) \
                     VALUES (1, ?, ?, ?, ?, ?)",
                    params![start, params, chunk_size, wanted.job_id, wanted.created_at],
                )?;
                t.query_row(SWEEP, [], read_sweep)
            })
            .await?;
        self.keep_in_sight();
        if there.is(&asked) {
            return Ok(submitted);
        }
        let address = self.settings.address.clone();
        let (there, asked) = (there.to_string(), asked.to_string());
        Err(QueueError::OtherSweep { address, there, asked })
    }

    async fn submit(&self, sweep: &Sweep, from: u64, to: u64) -> Result<u64> {
        let sweep = *sweep;
        let there = self.transact(move |t| {
            // It may have been reset since, and another one opened.
            let open = t.query_row(SWEEP, [], read_sweep).optional()?;
            let Some((_, submitted)) = open.filter(|(info, _)| info.sweep == sweep) else {
                return Ok(None);
            };
            if submitted != from {
                return Ok(Some(submitted));
            }
            let created_at = wire::now();
            let mut insert = t.prepare_cached("INSERT INTO tasks (task) VALUES (?)")?;
            for index in from..to {
                let task = Task::first(&sweep, index, &created_at);
                insert.execute([wire::to_json(&task.to_fields())])?;
            }
            t.execute("UPDATE sweep SET submitted = ?", [to])?;
            Ok(Some(to))
        });
        there.await?.ok_or_else(|| QueueError::lost(&self.settings.address))
    }

    async fn reset(&self) -> Result<()> {
        self.transact(|t| {
            t.execute_batch(
                "DELETE FROM sweep; DELETE FROM tasks; DELETE FROM results; \
                 DELETE FROM dead_letters; DELETE FROM dropped; DELETE FROM releases; DELETE FROM kernels",
            )
        })
        .await
    }
}

/// Reads a row of [`SWEEP`]: the sweep and how many chunks are submitted.
pub(super) fn read_sweep(row: &Row<'_>) -> rusqlite::Result<(SweepInfo, u64)> {
    let sweep = Sweep { start: row.get(0)?, params: row.get(1)?, chunk_size: row.get(2)? };
    check(&sweep)?;
    let info = SweepInfo { sweep, job_id: row.get(3)?, created_at: row.get(4)? };
    Ok((info, row.get(5)?))
}

/// Refuses numbers that no sweep has, whoever has written them.
pub(super) fn check(sweep: &Sweep) -> rusqlite::Result<()> {
    sweep.check_bounds().map_err(|why| {
        let why = format!("the sweep in it cannot be: {why}");
        rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, why.into())
    })
}
