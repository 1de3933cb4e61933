//! What every backend promises: one suite, run on each of them, and on the model that stands for
//! them in simulated time.

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod dead_letters;
mod departures;
mod failures;
mod garbage;
mod reading;
mod submission;
mod zombies;
