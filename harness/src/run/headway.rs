//! Whether a sweep gets on: when it last came to something that was not there before, and how long its
//! chunks take. A chunk that is committed again and again gets nobody anywhere.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::Instant;

use crate::facts::IntervalSet;

/// See the file.
pub(super) struct Headway {
    committed: RefCell<IntervalSet>,
    dead: RefCell<IntervalSet>,
    last: Cell<Instant>,
    longest: Cell<Duration>,
}

impl Headway {
    /// Nothing is done yet.
    pub(super) fn none() -> Self {
        Self {
            committed: RefCell::default(),
            dead: RefCell::default(),
            last: Cell::new(Instant::now()),
            longest: Cell::default(),
        }
    }

    /// Takes note of a result, and says whether its chunk had none before.
    pub(super) fn commits(&self, chunk: u64) -> bool {
        let is_new = is_added(&mut self.committed.borrow_mut(), chunk);
        self.comes_on(is_new)
    }

    /// Takes note of a dead letter, and says whether its chunk had none before.
    pub(super) fn buries(&self, chunk: u64) -> bool {
        let is_new = is_added(&mut self.dead.borrow_mut(), chunk);
        self.comes_on(is_new)
    }

    /// Dead letters were replayed: whatever dies now has a life of its own.
    pub(super) fn forgets_the_dead(&self) {
        self.dead.take();
        self.comes_on(true);
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

    /// How long nothing new has come.
    pub(super) fn silent_for(&self) -> Duration {
        self.last.get().elapsed()
    }

    /// Takes note of something, if it is new.
    pub(super) fn comes_on(&self, does: bool) -> bool {
        if does {
            self.last.set(Instant::now());
        }
        does
    }
}

fn is_added(set: &mut IntervalSet, chunk: u64) -> bool {
    set.insert(chunk, chunk.saturating_add(1)).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_there_before_is_headway() {
        let headway = Headway::none();
        let comes_on = |what: &dyn Fn() -> bool| {
            let before = headway.last.get();
            let said = what();
            assert_eq!(said, headway.last.get() > before, "it is what the silence goes by");
            said
        };
        assert!(comes_on(&|| headway.commits(7)));
        assert!(!comes_on(&|| headway.commits(7)));
        assert!(comes_on(&|| headway.commits(8)));
        assert!(comes_on(&|| headway.buries(9)));
        assert!(!comes_on(&|| headway.buries(9)));
        headway.forgets_the_dead();
        assert!(comes_on(&|| headway.buries(9)));
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
