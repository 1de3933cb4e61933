use std::path::Path;

use super::{Overrides, ScenarioError, from_text};
use crate::plan::Plan;

mod faults;
mod overrides;
mod properties;
mod refusals;
mod refusals_of_faults;
mod refusals_of_files;
mod refusals_without_bite;
mod valid;

/// A valid scenario that tests change one thing of.
const BASE: &str = "\
name: x
description: A sweep.
sweep: { params: 1000, chunk_size: 10, kernel: { reference: { work_ms: 100 } } }
backend: redis
workers: 3
seed: 7
faults:
  - at: 30%
    name: first
    kill: { worker: busy }
expect:
  coverage: exactly-once
  recovery_max: 1s
";

fn read(text: &str) -> Result<Plan, ScenarioError> {
    from_text(Path::new("scenarios/x.yaml"), text, &Overrides::default())
}

/// [`BASE`] with one thing changed.
fn changed(from: &str, to: &str) -> String {
    assert_eq!(BASE.matches(from).count(), 1, "{from} is there once");
    BASE.replacen(from, to, 1)
}

/// The message about [`BASE`] with one thing changed.
fn refused(from: &str, to: &str) -> String {
    message(&changed(from, to))
}

fn message(text: &str) -> String {
    read(text).expect_err("refused").to_string()
}

/// The plan of [`BASE`] with one thing changed.
fn accepted(from: &str, to: &str) -> Plan {
    read(&changed(from, to)).expect("accepted")
}
