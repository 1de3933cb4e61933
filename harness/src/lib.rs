//! Runs sweeps under faults and judges them.

pub mod history;
pub mod plan;
pub mod scenario;
