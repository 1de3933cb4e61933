//! Parameter sweeps: a coordinator cuts a range of parameters into chunks, a broker hands them to
//! workers, an aggregator combines the results. Any of them may die at any moment; every parameter
//! still counts once.

pub use ttg_contract::{chunk, percent, stats, variables, wire};

pub mod aggregator;
mod chunk_set;
pub mod cli;
pub mod coordinator;
pub mod kernel;
pub mod limit;
pub mod printable;
pub mod queue;
pub mod so_far;
pub mod static_mode;
mod telemetry;
pub mod worker;
