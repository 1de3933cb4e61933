//! What results come to: each chunk once, and only if it can be what its chunk comes to.

use std::collections::BTreeMap;

use super::report::{Refused, Report, Share, Stretch};
use crate::chunk::{CHUNKS_BOUND, Sweep};
use crate::chunk_set::ChunkSet;
use crate::queue::{Progress, Readable, Stamped, SweepInfo};
use crate::stats::Collector;
use crate::wire::{TaskResult, ms};

/// How many refused results are told one by one, and how many stretches of missing chunks.
const TOLD: usize = 20;

/// Results so far.
#[derive(Default)]
pub(super) struct Tally {
    seen: ChunkSet,
    duplicates_removed: u64,
    unreadable: u64,
    refused: Vec<Refused>,
    values: Collector,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    workers: BTreeMap<String, Share>,
}

impl Tally {
    /// Adds a message. Where the sweep is not known, a result cannot be held against its chunk.
    pub(super) fn add(&mut self, message: Stamped<Readable<TaskResult>>, sweep: Option<&Sweep>) {
        let result = match message.what {
            Ok(result) => result,
            Err(reason) => {
                tracing::warn!(reason, "a result cannot be read");
                return self.refuse(Refused { chunk: None, worker: None, reason });
            }
        };
        let checked = match sweep {
            Some(sweep) => result.check(sweep),
            // A bit is kept for each, so that no number of somebody else's may say how many there are.
            None if result.chunk_index < CHUNKS_BOUND => result.stats.check(result.stats.count),
            None => Err(format!("chunk_id is not below {CHUNKS_BOUND}")),
        };
        if let Err(reason) = checked {
            let (chunk, worker) = (result.chunk_index, result.worker_id);
            tracing::warn!(chunk, worker, reason, "a result is not what its chunk can come to");
            return self.refuse(Refused { chunk: Some(chunk), worker: Some(worker), reason });
        }
        if !self.seen.insert(result.chunk_index) {
            self.duplicates_removed += 1;
            return;
        }
        self.values.merge(&result.stats);
        self.first_ms = Some(self.first_ms.map_or(message.at_ms, |ms| ms.min(message.at_ms)));
        self.last_ms = Some(self.last_ms.map_or(message.at_ms, |ms| ms.max(message.at_ms)));
        let share = self.workers.entry(result.worker_id).or_default();
        share.chunks += 1;
        share.params += result.stats.count;
        share.seconds += result.duration_seconds;
    }

    fn refuse(&mut self, refused: Refused) {
        self.unreadable += 1;
        if self.refused.len() < TOLD {
            self.refused.push(refused);
        }
    }

    /// Whether every chunk is in it, or dead.
    pub(super) fn is_complete(&self, progress: &Progress, sweep: &Sweep) -> bool {
        self.is_whole(sweep)
            || (progress.submitted >= sweep.chunks()
                && self.seen.len() + progress.dead >= sweep.chunks())
    }

    /// Whether every parameter is in it.
    fn is_whole(&self, sweep: &Sweep) -> bool {
        self.seen.len() == sweep.chunks() && self.values.count() == sweep.params
    }

