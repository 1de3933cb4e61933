//! The server's clock, by which leases and retries go, and which people set.
//!
//! The server has no other. Where it is set back, whoever looks next sees it (`lua/survey.lua`): retries
//! are put back by as much, and leases begin anew. Where it is set forward, every lease seems to be over:
//! whoever sees the server's clock run ahead of its own leaves leases alone until their owners have had
//! the time to renew them. A retry then comes early.

use std::time::Duration;

use tokio::time::Instant;

/// So much more than here may pass there between two looks: no answer takes longer.
const AHEAD: Duration = Duration::from_secs(2);

/// Every owner renews its leases at least this often, and then some.
const RENEWED: Duration = Duration::from_secs(2);

/// What was seen of it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Option<(i64, Instant)>,
    jumped: Option<Instant>,
}

impl Clock {
    /// It shows so many milliseconds since 1970. Whether leases seem to be over that are not.
    pub(super) fn shows(&mut self, ms: i64) -> bool {
        let now = Instant::now();
        if let Some((before_ms, before)) = self.last.replace((ms, now)) {
            let there = Duration::from_millis(u64::try_from(ms - before_ms).unwrap_or(0));
            if there > now.duration_since(before) + AHEAD {
                tracing::warn!("the server's clock was set forward");
                self.jumped = Some(now);
            }
        }
        self.jumped.is_some_and(|jumped| jumped.elapsed() < RENEWED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forward_ends_no_lease_and_one_that_goes_on_does() {
        let mut clock = Clock::default();
        let hour = 3_600_000;
        assert!(!clock.shows(hour));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!clock.shows(hour + 60_100), "an hour without a look is none");
        assert!(clock.shows(2 * hour + 60_100));
        tokio::time::advance(RENEWED).await;
        assert!(!clock.shows(2 * hour + 62_100), "whoever has not renewed is silent");
        assert!(!clock.shows(hour), "set back, they do not seem to be over");
    }
}
