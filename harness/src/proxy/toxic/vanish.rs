//! `Toxic::Drop`: bytes vanish. What comes after them must never be taken for what comes next, so
//! the connection ends with the toxic.

use super::Act;

/// See the file.
pub(super) struct Vanish;

impl Act for Vanish {
    fn swallows(&self) -> bool {
        true
    }

    fn spoils(&self) -> bool {
        true
    }
}