    /// The first stretches of chunks that are not in it.
    fn missing(&self, sweep: &Sweep) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        // One more than is told is begun, and no more.
        for chunk in (0..sweep.chunks()).filter(|chunk| !self.seen.contains(*chunk)) {
            match stretches.last_mut() {
                Some(stretch) if stretch.last + 1 == chunk => stretch.last = chunk,
                _ => stretches.push(Stretch { first: chunk, last: chunk }),
            }
            if stretches.len() > TOLD {
                stretches.pop();
                break;
            }
        }
        stretches
    }

    pub(super) fn report(mut self, progress: &Progress, info: Option<&SweepInfo>) -> Report {
        let sweep = info.map(|info| info.sweep);
        let begun = info.and_then(|info| ms(&info.created_at)).or(self.first_ms);
        let wall_ms = self.last_ms.zip(begun).map_or(0, |(last, begun)| (last - begun).max(0));
        let wall_seconds = wall_ms as f64 / 1000.0;
        // The sum of nothing is -0.
        let cpu_seconds = 0.0 + self.workers.values().map(|share| share.seconds).sum::<f64>();
        let params = self.values.count() as f64;
        let per = |seconds: f64, what: f64| if seconds > 0.0 { what / seconds } else { 0.0 };
        let missing_chunks = sweep.map(|sweep| self.missing(&sweep)).unwrap_or_default();
        Report {
            complete: sweep.is_some_and(|sweep| self.is_whole(&sweep)),
            chunks: self.seen.len(),
            expected_chunks: sweep.map(|sweep| sweep.chunks()),
            dead_lettered: progress.dead,
            duplicates_removed: self.duplicates_removed,
            unreadable: self.unreadable,
            refused_results: self.refused,
            missing_chunks,
            result: self.values.stats(),
            wall_seconds,
            cpu_seconds,
            effective_params_per_second: per(wall_seconds, params),
            cpu_params_per_second: per(cpu_seconds, params),
            parallelism: per(wall_seconds, cpu_seconds),
            workers: self.workers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;
    use proptest::prelude::*;

    fn message(chunk: u64, sum: f64) -> Stamped<Readable<TaskResult>> {
        Stamped {
            at_ms: 1_000 + chunk as i64,
            what: Ok(TaskResult {
                chunk_index: chunk,
                worker_id: format!("worker-{}", chunk % 3),
                duration_seconds: 0.25,
                completed_at: String::new(),
                stats: Stats { sum, count: 1, min: sum, max: sum, avg: sum },
            }),
        }
    }

    fn report(messages: Vec<Stamped<Readable<TaskResult>>>, chunks: u64) -> Report {
        let sweep = Sweep { start: 0, params: chunks, chunk_size: 1 };
        let mut tally = Tally::default();
        for message in messages {
            tally.add(message, Some(&sweep));
        }
        let (job_id, created_at) = (String::new(), "1970-01-01T00:00:00.5Z".to_owned());
        let info = SweepInfo { sweep, job_id, created_at };
        tally.report(&Progress::default(), Some(&info))
    }

    #[test]
    fn a_chunk_counts_once_and_its_duplicates_are_counted_apart() {
        let report = report(vec![message(0, 1.0), message(1, 2.0), message(0, 1.0)], 2);
        assert_eq!((report.chunks, report.duplicates_removed, report.complete), (2, 1, true));
        assert_eq!(report.result.map(|r| r.sum), Some(3.0));
    }

    #[test]
    fn a_missing_chunk_makes_it_incomplete_and_is_named() {
        let report = report([0, 3, 4, 7].map(|chunk| message(chunk, 1.0)).into(), 10);
        let stretches: Vec<_> =
            report.missing_chunks.iter().map(|it| (it.first, it.last)).collect();
        assert_eq!((report.complete, stretches), (false, vec![(1, 2), (5, 6), (8, 9)]));
    }

    #[test]
    fn only_so_many_stretches_are_named() {
        let even = (0..1000).map(|chunk| message(2 * chunk, 1.0)).collect();
        assert_eq!(report(even, 2000).missing_chunks.len(), TOLD);
    }

    #[test]
    fn a_result_of_no_chunk_of_the_sweep_is_left_out() {
        let report = report(vec![message(0, 1.0), message(7, 2.0)], 2);
        assert_eq!((report.chunks, report.unreadable, report.complete), (1, 1, false));
    }

    #[test]
    fn half_a_chunk_is_refused_by_name_and_a_whole_one_after_it_counts() {
        let half = |mut message: Stamped<Readable<TaskResult>>| {
            message.what.as_mut().expect("one of ours").stats.count = 0;
            message
        };
        let before = report(vec![half(message(1, 1e15)), message(0, 1.0)], 2);
        assert_eq!((before.chunks, before.unreadable, before.complete), (1, 1, false));
        insta::assert_snapshot!(
            serde_json::to_string(&before.refused_results).expect("plain data"),
            @r#"[{"chunk":1,"worker":"worker-1","reason":"it counts 0 parameters, and the chunk has 1"}]"#
        );
        assert_eq!(before.missing_chunks, [Stretch { first: 1, last: 1 }]);
        let after = report(vec![half(message(1, 1e15)), message(0, 1.0), message(1, 2.0)], 2);
        assert_eq!((after.chunks, after.unreadable, after.complete), (2, 1, true));
        assert_eq!(after.result.map(|result| result.sum), Some(3.0));
    }

    #[test]
    fn what_is_not_known_to_be_of_a_sweep_takes_no_memory_and_is_never_complete() {
        let mut tally = Tally::default();
        for message in [message(0, 1.0), message(1 << 62, 2.0)] {
            tally.add(message, None);
        }
        let report = tally.report(&Progress::default(), None);
        assert_eq!((report.chunks, report.unreadable, report.complete), (1, 1, false));
    }

    proptest! {
        #[test]
        fn order_of_arrival_and_duplicates_cannot_show_in_the_result(
            sums in prop::collection::vec(-1e9f64..1e9, 1..80), seed: u64,
        ) {
            let messages = || sums.iter().enumerate().map(|(i, s)| message(i as u64, *s));
            let mut shuffled: Vec<_> = messages().chain(messages()).collect();
            fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
            let (a, b) = (report(messages().collect(), 80), report(shuffled, 80));
            prop_assert_eq!(a.result, b.result);
            prop_assert_eq!(a.workers.len(), b.workers.len());
        }
    }
}
