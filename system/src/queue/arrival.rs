//! What arrives from a broker: tasks, and what can only become a dead letter.

use std::cell::Cell;

use super::{Inspect, Result};
use crate::chunk::Sweep;
use crate::wire::{self, DeadLetter, Fields, Task};

/// What nobody will attempt (again).
pub(super) struct Dead {
    /// The chunk that is dead with it; none where the task is not one of the sweep's.
    pub(super) chunk: Option<u64>,
    pub(super) letter: DeadLetter,
}

impl Dead {
    /// The dead letter of a task whose last attempt failed.
    pub(super) fn failed(task: &Task, reason: &str) -> Self {
        Self::new(Some(task.chunk.index), task.to_fields(), reason.to_owned(), task.retry_count)
    }

    fn new(chunk: Option<u64>, task: Fields, last_error: String, retry_count: u32) -> Self {
        let letter = DeadLetter { task, last_error, failed_at: wire::now(), retry_count };
        Self { chunk, letter }
    }
}

/// The sweep as far as a worker knows it, to tell its tasks from garbage.
#[derive(Default)]
pub(super) struct Known(Cell<Option<Sweep>>);

impl Known {
    /// Whether nothing is known of it.
    pub(super) fn is_blank(&self) -> bool {
        self.0.get().is_none()
    }

    /// Takes this sweep to be the present one until a task says otherwise.
    pub(super) fn suppose(&self, sweep: Option<Sweep>) {
        self.0.set(sweep);
    }

    /// A task whose workers died or fell silent so often, as it was read, if it is the sweep's; or its dead letter,
    /// with its fields.
    pub(super) async fn arrival(
        &self,
        read: std::result::Result<Task, String>,
        fields: impl FnOnce() -> Fields,
        deaths: u64,
        max_deliveries: u32,
        broker: &dyn Inspect,
    ) -> Result<std::result::Result<Task, Dead>> {
        Ok(match self.of_the_sweep(read, broker).await? {
            Ok(task) if deaths >= u64::from(max_deliveries) => {
                let reason = format!(
                    "delivered {deaths} times, and each time the worker died or fell silent"
                );
                Err(Dead::new(Some(task.chunk.index), fields(), reason, task.retry_count))
            }
            Ok(task) => Ok(task),
            Err(reason) => {
                tracing::warn!(reason, "a task cannot be read");
                Err(Dead::new(None, fields(), reason, 0))
            }
        })
    }

    /// The task, or why it is none of the sweep's. Before it refuses one, it asks whether there is another
    /// sweep by now.
    async fn of_the_sweep(
        &self,
        read: std::result::Result<Task, String>,
        broker: &dyn Inspect,
    ) -> Result<std::result::Result<Task, String>> {
        let task = match read {
            Ok(task) => task,
            Err(reason) => return Ok(Err(reason)),
        };
        if self.0.get().is_none_or(|sweep| task.check(&sweep).is_err()) {
            self.0.set(broker.sweep().await?.map(|info| info.sweep));
        }
        Ok(self.0.get().map_or(Ok(()), |sweep| task.check(&sweep)).map(|()| task))
    }
}
