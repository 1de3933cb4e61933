//! `Toxic::Partition`: nothing passes, and nothing is lost.

use super::{Act, Gate, Moment, Welcome};

/// See the file.
pub(super) struct Partition;

impl Act for Partition {
    fn welcome(&self) -> Welcome {
        Welcome::Waits
    }

    fn gate(&self, _moment: &Moment) -> Gate {
        Gate::Shut
    }
}
