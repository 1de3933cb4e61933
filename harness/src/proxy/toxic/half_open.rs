//! `Toxic::HalfOpen`: the broker has lost the connection, and the other side does not know.

use super::{Act, Blow, Welcome};

/// See the file.
pub(super) struct HalfOpen;

impl Act for HalfOpen {
    fn welcome(&self) -> Welcome {
        Welcome::Silenced
    }

    fn blow(&self) -> Option<Blow> {
        Some(Blow::Silence)
    }

    fn spoils(&self) -> bool {
        true
    }
}
