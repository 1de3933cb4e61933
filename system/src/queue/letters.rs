//! What people do with dead letters: keep, replay or drop them, one by one.

use std::cell::Cell;

use async_trait::async_trait;

use super::{QueueError, Result};
use crate::chunk::Sweep;
use crate::wire::{DeadLetter, Task};

/// What becomes of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Keep,
    /// Its task is to be attempted again. A letter that no task can be read from stays.
    Replay,
    /// It goes, and its chunk stays dead.
    Drop,
}

/// Says what becomes of each.
pub type Decide<'a> = dyn FnMut(&DeadLetter) -> Decision + 'a;

/// What somebody who looks after dead letters asks of a broker.
#[async_trait(?Send)]
pub trait DeadLetters {
    /// Shows every dead letter that is there, in their order, to `decide`, and does with each what
    /// it says. What becomes one meanwhile is left for the next time, so that this comes to an end
    /// even where a replayed chunk fails at once.
    ///
    /// A letter that is replayed becomes the task of [`replayed`], and its chunk is open again;
    /// where the chunk is committed all the same, only the letter goes. One that is dropped is
    /// gone, and its chunk stays dead. Each is one step of its own: after an error some are done
    /// and the others are still there.
    ///
    /// Says how many more letters are known of, which could not be shown: on RabbitMQ somebody can have
    /// them, or have taken them away.
    ///
    /// # Errors
    /// [`QueueError::HalfSifted`] where it broke off on the way.
    async fn sift(&self, decide: &mut Decide<'_>) -> Result<u64>;
}

/// How far a sifting has come.
#[derive(Default)]
pub(super) struct Course {
    there: Cell<u64>,
    done: Cell<u64>,
}

impl Course {
    /// So many letters are there.
    pub(super) fn begin(&self, there: u64) {
        self.there.set(there);
    }

    /// So many more are gone.
    pub(super) fn goes_on(&self, by: usize) {
        self.done.set(self.done.get() + by as u64);
    }

    /// An error that says how far it came. Where nothing was there yet, there is nothing to say.
    pub(super) fn broken_off(&self, cause: QueueError) -> QueueError {
        let (there, done) = (self.there.get(), self.done.get());
        match there {
            0 => cause,
            _ => QueueError::HalfSifted {
                done,
                left: there.saturating_sub(done),
                cause: Box::new(cause),
            },
        }
    }
}

/// The task that a dead letter becomes when it is replayed: with no failed attempt, and known for
/// a replay.
///
/// # Errors
/// One fragment that says why there is none, or none of this sweep's.
pub fn replayed(letter: &DeadLetter, sweep: Option<&Sweep>) -> std::result::Result<Task, String> {
    let task = Task::from_fields(&letter.task)?;
    sweep.map_or(Ok(()), |sweep| task.check(sweep))?;
    Ok(Task { retry_count: 0, replays: task.replays.saturating_add(1), ..task })
}
