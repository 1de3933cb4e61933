//! What a worker has come to so far, for whoever shows it while it works.

use std::cell::{Cell, RefCell};

/// Longest text of a failed attempt that is kept, in bytes.
const ERROR_BOUND: usize = 1024;

/// Counts of a worker that goes on.
#[derive(Debug, Default)]
pub struct SoFar {
    chunks: Cell<u64>,
    failed: Cell<u64>,
    last_error: RefCell<Option<String>>,
}

impl SoFar {
    /// A chunk's result counts.
    pub(crate) fn committed(&self) {
        self.chunks.set(self.chunks.get() + 1);
    }

    /// An attempt failed.
    pub(crate) fn failed(&self, reason: &str) {
        self.failed.set(self.failed.get() + 1);
        let bound = ERROR_BOUND.min(reason.len());
        let end = (0..=bound).rfind(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        self.last_error.replace(Some(reason[..end].to_owned()));
    }

    /// Chunks whose results it committed.
    pub fn chunks(&self) -> u64 {
        self.chunks.get()
    }

    /// Attempts of its own that failed.
    pub fn failed_attempts(&self) -> u64 {
        self.failed.get()
    }

    /// Why the last of them did.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.borrow().clone()
    }
}
