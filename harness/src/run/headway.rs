//! Whether a sweep gets on: when it last came to something that was not there before, and how long its
//! chunks take.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// How long workers may take to come to anything at all, whatever silence is allowed later: what a program
/// needs to start is no silence of the sweep.
const START: Duration = Duration::from_secs(15);

/// The clock by which a sweep counts as stuck.
pub(super) struct Headway {
    /// When the first task was there.
    begun: Cell<Instant>,
    last: Cell<Instant>,
    /// From when on silence counts: what a fault held up has all the time again.
    counts_from: Cell<Instant>,
    has_begun: Cell<bool>,
    longest: Cell<Duration>,
}

impl Headway {
    /// Nothing is done yet.
    pub(super) fn none() -> Self {
        let now = Instant::now();
        Self {
            begun: Cell::new(now),
            last: Cell::new(now),
            counts_from: Cell::new(now),
            has_begun: Cell::new(false),
            longest: Cell::default(),
        }
    }

    /// The first task is there.
    pub(super) fn begins(&self) {
        self.begun.set(Instant::now());
        self.waits_anew();
    }

    /// The sweep has come to something new.
    pub(super) fn comes_on(&self) {
        self.has_begun.set(true);
        self.last.set(Instant::now());
        self.waits_anew();
    }

    /// Silence counts from now on.
    pub(super) fn waits_anew(&self) {
        self.counts_from.set(Instant::now());
    }

    /// Takes note of how long a chunk took, as its worker says.
    pub(super) fn took(&self, seconds: f64) {
        let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.longest.set(self.longest.get().max(took));
    }

    /// The longest time that a chunk has taken.
    pub(super) fn longest(&self) -> Duration {
        self.longest.get()
    }

    /// From its first task to the last new thing that it came to.
    pub(super) fn sweep_took(&self) -> Duration {
        self.last.get().saturating_duration_since(self.begun.get())
    }

    /// How long nothing new has come, whatever faults are about.
    pub(super) fn silent_for(&self) -> Duration {
        self.last.get().elapsed()
    }

    /// Whether it is silent for longer than this, faults aside.
    pub(super) fn is_silent(&self, allowed: Duration) -> bool {
        let allowed = if self.has_begun.get() { allowed } else { allowed.max(START) };
        self.counts_from.get().elapsed() >= allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_begins_anew_after_a_fault_but_that_is_nothing_new() {
        let headway = Headway::none();
        headway.comes_on();
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(headway.is_silent(Duration::from_secs(8)));
        headway.waits_anew();
        assert!(!headway.is_silent(Duration::from_secs(8)));
        assert_eq!(headway.silent_for(), Duration::from_secs(8));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_program_needs_to_start_is_no_silence() {
        let headway = Headway::none();
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(!headway.is_silent(Duration::from_secs(2)));
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(headway.is_silent(Duration::from_secs(2)));
        headway.comes_on();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(headway.is_silent(Duration::from_secs(2)));
    }

    #[test]
    fn the_longest_chunk_is_kept_and_nonsense_is_not() {
        let headway = Headway::none();
        for seconds in [2.0, 3.5, -1.0, f64::NAN, f64::INFINITY, 1.0] {
            headway.took(seconds);
        }
        assert_eq!(headway.longest(), Duration::from_millis(3500));
    }
}
