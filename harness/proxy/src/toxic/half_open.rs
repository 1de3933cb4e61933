//! `Toxic::HalfOpen`: the broker has lost the connection, and the other side does not know.

use crate::hooks::{AcceptPolicy, Disruption, ToxicHooks};

/// Ends the broker's side of every connection and leaves the other side hanging.
pub(crate) struct HalfOpen;

impl ToxicHooks for HalfOpen {
    fn accept_policy(&self) -> AcceptPolicy {
        AcceptPolicy::Silenced
    }

    fn disruption(&self) -> Option<Disruption> {
        Some(Disruption::Silence)
    }

    fn spoils(&self) -> bool {
        true
    }
}
