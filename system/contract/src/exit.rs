//! Exit codes that say more than that something went wrong.

/// Exit code of whoever finds that the broker no longer holds the sweep: nothing else ends so.
pub const SWEEP_LOST: u8 = 65;
