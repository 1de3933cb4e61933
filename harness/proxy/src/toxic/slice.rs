//! `Toxic::Slice`: bytes go on in small pieces, so that a program that takes one read for one message fails.

use std::time::Duration;

use crate::effect::Tally;
use crate::hooks::{Gate, Moment, Passage, ToxicHooks};

/// Cuts what passes into pieces of `bytes`, with `pause` between two of them.
pub(crate) struct Slice {
    pub(crate) bytes: usize,
    pub(crate) pause: Duration,
}

impl ToxicHooks for Slice {
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
