//! Parameter sweeps: a coordinator cuts a range of parameters into chunks, a broker hands them to
//! workers, an aggregator combines the results. Any of them may die at any moment; every parameter
//! still counts once.

pub mod aggregator;
pub mod chunk;
mod chunk_set;
pub mod cli;
pub mod coordinator;
pub mod kernel;
pub mod limit;
pub mod manifests;
pub mod percent;
pub mod printable;
pub mod queue;
pub mod so_far;
pub mod static_mode;
pub mod stats;
mod telemetry;
pub mod variables;
pub mod wire;
pub mod worker;
