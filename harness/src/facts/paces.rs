//! How long the chunks took that were to take longer, and how long the others.

use ttg_contract::builtin::is_slow;

use crate::history::SeenResult;
use crate::plan::{Plan, Skew};

/// Seconds of computing, as workers reported them, by whether the chunk was drawn to take longer.
#[derive(Debug, Clone, Default)]
pub struct Paces {
    skew: Option<(u64, Skew)>,
    drawn: Pace,
    others: Pace,
}

/// Of some chunks, what was reported.
#[derive(Debug, Clone, Copy, Default)]
struct Pace {
    chunks: u64,
    /// Seconds for a parameter, of the fastest: a busy machine makes chunks later, and none faster.
    least: Option<f64>,
}

/// What became of the chunks that were to take longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slowed {
    /// How many of them were computed.
    pub chunks: u64,
    /// How many others were.
    pub others: u64,
    /// How many times as long the fastest of them took for a parameter as the fastest of the others,
    /// where there are both to compare.
    pub times: Option<f64>,
}

impl Paces {
    /// Nothing is computed yet.
    pub fn new(plan: &Plan) -> Self {
        let skew = plan.skew().map(|skew| (plan.seed, skew));
        Self { skew, ..Self::default() }
    }

    /// Takes in a result of the chunk with this index.
    pub fn add(&mut self, index: u64, result: &SeenResult) {
        let Some((seed, Skew { share, .. })) = self.skew else { return };
        let is_measured = result.duration_s.is_finite() && result.duration_s > 0.0;
        if !is_measured || result.count == 0 {
            return;
        }
        let drawn = is_slow(seed, share, index);
        let pace = if drawn { &mut self.drawn } else { &mut self.others };
        pace.chunks += 1;
        let each = result.duration_s / result.count as f64;
        pace.least = Some(pace.least.map_or(each, |least| least.min(each)));
    }

    /// What was seen of the chunks that were to take longer.
    pub fn slowed(&self) -> Slowed {
        let times = self.drawn.least.zip(self.others.least).map(|(drawn, others)| drawn / others);
        Slowed { chunks: self.drawn.chunks, others: self.others.chunks, times }
    }
}
