//! `Toxic::Drop`: bytes vanish. What comes after them must never be taken for what comes next, so
//! the connection ends with the toxic.

use crate::hooks::ToxicHooks;

/// Swallows what arrives, and has the connection reset once it is lifted.
pub(crate) struct Vanish;

impl ToxicHooks for Vanish {
    fn swallows(&self) -> bool {
        true
    }

    fn spoils(&self) -> bool {
        true
    }
}
