//! What is said of how far a role is.

use std::fmt;
use std::time::Duration;

use crate::aggregator::grouped;
use crate::printable;

/// Longest error that is shown.
const ERROR: usize = 80;

/// Whose line it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Submitting,
    /// By its name.
    Working(String),
    Aggregating,
}

/// What was seen.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) role: Role,
    /// Chunks that are submitted, or settled.
    pub(super) done: u64,
    /// Chunks of the sweep, where that is known.
    pub(super) total: Option<u64>,
    pub(super) per_second: Option<f64>,
    pub(super) left: Option<Duration>,
    /// Of this worker alone.
    pub(super) own_chunks: u64,
    pub(super) failed: u64,
    /// Chunks that wait for a retry.
    pub(super) waiting: u64,
    pub(super) dead: u64,
    pub(super) last_error: Option<String>,
}

impl Line {
    /// Into the log.
    pub(super) fn log(&self) {
        tracing::info!(
            chunks = self.done,
            of = self.total,
            per_second = self.per_second.map(|rate| (rate * 10.0).round() / 10.0),
            seconds_left = self.left.map(|left| left.as_secs()),
            own_chunks = matches!(self.role, Role::Working(_)).then_some(self.own_chunks),
            failed_attempts = (self.failed > 0).then_some(self.failed),
            waiting_for_a_retry = (self.waiting > 0).then_some(self.waiting),
            dead_letters = (self.dead > 0).then_some(self.dead),
            last_error = self.error(),
            "{}",
            match self.role {
                Role::Submitting => "submitting",
                Role::Working(_) => "working",
                Role::Aggregating => "collecting",
            }
        );
    }

    fn error(&self) -> Option<String> {
        let line = printable::line(self.last_error.as_ref()?.lines().next()?);
        let cut: String = line.chars().take(ERROR).collect();
        Some(if cut.len() < line.len() { format!("{cut}…") } else { cut })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Role::Working(name) = &self.role {
            write!(f, "{name}: {} here; ", chunks(self.own_chunks))?;
        }
        match (&self.role, self.total) {
            (Role::Submitting, Some(total)) => {
                write!(f, "{} of {} submitted", grouped(self.done), chunks(total))?;
            }
            (_, Some(total)) => write!(f, "{} of {}", grouped(self.done), chunks(total))?,
            (Role::Working(_), None) => f.write_str("of others it does not know")?,
            (_, None) => f.write_str("no sweep is there yet")?,
        }
        if let Some(rate) = self.per_second.filter(|rate| *rate > 0.0) {
            let rate = if rate < 10.0 { format!("{rate:.1}") } else { grouped(rate as u64) };
            write!(f, ", {rate}/s")?;
        }
        if let Some(left) = self.left.filter(|left| !left.is_zero()) {
            write!(f, ", {} left", told(left))?;
        }
        for (count, one, many) in [
            (self.failed, "failed attempt", "failed attempts"),
            (self.waiting, "waits for a retry", "wait for a retry"),
            (self.dead, "dead letter", "dead letters"),
        ] {
            if count > 0 {
                write!(f, ", {} {}", grouped(count), if count == 1 { one } else { many })?;
            }
        }
        match self.error() {
            Some(error) => write!(f, ", last error: {error}"),
            None => Ok(()),
        }
    }
}

fn chunks(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "chunk" } else { "chunks" })
}

/// A time to come, no more precise than it can be known.
fn told(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{} h {minutes} min", grouped(hours)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            role: Role::Aggregating,
            done: 1240,
            total: Some(10_000),
            per_second: Some(35.2),
            left: Some(Duration::from_secs(249)),
            own_chunks: 0,
            failed: 0,
            waiting: 2,
            dead: 1,
            last_error: Some("division by \u{1b}[31mzero\nin line 3".to_owned()),
        }
    }

    #[test]
    fn a_line_says_how_far_how_quick_how_long_and_what_went_wrong() {
        insta::assert_snapshot!(line(), @"1,240 of 10,000 chunks, 35/s, 4 min 9 s left, 2 wait for a retry, 1 dead letter, last error: division by  [31mzero");
        let worker = Line {
            role: Role::Working("worker-1".to_owned()),
            own_chunks: 1,
            failed: 3,
            waiting: 0,
            dead: 0,
            per_second: Some(0.25),
            left: Some(Duration::from_secs(35_000)),
            last_error: None,
            ..line()
        };
        insta::assert_snapshot!(worker, @"worker-1: 1 chunk here; 1,240 of 10,000 chunks, 0.2/s, 9 h 43 min left, 3 failed attempts");
        let alone = Line { total: None, left: None, failed: 0, per_second: None, ..worker };
        insta::assert_snapshot!(alone, @"worker-1: 1 chunk here; of others it does not know");
        let submitting =
            Line { role: Role::Submitting, waiting: 0, dead: 0, last_error: None, ..line() };
        insta::assert_snapshot!(submitting, @"1,240 of 10,000 chunks submitted, 35/s, 4 min 9 s left");
        let none = Line { total: None, done: 0, ..alone };
        insta::assert_snapshot!(Line { role: Role::Aggregating, ..none }, @"no sweep is there yet");
    }
}
