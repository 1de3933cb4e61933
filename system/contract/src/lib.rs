//! What crosses the boundary of a process in a parameter sweep, each thing once: the names and fields of the wire
//! contract, the variables that programs read, the codes they exit with, how a range is cut into chunks,
//! how sums stay exact, and what the built-in kernels compute.
//!
//! Whoever runs, tests or judges a sweep goes by this; nothing here waits, reads a file or speaks to a broker.

pub mod builtin;
pub mod chunk;
pub mod exit;
pub mod fsync;
pub mod percent;
pub mod redis_memory;
pub mod stats;
pub mod variables;
pub mod wire;
