//! Whether it is this worker that chunks fail on.
//!
//! A worker whose program fails at once is the first to be free again: beside healthy ones it takes most
//! chunks, and makes dead letters of them. So where there are others, it waits after a failure, longer
//! each time, and gives a chunk back that has failed on it before; and after so many failures in a row it
//! leaves. What has failed on others too is no fault of the worker: then all of that begins anew. One
//! that is alone goes on: nobody else would do better.

use std::collections::VecDeque;
use std::time::Duration;

use crate::queue::Delivery;
use crate::wire::Task;

/// Waits after a failure: the first, and the longest. Each is twice the one before.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(15));

/// So many chunks in a row that fail on nobody else are enough.
const ENOUGH: u32 = 10;

/// How long others have to take a chunk that is given back because it has failed here.
pub(super) const HEAD_START: Duration = Duration::from_millis(250);

/// A chunk is given back for that no more often: it may be that nobody else is free.
const GIVEN_BACK: u64 = 2;

/// How many chunks that have failed here are remembered.
const REMEMBERED: usize = 64;

/// What has failed on a worker.
#[derive(Debug, Default)]
pub(super) struct Fitness {
    in_a_row: u32,
    /// Chunks with how often they have failed here, the latest at the end.
    failed: VecDeque<(u64, u32)>,
}

impl Fitness {
    /// A chunk was computed.
    pub(super) fn succeeded(&mut self) {
        self.in_a_row = 0;
    }

    /// An attempt of this task failed.
    pub(super) fn failed(&mut self, task: &Task) {
        let times = self.times(task.chunk.index);
        if task.retry_count > times {
            self.in_a_row = 0;
        } else {
            self.in_a_row += 1;
        }
        self.failed.retain(|(index, _)| *index != task.chunk.index);
        self.failed.push_back((task.chunk.index, times + 1));
        if self.failed.len() > REMEMBERED {
            self.failed.pop_front();
        }
    }

    /// How long to leave the chunks to others.
    pub(super) fn pause(&self) -> Duration {
        match self.in_a_row.checked_sub(1) {
            None => Duration::ZERO,
            Some(before) => PAUSE.0.saturating_mul(1 << before.min(16)).min(PAUSE.1),
        }
    }

    /// So many chunks have failed in a row, where that is enough to leave.
    pub(super) fn enough(&self) -> Option<u32> {
        (self.in_a_row >= ENOUGH).then_some(self.in_a_row)
    }

    /// Whether another worker should have the next attempt of a chunk that has failed here.
    pub(super) fn is_for_others(&self, delivery: &Delivery) -> bool {
        let Delivery { task, token, .. } = delivery;
        task.retry_count > 0
            && task.retry_count == self.times(task.chunk.index)
            && token.number < GIVEN_BACK
    }

    fn times(&self, chunk_index: u64) -> u32 {
        self.failed.iter().find(|(index, _)| *index == chunk_index).map_or(0, |(_, times)| *times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Sweep;
    use crate::queue::Token;

    fn task(index: u64, retry_count: u32) -> Task {
        let sweep = Sweep { start: 0, params: 1000, chunk_size: 1 };
        Task { retry_count, ..Task::first(&sweep, index, "") }
    }

    fn delivery(index: u64, retry_count: u32, number: u64) -> Delivery {
        let token = Token { id: index.to_string(), number };
        Delivery { token, task: task(index, retry_count), suspect: false }
    }

    #[test]
    fn each_failure_in_a_row_waits_twice_as_long_and_ten_are_enough() {
        let mut fitness = Fitness::default();
        assert_eq!(fitness.pause(), Duration::ZERO);
        let pauses: Vec<u128> = (0..10)
            .map(|index| {
                assert_eq!(fitness.enough(), None);
                fitness.failed(&task(index, 0));
                fitness.pause().as_millis()
            })
            .collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000]);
        assert_eq!(fitness.enough(), Some(10));
        fitness.succeeded();
        assert_eq!((fitness.pause(), fitness.enough()), (Duration::ZERO, None));
    }

    #[test]
    fn what_has_failed_on_others_too_is_no_fault_of_the_worker() {
        let mut fitness = Fitness::default();
        fitness.failed(&task(1, 0));
        fitness.failed(&task(2, 0));
        fitness.failed(&task(3, 1));
        assert_eq!(fitness.pause(), Duration::ZERO);
        // All its failures were here.
        fitness.failed(&task(1, 1));
        assert_eq!(fitness.pause(), PAUSE.0);
    }

    #[test]
    fn a_chunk_that_failed_here_alone_is_for_others_once() {
        let mut fitness = Fitness::default();
        fitness.failed(&task(1, 0));
        assert!(fitness.is_for_others(&delivery(1, 1, 1)));
        assert!(!fitness.is_for_others(&delivery(1, 1, 2)), "nobody else was free");
        assert!(!fitness.is_for_others(&delivery(1, 2, 1)), "somebody else has tried");
        assert!(!fitness.is_for_others(&delivery(2, 1, 1)), "it failed elsewhere");
        assert!(!fitness.is_for_others(&delivery(1, 0, 1)), "it was replayed");
    }
}
