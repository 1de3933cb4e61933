//! Runs parameter sweeps under faults, and says, with evidence, whether every parameter was counted
//! exactly once.

pub mod check;
pub mod cli;
pub mod compare;
pub mod docker;
pub mod environment;
pub mod exit;
pub mod facts;
pub mod fault;
pub mod history;
pub mod ideal;
mod interpreter;
pub mod kubernetes;
mod last_words;
pub mod maker;
pub mod plan;
pub mod recheck;
pub mod report;
pub mod results;
pub mod run;
pub mod scenario;
pub mod soak;
pub mod verdict;
pub mod why;
mod words;
