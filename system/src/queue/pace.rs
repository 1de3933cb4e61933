//! How often a worker looks for what the dead left behind.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// The moment of the next look, and the time between two.
pub(super) struct Pace {
    interval: Duration,
    next: Cell<Option<Instant>>,
}

impl Pace {
    /// The first look is due at once.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, next: Cell::new(None) }
    }

    /// Whether it is time to look, and sets the next time. Who comes a moment too early, as ticks
    /// of the same length do, need not come again.
    pub(super) fn is_due(&self) -> bool {
        let now = Instant::now();
        let due = self.next.get().is_none_or(|next| next <= now + self.interval / 4);
        if due {
            self.next.set(Some(now + self.interval));
        }
        due
    }

    /// Whether the next look is no later than it should be by one interval.
    pub(super) fn is_kept(&self) -> bool {
        self.next.get().is_some_and(|next| Instant::now() < next + self.interval)
    }

    /// The next look is so many intervals away; one is the usual.
    pub(super) fn next_after(&self, intervals: f64) {
        self.next.set(Some(Instant::now() + self.interval.mul_f64(intervals)));
    }

    /// The next look is due at once.
    pub(super) fn look_at_once(&self) {
        self.next.set(None);
    }
}
