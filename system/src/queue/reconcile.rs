//! What is open and in no queue. A task can be deleted, trimmed, purged or expire behind our back, and a
//! server can come back older than it was: then counts do not add up, or go backwards. Whoever is
//! there, and has nothing else to do, holds them against each other.

use std::cell::RefCell;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::Result;

/// How often whoever waits reconciles.
pub(crate) const EVERY: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Chunks that are submitted and not settled, as far as is known: with somebody, waiting, or lost.
    pub open: u64,
    /// Whether some of them seem to be in no queue, and it is too early to be sure.
    pub in_doubt: bool,
    /// Chunks that were in no queue, and were submitted again just now.
    pub resubmitted: u64,
}

/// What whoever waits asks of a broker.
#[async_trait(?Send)]
pub trait Reconcile {
    /// Holds what is submitted, what is settled and what is queued against each other. Chunks that are
    /// open and in no queue are submitted again, once, however many look. Where everything adds up it
    /// costs the same for any sweep.
    ///
    /// A broker of which that cannot be known says that nothing is open.
    ///
    /// # Errors
    /// [`QueueError::SweepLost`](super::QueueError::SweepLost) where what was committed is gone.
    async fn reconcile(&self) -> Result<Reconciled> {
        Ok(Reconciled::default())
    }
}

/// How far a sweep had come when it was last looked at. What has gone back since is lost.
#[derive(Default)]
pub(super) struct HighWater(RefCell<Option<Mark>>);

/// A sweep, by the moment of its creation, and how far it had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) created_at: String,
    pub(super) submitted: u64,
    pub(super) committed: u64,
}

impl HighWater {
    /// Whether the sweep has gone back since the last time. Another sweep begins anew.
    pub(super) fn has_fallen(&self, now: Mark) -> bool {
        let mut highest = self.0.borrow_mut();
        let fallen = highest.as_ref().is_some_and(|highest| {
            highest.created_at == now.created_at
                && (now.submitted < highest.submitted || now.committed < highest.committed)
        });
        *highest = Some(now);
        fallen
    }
}

/// Since when something looks wrong, and what.
pub(super) struct Suspicion<T>(RefCell<Option<(T, Instant)>>);

impl<T> Default for Suspicion<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: PartialEq> Suspicion<T> {
    /// Whether it has looked wrong in this one way for so long. What changes is on its way.
    pub(super) fn has_lasted(&self, what: T, how_long: Duration) -> bool {
        let mut since = self.0.borrow_mut();
        match &*since {
            Some((before, since)) if *before == what => since.elapsed() >= how_long,
            _ => {
                *since = Some((what, Instant::now()));
                false
            }
        }
    }

    /// Nothing looks wrong.
    pub(super) fn is_over(&self) {
        self.0.replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(created_at: &str, submitted: u64, committed: u64) -> Mark {
        Mark { created_at: created_at.to_owned(), submitted, committed }
    }

    #[test]
    fn a_sweep_that_goes_back_is_lost_and_another_one_is_not() {
        let highest = HighWater::default();
        assert!(!highest.has_fallen(mark("a", 10, 5)));
        assert!(!highest.has_fallen(mark("a", 10, 6)));
        assert!(highest.has_fallen(mark("a", 10, 5)));
        assert!(highest.has_fallen(mark("a", 9, 5)));
        assert!(!highest.has_fallen(mark("b", 1, 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_is_no_loss() {
        let suspicion = Suspicion::default();
        let second = Duration::from_secs(1);
        assert!(!suspicion.has_lasted(3, second));
        tokio::time::advance(second).await;
        assert!(!suspicion.has_lasted(4, second));
        tokio::time::advance(second).await;
        assert!(suspicion.has_lasted(4, second));
        suspicion.is_over();
        assert!(!suspicion.has_lasted(4, second));
    }
}
