//! A line of the table: what was measured, beside what, and what is wanted.

use crate::outcome::{Outcome, Unmeasured};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    PerSecond,
    Milliseconds,
    Megabytes,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// So much of the bare loop's, at least.
    OfBare(f64),
    AtMost(f64),
}

#[derive(Debug)]
pub(crate) struct Row {
    /// `redis sweep 10,000: submit`
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// One for each repetition, or why there is none.
    pub(crate) samples: Outcome<Vec<f64>>,
    pub(crate) bare: Option<Outcome<Vec<f64>>>,
    pub(crate) wanted: Option<Wanted>,
    /// Said below it.
    pub(crate) note: Option<String>,
}

impl Row {
    pub(crate) fn new(name: String, unit: Unit, samples: Outcome<Vec<f64>>) -> Self {
        Self { name, unit, samples, bare: None, wanted: None, note: None }
    }

    pub(crate) fn wanted(self, wanted: Wanted) -> Self {
        Self { wanted: Some(wanted), ..self }
    }

    pub(crate) fn beside(self, bare: Outcome<Vec<f64>>) -> Self {
        Self { bare: Some(bare), ..self }
    }

    /// `redis sweep 10,000`
    pub(crate) fn title(&self) -> &str {
        self.name.split_once(": ").map_or("", |(title, _)| title)
    }

    /// `submit`
    pub(crate) fn what(&self) -> &str {
        self.name.split_once(": ").map_or(&self.name, |(_, what)| what)
    }

    pub(crate) fn figure(&self) -> Option<f64> {
        median(self.samples.as_ref().ok()?)
    }

    /// Share of the bare loop's rate: the median of the repetitions, each beside the loop that came right after it, since
    /// the machine itself is faster at one time than at another.
    pub(crate) fn share(&self) -> Option<f64> {
        let (ours, bare) = (self.samples.as_ref().ok()?, self.bare.as_ref()?.as_ref().ok()?);
        let shares: Vec<f64> = ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect();
        median(&shares)
    }

    /// Whether there is a figure, and one to compare it with where there should be.
    pub(crate) fn is_measured(&self) -> bool {
        self.samples.is_ok() && self.bare.as_ref().is_none_or(Result::is_ok)
    }

    /// Whether it is not as wanted. Of what was given up that is known too.
    pub(crate) fn is_missed(&self) -> bool {
        let met = match self.wanted {
            None => true,
            Some(Wanted::OfBare(least)) => self.share().is_some_and(|share| share >= least),
            Some(Wanted::AtMost(most)) => self.figure().is_some_and(|figure| figure <= most),
        };
        let is_given_up = matches!(self.samples, Err(Unmeasured::TimedOut(_)));
        !met && (self.is_measured() || is_given_up)
    }
}

pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    quantile(samples, 0.5)
}

/// The sample below which this share of them is; with 1, the largest.
pub(crate) fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied()
}
