//! Whether a worker's kernel is the sweep's.
//!
//! It looks when it starts, so that somebody who has changed his program is told so at once, also where
//! everything is computed; and before it computes. It is written down before its first result is stored: a
//! program that computes nothing has computed no sweep. Both are done again when there may be another sweep by
//! now: nothing came for a while, something was settled by others, a lease was lost, or a task is newer than
//! those before it, as the first of each step of a coordinator is. Otherwise nobody is asked anything.

use std::cell::{Cell, RefCell};

use super::{Outcome, Worker};
use crate::queue::{KernelCheck, QueueError, Result};

/// Whether whoever asks knows that its kernel is the sweep's.
#[derive(Default)]
pub(super) struct Certainty {
    /// How often it was lost until now. Each answer holds until the next loss: one that comes while the
    /// broker is asked outdates the answer, and a question that is given up has none.
    losses: Cell<u64>,
    /// The count of losses when the last look was begun that was answered.
    looked: Cell<Option<u64>>,
    /// The same of the last time that the kernel was written down.
    recorded: Cell<Option<u64>>,
    /// When the newest task was made that it holds for.
    newest: RefCell<String>,
    /// It is another's.
    is_refused: Cell<bool>,
}

impl Certainty {
    pub(super) fn lose(&self) {
        self.losses.set(self.losses.get() + 1);
    }

    /// Whether what is computed is not the sweep's, and is stored nowhere.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.get()
    }
}

/// Whether the broker still answers whoever ends with this error, so that what is held can be given back.
pub(super) fn still_answers(error: &QueueError) -> bool {
    matches!(error, QueueError::OtherKernel { .. })
}

impl Worker {
    /// At the start.
    pub(super) async fn look_whose_it_is(&self) -> Outcome<()> {
        Ok(self.ask(KernelCheck::Look).await?)
    }

    /// Before the next chunk is computed.
    pub(super) async fn look_again(&self) -> Outcome<()> {
        let Certainty { looked, newest, .. } = &self.certainty;
        {
            let desk = self.desk.borrow();
            let Some(next) = desk.backlog.front() else { return Ok(()) };
            let mut newest = newest.borrow_mut();
            if next.task.created_at > *newest {
                self.certainty.lose();
                // Of a foreign coordinator's tasks each is newer than the one before.
                let made = desk.backlog.iter().map(|delivery| &delivery.task.created_at);
                newest.clone_from(made.max().unwrap_or(&next.task.created_at));
            }
        }
        let now = self.certainty.losses.get();
        if looked.get() != Some(now) {
            self.ask(KernelCheck::Look).await?;
            looked.set(Some(now));
        }
        Ok(())
    }

    /// Before results are stored.
    pub(super) async fn record_whose_it_is(&self) -> Result<()> {
        let Certainty { recorded, losses, .. } = &self.certainty;
        let now = losses.get();
        if recorded.get() != Some(now) {
            self.ask(KernelCheck::Record).await?;
            recorded.set(Some(now));
        }
        Ok(())
    }

    async fn ask(&self, check: KernelCheck) -> Result<()> {
        let check = if self.options.same_kernel { KernelCheck::Same } else { check };
        self.heed(self.queue.compute_with(&self.options.identity, check).await)
    }

    /// Remembers whether this says that the sweep is another's.
    pub(super) fn heed<T>(&self, answer: Result<T>) -> Result<T> {
        self.certainty.is_refused.set(answer.as_ref().is_err_and(still_answers));
        answer
    }
}
