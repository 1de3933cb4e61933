//! How a Redis keeps what it confirms, wherever it is started.

use serde::{Deserialize, Serialize};

/// When what Redis confirms is on the disk, and no longer only with the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// Before it is confirmed.
    Always,
    /// Within a second or two.
    EverySec,
    /// When the operating system sees fit.
    No,
}

impl Fsync {
    /// Its name in Redis's settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySec => "everysec",
            Self::No => "no",
        }
    }

    /// Arguments to a Redis that keeps what it confirms, wherever it is started: every write goes to a
    /// log, and to nothing else.
    pub fn arguments(self) -> [&'static str; 6] {
        ["--save", "", "--appendonly", "yes", "--appendfsync", self.word()]
    }
}
