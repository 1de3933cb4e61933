//! How many chunks of a sweep may be dead before it is given up.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::percent::is_above;
use crate::queue::{Inspect, Progress, Result};

/// How often it is looked how many there are.
const LOOK: Duration = Duration::from_secs(1);

/// Most dead chunks of a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DeadLetterLimit {
    /// So many.
    Count(u64),
    /// So many of a hundred.
    Percent(f64),
}

impl DeadLetterLimit {
    /// Whether there are more. A share of a sweep of which nobody knows how large it is has no end.
    pub fn is_exceeded(self, progress: &Progress) -> bool {
        match (self, progress.total) {
            (Self::Count(most), _) => progress.dead > most,
            (Self::Percent(most), Some(total)) => is_above(progress.dead, most, total),
            (Self::Percent(_), None) => false,
        }
    }

    /// Waits until there are more; says so.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub async fn exceeded(self, broker: &dyn Inspect) -> Result<String> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if !self.is_exceeded(&broker.standing_of_late().await?) {
                continue;
            }
            let progress = broker.standing().await?;
            if self.is_exceeded(&progress) {
                let of = progress.total.map_or_else(String::new, |total| format!(" of {total}"));
                let dead = progress.dead;
                return Ok(format!(
                    "{dead}{of} chunks are in the dead letters, more than --max-dead-letters {self} \
                     allows: the sweep is given up (`ttg dead-letters list` shows why they failed)"
                ));
            }
        }
    }
}

impl FromStr for DeadLetterLimit {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let problem = || {
            format!("{text:?} is neither a number of chunks, such as 20, nor a share, such as 5%")
        };
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Count).map_err(|_| problem()),
            Some(share) => {
                let share: f64 = share.trim_end().parse().map_err(|_| problem())?;
                let is_share = (0.0..=100.0).contains(&share);
                is_share.then_some(Self::Percent(share)).ok_or_else(problem)
            }
        }
    }
}

impl fmt::Display for DeadLetterLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceeds(limit: &str, dead: u64, total: Option<u64>) -> bool {
        let limit: DeadLetterLimit = limit.parse().expect("a limit");
        limit.is_exceeded(&Progress { total, dead, ..Progress::default() })
    }

    #[test]
    fn a_limit_is_a_count_or_a_share() {
        assert!(!exceeds("2", 2, Some(10)) && exceeds("2", 3, Some(10)) && exceeds("0", 1, None));
        assert!(!exceeds("20%", 2, Some(10)) && exceeds("20%", 3, Some(10)));
        assert!(exceeds("0.5%", 6, Some(1000)) && !exceeds("0.5%", 5, Some(1000)));
        assert!(!exceeds("0.57%", 57, Some(10_000)) && exceeds("0.57%", 58, Some(10_000)));
        assert!(!exceeds("1%", 1_000, None), "nobody has said of how many");
        assert!(exceeds("0%", 1, Some(10)) && !exceeds("100%", 10, Some(10)));
        for wrong in ["", "%", "-1", "101%", "-1%", "many", "NaN%", "1.5"] {
            assert!(wrong.parse::<DeadLetterLimit>().is_err(), "{wrong}");
        }
    }
}
