//! `Toxic::Partition`: nothing passes, and nothing is lost.

use crate::hooks::{AcceptPolicy, Gate, Moment, ToxicHooks};

/// Keeps every gate shut while it is in force.
pub(crate) struct Partition;

impl ToxicHooks for Partition {
    fn accept_policy(&self) -> AcceptPolicy {
        AcceptPolicy::Waits
    }

    fn gate(&self, _moment: &Moment) -> Gate {
        Gate::Shut
    }
}
