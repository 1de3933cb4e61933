//! The sweep for which the faults of a soak are drawn.

use crate::plan::Backend;

/// What faults are drawn for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground {
    pub(super) backend: Backend,
    pub(super) workers: u32,
    /// How long the sweep takes by itself, in milliseconds: about.
    pub(super) length_ms: u64,
    /// The lease of a chunk, in milliseconds.
    pub(super) lease_ms: u64,
}

impl Ground {
    pub(super) fn has_network(&self) -> bool {
        self.backend != Backend::Embedded
    }
}
