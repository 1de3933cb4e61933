//! How large a scenario may be.

/// More processes than that are no use on one machine.
pub(super) const MAX_WORKERS: u64 = 1_000;
/// The largest index that survives a program which computes in floating point.
pub(super) const MAX_PARAM: u64 = 1 << 53;
