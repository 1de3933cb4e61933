//! Dead letters: a stream, and a bitmap of their chunks that outlives them.

use ::redis::cmd;
use async_trait::async_trait;

use super::keys::{COMMITTED, DEAD, LETTERS, PROGRESS, TASKS};
use super::{Entry, EntryFields, Redis};
use crate::queue::letters::{Course, replayed};
use crate::queue::{Cursor, DeadLetters, Decide, Decision, Inspect, Result};
use crate::wire::{DeadLetter, Task};

/// Letters per read.
const PAGE: usize = 100;

#[async_trait(?Send)]
impl DeadLetters for Redis {
    async fn sift(&self, decide: &mut Decide<'_>) -> Result<u64> {
        let course = Course::default();
        let sifted = self.sift_all(decide, &course).await;
        sifted.map(|()| 0).map_err(|cause| course.broken_off(cause))
    }
}

impl Redis {
    async fn sift_all(&self, decide: &mut Decide<'_>, course: &Course) -> Result<()> {
        let sweep = self.sweep().await?.map(|info| info.sweep);
        let newest: Vec<Entry> = self
            .link
            .call(async |mut c| {
                let mut newest = cmd("XREVRANGE");
                newest.arg(LETTERS).arg("+").arg("-").arg("COUNT").arg(1);
                newest.query_async(&mut c).await
            })
            .await?;
        let Some((newest, _)) = newest.first() else { return Ok(()) };
        course.begin(self.depths().await?.letters);
        let mut cursor = Cursor::default();
        loop {
            let page = self.range(LETTERS, &mut cursor, newest, PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            for (id, EntryFields(fields)) in page {
                let letter = DeadLetter::from_fields(fields);
                match (decide(&letter), replayed(&letter, sweep.as_ref())) {
                    (Decision::Keep, _) | (Decision::Replay, Err(_)) => continue,
                    (Decision::Replay, Ok(task)) => self.replay(&id, &task).await?,
                    (Decision::Drop, _) => self.delete(&id).await?,
                }
                course.goes_on(1);
            }
        }
    }

    async fn replay(&self, id: &str, task: &Task) -> Result<()> {
        let script = script!("replay");
        let mut script = script.key(TASKS);
        script.key(LETTERS).key(COMMITTED).key(DEAD).key(PROGRESS);
        script.arg(id).arg(task.chunk.index).arg(task.to_fields());
        self.run::<u8>(&mut script).await.map(drop)
    }

    async fn delete(&self, id: &str) -> Result<()> {
        self.link
            .call(async |mut c| cmd("XDEL").arg(LETTERS).arg(id).query_async(&mut c).await)
            .await
    }
}
