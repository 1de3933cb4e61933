//! The aggregator: combines the results of a sweep, each chunk once, the same to the last bit
//! whatever the order of arrival.

mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::chunk::CHUNKS_BOUND;
use crate::queue::{
    Cursor, Inspect, Progress, QueueError, RECONCILE_EVERY, Readable, Reconcile, Reconciled,
    Result, Stamped,
};
use crate::stats::{Collector, Stats};
use crate::wire::TaskResult;
pub(crate) use report::grouped;

/// Results per read.
const PAGE: usize = 1000;

/// How long to wait for results before looking whether the sweep is complete.
const LOOK: Duration = Duration::from_millis(250);

/// When to stop collecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When every chunk is committed or dead. Silence is no end: workers may be dead or slow.
    Complete,
    /// When everything that is there has been read.
    Read,
    /// As `Complete`, but after this moment as `Read`.
    CompleteOr(Instant),
}

/// What a sweep came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether every chunk is in it.
    pub complete: bool,
    /// Chunks in it.
    pub chunks: u64,
    /// Chunks of the sweep, where a coordinator has said.
    pub expected_chunks: Option<u64>,
    /// Chunks that are dead.
    pub dead_lettered: u64,
    /// Messages left out because their chunk was in it already.
    pub duplicates_removed: u64,
    /// Messages left out because they cannot be read, or are of no chunk of the sweep.
    pub unreadable: u64,
    /// What the values came to; nothing where there are none.
    pub result: Option<Stats>,
    /// Seconds from the sweep's creation to its last result.
    pub wall_seconds: f64,
    /// Seconds of computing, over all workers.
    pub cpu_seconds: f64,
    /// Parameters per second of wall time.
    pub effective_params_per_second: f64,
    /// Parameters per second of computing.
    pub cpu_params_per_second: f64,
    /// Computing time in wall time.
    pub parallelism: f64,
    /// What each worker did.
    pub workers: BTreeMap<String, Share>,
}

/// What one worker did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Share {
    /// Chunks.
    pub chunks: u64,
    /// Parameters.
    pub params: u64,
    /// Seconds of computing.
    pub seconds: f64,
}

/// Collects until the end that is asked for, or until `stop` becomes true. Who waits for the sweep to be
/// complete has a `keeper` see to it that what is open stays in a queue.
///
/// # Errors
/// Where the broker cannot be reached any more, or no longer holds the sweep.
pub async fn collect(
    broker: &dyn Inspect,
    keeper: Option<&dyn Reconcile>,
    until: Until,
    stop: &watch::Receiver<bool>,
) -> Result<Report> {
    let mut tally = Tally::default();
    let mut cursor = Cursor::default();
    let mut sweep = None;
    let mut reconciled = Instant::now();
    let mut progress = Progress::default();
    loop {
        let enough = match until {
            Until::Complete => false,
            Until::Read => true,
            Until::CompleteOr(moment) => Instant::now() >= moment,
        };
        let step = async {
            progress = broker.standing().await?;
            if sweep.is_none() && progress.total.is_some() {
                sweep = broker.sweep().await?;
            }
            let complete = tally.is_complete(&progress);
            // Where results cannot be read, the sweep is over without being complete.
            let over = complete || progress.is_complete();
            let wait = if enough || over { Duration::ZERO } else { LOOK };
            let page = broker.results(&mut cursor, PAGE, wait).await?;
            if page.is_empty() && sweep.is_some() && broker.sweep().await? != sweep {
                // What was read, and what comes, are of two sweeps.
                return Err(QueueError::SweepLost { place: "the broker".to_owned() });
            }
            let mut is_last = enough || over;
            if page.is_empty()
                && let Some(keeper) = keeper
                && (over || reconciled.elapsed() >= RECONCILE_EVERY)
            {
                let Reconciled { in_doubt, resubmitted, .. } = keeper.reconcile().await?;
                reconciled = Instant::now();
                if resubmitted > 0 {
                    tracing::warn!(resubmitted, "chunks were in no queue, and are submitted again");
                }
                if over && !complete && (in_doubt || resubmitted > 0) {
                    sleep(LOOK).await;
                    is_last = false;
                }
            }
            Ok((page, is_last))
        };
        let (page, is_last) = tokio::select! {
            biased;
            // Whoever asks does not wait for the broker, nor for what it still holds.
            () = asked(stop) => (Vec::new(), true),
            step = step => step?,
        };
        let read_all = page.is_empty();
        for message in page {
            tally.add(message, progress.total);
        }
        if read_all && is_last {
            let complete = tally.is_complete(&progress);
            let created_ms = sweep.and_then(|info| created_ms(&info.created_at));
            return Ok(tally.report(&progress, complete, created_ms));
        }
    }
}

