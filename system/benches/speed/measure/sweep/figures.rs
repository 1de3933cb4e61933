//! The figures of one measurement, as they come.

use std::collections::BTreeMap;

use crate::outcome::{Outcome, Unmeasured};

/// Samples of each row, or why there are none.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<&'static str, Outcome<Vec<f64>>>);

impl Figures {
    pub(super) fn add(&mut self, row: &'static str, sample: f64) {
        if let Ok(samples) = self.0.entry(row).or_insert_with(|| Ok(Vec::new())) {
            samples.push(sample);
        }
    }

    /// Passes on what a step came to. Where it failed, the row shows why, whatever earlier repetitions came to.
    pub(super) fn keep<T>(&mut self, row: &'static str, outcome: Outcome<T>) -> Option<T> {
        outcome.map_err(|why| self.0.insert(row, Err(why))).ok()
    }

    /// What was not come to was skipped.
    pub(super) fn take(&mut self, row: &str) -> Outcome<Vec<f64>> {
        self.0.remove(row).unwrap_or(Err(Unmeasured::Skipped))
    }
}
