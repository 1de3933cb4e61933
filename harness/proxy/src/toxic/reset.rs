//! `Toxic::Reset`: connections break, and both sides are told.

use crate::hooks::{AcceptPolicy, Disruption, ToxicHooks};

/// Resets every open connection, and every new one while it is in force.
pub(crate) struct Reset;

impl ToxicHooks for Reset {
    fn accept_policy(&self) -> AcceptPolicy {
        AcceptPolicy::Reset
    }

    fn disruption(&self) -> Option<Disruption> {
        Some(Disruption::Reset)
    }
}
