//! How quick it goes at the moment.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The rate is that of so much time: what was long ago says nothing of what is to come.
const WINDOW: Duration = Duration::from_secs(30);

/// Counts at moments of the last half minute.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    pub(super) fn add(&mut self, now: Instant, done: u64) {
        // A replay takes back what was done: the rate begins anew.
        if self.0.back().is_some_and(|(_, before)| *before > done) {
            self.0.clear();
        }
        self.0.push_back((now, done));
        // Two are kept however long ago: of one alone there is no rate.
        while self.0.len() > 2 && now - self.0[0].0 > WINDOW {
            self.0.pop_front();
        }
    }

    /// Nothing where nothing can be said.
    pub(super) fn per_second(&self) -> Option<f64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let took = (last.0 - first.0).as_secs_f64();
        (took > 0.0).then(|| (last.1 - first.1) as f64 / took)
    }

    /// How long so many more take at this rate.
    pub(super) fn left(&self, more: u64) -> Option<Duration> {
        let per_second = self.per_second().filter(|rate| *rate > 0.0)?;
        Duration::try_from_secs_f64(more as f64 / per_second).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_half_minute() {
        let (begun, mut rate) = (Instant::now(), Rate::default());
        let mut at = |seconds, done| {
            rate.add(begun + Duration::from_secs(seconds), done);
            (rate.per_second(), rate.left(100).map(|left| left.as_secs()))
        };
        assert_eq!(at(0, 0), (None, None));
        assert_eq!(at(10, 100), (Some(10.0), Some(10)));
        assert_eq!(at(60, 150), (Some(1.0), Some(100)), "however rarely one looks");
        assert_eq!(at(70, 250).0, Some(10.0));
        assert_eq!(at(80, 250).0, Some(5.0));
        assert_eq!(at(90, 40), (None, None), "some of it is open again");
        assert_eq!(at(100, 40), (Some(0.0), None));
    }
}
