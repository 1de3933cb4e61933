//! How much of a user's own program is computed again.

use serde::{Deserialize, Serialize};

use super::percent_of;

/// How many chunks are computed again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// All that were committed.
    All,
    /// So many, or all where they are fewer.
    Chunks(u64),
    /// This share of them, in percent, above 0 and at most 100.
    Percent(f64),
}

impl Recompute {
    /// How many, of so many that were committed.
    pub fn of(self, committed: u64) -> u64 {
        match self {
            Self::All => committed,
            Self::Chunks(chunks) => chunks.min(committed),
            Self::Percent(percent) => percent_of(committed, percent),
        }
    }
}
