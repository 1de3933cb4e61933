//! A figure, or why there is none.

use std::fmt;
use std::time::Duration;

pub(crate) type Outcome<T> = Result<T, Unmeasured>;

/// Why there is no figure.
#[derive(Debug, Clone)]
pub(crate) enum Unmeasured {
    /// It was given up after so long.
    TimedOut(Duration),
    /// Something failed, for this reason.
    Failed(String),
    /// The time for the whole benchmark was over, or a step before it gave no figure.
    Skipped,
}

impl fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(bound) => write!(f, "> {:.0} s", bound.as_secs_f64().max(1.0)),
            Self::Failed(why) => write!(f, "error: {}", why.lines().next().unwrap_or_default()),
            Self::Skipped => f.write_str("-"),
        }
    }
}

pub(crate) fn failed(why: impl fmt::Display) -> Unmeasured {
    Unmeasured::Failed(why.to_string())
}
