//! `Toxic::Reset`: connections break, and both sides are told.

use super::{Act, Blow, Welcome};

/// See the file.
pub(super) struct Reset;

impl Act for Reset {
    fn welcome(&self) -> Welcome {
        Welcome::Reset
    }

    fn blow(&self) -> Option<Blow> {
        Some(Blow::Reset)
    }
}