async fn asked(stop: &watch::Receiver<bool>) {
    if stop.clone().wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask.
        std::future::pending::<()>().await;
    }
}

#[derive(Default)]
struct Tally {
    seen: Vec<u64>,
    chunks: u64,
    duplicates_removed: u64,
    unreadable: u64,
    values: Collector,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    workers: BTreeMap<String, Share>,
}

impl Tally {
    fn add(&mut self, message: Stamped<Readable<TaskResult>>, total: Option<u64>) {
        let result = match message.what {
            // A bit is kept for each, so that no number of somebody else's may say how many there are.
            Ok(result) if result.chunk_index < total.unwrap_or(CHUNKS_BOUND).min(CHUNKS_BOUND) => {
                result
            }
            Ok(result) => {
                tracing::warn!(chunk = result.chunk_index, "a result of no chunk of the sweep");
                self.unreadable += 1;
                return;
            }
            Err(reason) => {
                tracing::warn!(reason, "a result cannot be read");
                self.unreadable += 1;
                return;
            }
        };
        if !self.is_first(result.chunk_index) {
            self.duplicates_removed += 1;
            return;
        }
        self.chunks += 1;
        self.values.merge(&result.stats);
        self.first_ms = Some(self.first_ms.map_or(message.at_ms, |ms| ms.min(message.at_ms)));
        self.last_ms = Some(self.last_ms.map_or(message.at_ms, |ms| ms.max(message.at_ms)));
        let share = self.workers.entry(result.worker_id).or_default();
        share.chunks += 1;
        share.params += result.stats.count;
        share.seconds += result.duration_seconds;
    }

    fn is_first(&mut self, chunk: u64) -> bool {
        // Below 2^32, so it fits.
        let (word, bit) = ((chunk / 64) as usize, 1 << (chunk % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let first = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        first
    }

    fn is_complete(&self, progress: &Progress) -> bool {
        progress.total.is_some_and(|total| {
            progress.submitted >= total && self.chunks + progress.dead >= total
        })
    }

    fn report(mut self, progress: &Progress, complete: bool, created_ms: Option<i64>) -> Report {
        let begun = created_ms.or(self.first_ms);
        let wall_ms = self.last_ms.zip(begun).map_or(0, |(last, begun)| (last - begun).max(0));
        let wall_seconds = wall_ms as f64 / 1000.0;
        // The sum of nothing is -0.
        let cpu_seconds = 0.0 + self.workers.values().map(|share| share.seconds).sum::<f64>();
        let params = self.values.count() as f64;
        let per = |seconds: f64, what: f64| if seconds > 0.0 { what / seconds } else { 0.0 };
        Report {
            complete: complete && progress.dead == 0,
            chunks: self.chunks,
            expected_chunks: progress.total,
            dead_lettered: progress.dead,
            duplicates_removed: self.duplicates_removed,
            unreadable: self.unreadable,
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

fn created_ms(created_at: &str) -> Option<i64> {
    created_at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn report(messages: Vec<Stamped<Readable<TaskResult>>>, total: u64) -> Report {
        let mut tally = Tally::default();
        for message in messages {
            tally.add(message, Some(total));
        }
        let progress = Progress { total: Some(total), submitted: total, ..Progress::default() };
        let complete = tally.is_complete(&progress);
        tally.report(&progress, complete, Some(500))
    }

    #[test]
    fn a_chunk_counts_once_and_its_duplicates_are_counted_apart() {
        let report = report(vec![message(0, 1.0), message(1, 2.0), message(0, 1.0)], 2);
        assert_eq!((report.chunks, report.duplicates_removed, report.complete), (2, 1, true));
        assert_eq!(report.result.map(|r| r.sum), Some(3.0));
    }

    #[test]
    fn a_missing_chunk_makes_it_incomplete() {
        assert!(!report(vec![message(0, 1.0)], 2).complete);
    }

    #[test]
    fn a_result_of_no_chunk_of_the_sweep_is_left_out() {
        let report = report(vec![message(0, 1.0), message(7, 2.0)], 2);
        assert_eq!((report.chunks, report.unreadable, report.complete), (1, 1, false));
    }

    #[test]
    fn a_sweep_of_more_chunks_than_can_be_takes_no_memory() {
        let report = report(vec![message(0, 1.0), message(1 << 62, 2.0)], u64::MAX);
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
