//! A sweep that somebody else's coordinator has begun: only its tasks and results tell of it.

use std::collections::HashMap;

use ::redis::cmd;

use super::keys::{PROGRESS, RESULTS, TASKS};
use super::submit::from_metadata;
use super::{Entry, EntryFields, Redis};
use crate::queue::told::Told;
use crate::queue::{Cursor, QueueError, Result, SweepInfo};
use crate::wire::{Task, TaskResult};

/// Tasks that are looked at for one that tells of its sweep.
const LOOK: usize = 100;

impl Redis {
    /// The sweep that its first tasks tell of, where nobody has written metadata and nobody of ours has
    /// submitted anything.
    pub(super) async fn told_by_tasks(&self) -> Result<Option<SweepInfo>> {
        let first = self.range(TASKS, &mut Cursor::default(), "+", LOOK).await?;
        let mut told = Told::default();
        each_task(first, |task| told.take_in(&task));
        let Some(sweep) = told.sweep() else { return Ok(None) };
        let counted = self.link.call(async |mut c| {
            cmd("HEXISTS").arg(PROGRESS).arg("submitted").query_async::<bool>(&mut c).await
        });
        Ok((!counted.await?).then_some(sweep))
    }

    /// How many chunks of somebody else's sweep there are, all before the first that is neither a task nor
    /// has a result; it begins when its first task was made.
    ///
    /// # Errors
    /// [`QueueError::OtherSweep`] where it is not the one that is asked for.
    pub(super) async fn look_over(
        &self,
        metadata: &HashMap<String, String>,
        asked: &mut SweepInfo,
    ) -> Result<u64> {
        let there = from_metadata(metadata);
        if !metadata.is_empty() && !there.as_ref().is_some_and(|there| there.is(asked)) {
            return Err(self.other_sweep(there, asked));
        }
        let sweep = asked.sweep;
        let mut told = Told::default();
        let mut is_there = vec![false; sweep.chunks() as usize];
        let mut note = |chunk: u64| {
            if let Some(it) = is_there.get_mut(chunk as usize) {
                *it = true;
            }
        };
        self.each_page(TASKS, &mut Cursor::default(), |page| {
            each_task(page, |task| {
                told.take_in(&task);
                if task.check(&sweep).is_ok() {
                    note(task.chunk.index);
                }
            });
        })
        .await?;
        self.each_page(RESULTS, &mut Cursor::default(), |page| {
            let results = page
                .into_iter()
                .flat_map(|(_, EntryFields(fields))| TaskResult::from_fields(&fields));
            results.filter(|it| it.check(&sweep).is_ok()).for_each(|it| note(it.chunk_index));
        })
        .await?;
        if let Some(there) = told.contradicts(&sweep) {
            let (address, asked) = (self.settings.address.clone(), asked.to_string());
            return Err(QueueError::OtherSweep { address, there, asked });
        }
        if let Some(created_at) = told.created_at() {
            asked.created_at = created_at.to_owned();
        }
        Ok(is_there.iter().take_while(|it| **it).count() as u64)
    }
}

fn each_task(page: Vec<Entry>, show: impl FnMut(Task)) {
    page.into_iter().flat_map(|(_, EntryFields(fields))| Task::from_fields(&fields)).for_each(show);
}
