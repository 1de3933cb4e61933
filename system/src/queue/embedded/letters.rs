//! Dead letters: a table of them, and one of the chunks whose letters were dropped.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};

use super::{Embedded, is_settled, text};
use crate::queue::letters::{Course, replayed};
use crate::queue::{DeadLetters, Decide, Decision, Inspect, Result};
use crate::wire::{self, DeadLetter, Task};

/// Letters per read.
const PAGE: usize = 100;

#[async_trait(?Send)]
impl DeadLetters for Embedded {
    async fn sift(&self, decide: &mut Decide<'_>) -> Result<u64> {
        let course = Course::default();
        let sifted = self.sift_all(decide, &course).await;
        sifted.map(|()| 0).map_err(|cause| course.broken_off(cause))
    }
}

impl Embedded {
    async fn sift_all(&self, decide: &mut Decide<'_>, course: &Course) -> Result<()> {
        let sweep = self.sweep().await?.map(|info| info.sweep);
        let newest = "SELECT coalesce(max(seq), 0) FROM dead_letters";
        let newest: i64 = self.with(|c| c.query_row(newest, [], |row| row.get(0))).await?;
        course.begin(self.depths().await?.letters);
        let mut after = 0;
        loop {
            let page = self.letters(after, newest).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            for (seq, text) in page {
                let letter = DeadLetter::from_fields(wire::from_json(&text));
                match (decide(&letter), replayed(&letter, sweep.as_ref())) {
                    (Decision::Keep, _) | (Decision::Replay, Err(_)) => continue,
                    (Decision::Replay, Ok(task)) => self.replay(seq, task).await?,
                    (Decision::Drop, _) => self.discard(seq).await?,
                }
                course.goes_on(1);
            }
        }
    }

    async fn letters(&self, after: i64, newest: i64) -> Result<Vec<(i64, String)>> {
        self.with(move |connection| {
            let page = "SELECT seq, letter FROM dead_letters WHERE seq > ? AND seq <= ? \
                        ORDER BY seq LIMIT ?";
            let mut page = connection.prepare_cached(page)?;
            let rows =
                page.query_map((after, newest, PAGE), |row| Ok((row.get(0)?, text(row, 1)?)))?;
            rows.collect()
        })
        .await
    }

    /// Where the letter is gone, another was first, or this is a repetition.
    async fn replay(&self, seq: i64, task: Task) -> Result<()> {
        self.transact(move |t| {
            let remove = "DELETE FROM dead_letters WHERE seq = ? RETURNING chunk";
            let removed: Option<Option<u64>> =
                t.prepare_cached(remove)?.query_row([seq], |row| row.get(0)).optional()?;
            let Some(chunk) = removed else { return Ok(()) };
            t.prepare_cached("UPDATE sweep SET dead = dead - ?")?.execute([chunk.is_some()])?;
            if !is_settled(t, task.chunk.index)? {
                t.prepare_cached("INSERT INTO tasks (task) VALUES (?)")?
                    .execute([wire::to_json(&task.to_fields())])?;
            }
            Ok(())
        })
        .await
    }

    async fn discard(&self, seq: i64) -> Result<()> {
        self.transact(move |t| {
            t.prepare_cached(
                "INSERT OR IGNORE INTO dropped (chunk) \
                 SELECT chunk FROM dead_letters WHERE seq = ? AND chunk IS NOT NULL",
            )?
            .execute(params![seq])?;
            t.prepare_cached("DELETE FROM dead_letters WHERE seq = ?")?.execute([seq]).map(drop)
        })
        .await
    }
}
