//! Others' turns. The client library sends its heartbeats, and takes what comes over the connection, from
//! tasks on the one thread that everything here runs on. Messages that have been sent ahead are there
//! without any wait: whoever reads one after the other lets nobody else run, and after three heartbeats
//! the server takes the connection for dead.

use std::time::{Duration, Instant};

/// How long one may read without a pause: heartbeats are a second apart, or more.
const TURN: Duration = Duration::from_millis(20);

/// For how long somebody has read without a pause.
pub(in crate::queue::rabbitmq) struct Turn(Instant);

impl Turn {
    pub(in crate::queue::rabbitmq) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Gives everybody else a turn, if this one has been long. To be called after each message.
    pub(in crate::queue::rabbitmq) async fn give_way(&mut self) {
        if self.0.elapsed() >= TURN {
            tokio::task::yield_now().await;
            *self = Self::begin();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_never_waits_lets_others_run_all_the_same() {
        let others = tokio::spawn(async {});
        let mut turn = Turn::begin();
        while !others.is_finished() {
            turn.give_way().await;
        }
    }
}
