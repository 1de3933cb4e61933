//! The onlooker's side. Nothing here changes what the file holds.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::time::Instant;

use super::clock::now_ms;
use super::submit::{SWEEP, check, read_sweep};
use super::{Embedded, WATCH, liveness, text};
use crate::chunk::Sweep;
use crate::queue::{
    Cursor, Depths, Held, Inspect, OpenTask, Progress, Readable, Redelivered, Result, Stamped,
    SweepInfo, Token,
};
use crate::wire::{self, DeadLetter, Task, TaskResult};

#[async_trait(?Send)]
impl Inspect for Embedded {
    async fn sweep(&self) -> Result<Option<SweepInfo>> {
        let found = self.with(|c| c.query_row(SWEEP, [], read_sweep).optional()).await?;
        if found.is_some() {
            self.keep_in_sight();
        }
        Ok(found.map(|(info, _)| info))
    }

    async fn standing(&self) -> Result<Progress> {
        let progress = self.with(progress).await?;
        if progress.total.is_some() {
            self.keep_in_sight();
        }
        Ok(progress)
    }

    async fn results(
        &self,
        cursor: &mut Cursor,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Stamped<Readable<TaskResult>>>> {
        let deadline = Instant::now() + wait;
        let mut pause = WATCH.0;
        loop {
            let found = self
                .page(
                    "SELECT seq, at_ms, result FROM results WHERE seq > ? ORDER BY seq LIMIT ?",
                    cursor,
                    max,
                    |row| Ok((row.get(1)?, text(row, 2)?)),
                )
                .await?;
            if !found.is_empty() || Instant::now() >= deadline {
                return Ok(found
                    .into_iter()
                    .map(|(at_ms, text)| Stamped { at_ms, what: TaskResult::from_json(&text) })
                    .collect());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(WATCH.1);
        }
    }

    async fn tasks(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<Stamped<Readable<Task>>>> {
        self.page(
            "SELECT id, submitted_ms, task FROM tasks WHERE id > ? ORDER BY id LIMIT ?",
            cursor,
            max,
            |row| {
                let task = Task::from_json(&text(row, 2)?);
                Ok(Stamped { at_ms: row.get(1)?, what: task })
            },
        )
        .await
    }

    async fn held(&self) -> Result<Vec<Held>> {
        self.with(|connection| {
            let held = "SELECT id, owner, delivery, task FROM tasks WHERE state = 'leased'";
            let mut held = connection.prepare_cached(held)?;
            let rows = held.query_map([], |row| {
                let task = Task::from_json(&text(row, 3)?);
                Ok(Held {
                    chunk_index: task.ok().map(|task| task.chunk.index),
                    worker: row.get(1)?,
                    token: Token { id: row.get::<_, i64>(0)?.to_string(), number: row.get(2)? },
                    begun: true,
                })
            })?;
            rows.collect()
        })
        .await
    }

    async fn dead_letters(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<DeadLetter>> {
        let letters = self
            .page(
                "SELECT seq, letter FROM dead_letters WHERE seq > ? ORDER BY seq LIMIT ?",
                cursor,
                max,
                |row| text(row, 1),
            )
            .await?;
        Ok(letters.iter().map(|text| DeadLetter::from_fields(wire::from_json(text))).collect())
    }

    async fn workers(&self) -> Result<usize> {
        liveness::signs(self.path()).map_err(|error| self.refused(error.to_string()))
    }

    async fn redelivered(&self) -> Result<Redelivered> {
        let count = "SELECT redelivered FROM sweep";
        let count = self.with(|c| c.query_row(count, [], |row| row.get(0)).optional()).await?;
        Ok(Redelivered { deliveries: count.unwrap_or(0), ..Redelivered::default() })
    }

    async fn open_tasks(&self, max: usize) -> Result<Vec<OpenTask>> {
        self.with(move |connection| {
            let open = "SELECT task, iif(state = 'leased', owner, NULL) FROM tasks
                        WHERE state IN ('ready', 'leased') ORDER BY id LIMIT ?";
            let mut open = connection.prepare_cached(open)?;
            let rows = open.query_map([max], |row| {
                let holder = row.get(1)?;
                Ok(OpenTask { holder, ..OpenTask::waiting(&wire::from_json(&text(row, 0)?)) })
            })?;
            rows.collect()
        })
        .await
    }

    async fn depths(&self) -> Result<Depths> {
        let count = "SELECT
            (SELECT count(*) FROM tasks WHERE state = 'leased' OR state = 'ready' AND due_ms <= ?1),
            (SELECT count(*) FROM results),
            (SELECT count(*) FROM tasks WHERE state = 'ready' AND due_ms > ?1),
            (SELECT count(*) FROM dead_letters)";
        self.with(move |c| {
            c.query_row(count, [now_ms()], |row| {
                Ok(Depths {
                    tasks: row.get(0)?,
                    results: row.get(1)?,
                    retry: row.get(2)?,
                    letters: row.get(3)?,
                })
            })
        })
        .await
    }
}

impl Embedded {
    /// Rows after the cursor, which moves on; the first column is the row's place.
    async fn page<T: Send + 'static>(
        &self,
        query: &'static str,
        cursor: &mut Cursor,
        max: usize,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Result<Vec<T>> {
        let from: i64 = cursor.0.parse().unwrap_or(i64::MIN);
        let rows: Vec<(i64, T)> = self
            .with(move |connection| {
                let mut page = connection.prepare_cached(query)?;
                let rows = page.query_map((from, max), |row| Ok((row.get(0)?, read(row)?)))?;
                rows.collect()
            })
            .await?;
        if let Some((last, _)) = rows.last() {
            cursor.0 = last.to_string();
        }
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

pub(super) fn progress(connection: &mut Connection) -> rusqlite::Result<Progress> {
    connection
        .prepare_cached(
            "SELECT start_param, params, chunk_size, submitted, committed, dead FROM sweep",
        )?
        .query_row([], |row| {
            let sweep = Sweep { start: row.get(0)?, params: row.get(1)?, chunk_size: row.get(2)? };
            check(&sweep)?;
            Ok(Progress {
                total: Some(sweep.chunks()),
                submitted: row.get(3)?,
                committed: row.get(4)?,
                dead: row.get(5)?,
            })
        })
        .optional()
        .map(Option::unwrap_or_default)
}
