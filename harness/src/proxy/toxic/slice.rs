//! `Toxic::Slice`: whoever takes one read for one message learns better.

use std::time::Duration;

use super::{Act, Gate, Moment, Passage, Tally};

/// See the file.
pub(super) struct Slice {
    pub(super) bytes: usize,
    pub(super) pause: Duration,
}

impl Act for Slice {
    fn gate(&self, moment: &Moment) -> Gate {
        match moment.last {
            Some(last) if !self.pause.is_zero() => Gate::At(last + self.pause),
            _ => Gate::Open,
        }
    }

    fn most(&self) -> usize {
        self.bytes.max(1)
    }

    fn passed(&self, _moment: &Moment, passage: &Passage, tally: &Tally) {
        // Shorter ones are another toxic's work, or the kernel's.
        if passage.bytes == self.most() && passage.bytes < passage.ready {
            tally.count(passage.connection, |effect| effect.cuts += 1);
        }
    }
}
