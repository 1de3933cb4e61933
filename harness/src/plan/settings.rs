//! What a fault is told besides whom and when it strikes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{KillBy, PlannedFault, optional_millis};

/// What kinds of fault have to be told; each takes its own of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which way bytes are cut.
    pub direction: Direction,
    /// How long every piece of data is late.
    #[serde(rename = "delay_ms", with = "optional_millis")]
    pub delay: Option<Duration>,
    /// By how much that varies, either way.
    #[serde(rename = "jitter_ms", with = "optional_millis")]
    pub jitter: Option<Duration>,
    /// Bytes: per second (`bandwidth`), or per piece (`slice`).
    pub bytes: Option<u64>,
    /// A share, above 0 and below 1.
    pub share: Option<f64>,
    /// How many times as long.
    pub factor: Option<f64>,
    /// Index of a chunk.
    pub chunk: Option<u64>,
    /// How a Pod is killed.
    pub by: KillBy,
    /// The mean time between two strikes of `chaos`.
    #[serde(rename = "pace_ms", with = "optional_millis")]
    pub pace: Option<Duration>,
    /// What `chaos` draws from.
    pub mix: Vec<Draw>,
}

/// Which way bytes are cut, as seen from a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// What goes to the broker.
    ToBroker,
    /// What comes from the broker.
    FromBroker,
    /// Both.
    #[default]
    Both,
}

/// A fault that `chaos` may draw, as often as its weight among all says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    /// Its weight.
    pub weight: u32,
    /// What, to whom, for how long; its name and trigger mean nothing.
    pub fault: PlannedFault,
}
