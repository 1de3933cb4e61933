//! Static mode: the range is divided by worker number and each worker computes its share. No
//! broker, and no fault tolerance: what a dead worker had not printed is lost. The control that
//! everything else is measured against.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::chunk::{Chunk, Sweep};
use crate::kernel::Kernel;
use crate::stats::{Collector, Stats};
use crate::wire;
use crate::worker::{Status, Summary};

/// One line on standard output for each batch.
#[derive(Debug, Serialize)]
struct Line<'a> {
    chunk_id: String,
    worker_id: &'a str,
    status: &'static str,
    start_param: u64,
    end_param: u64,
    duration_seconds: f64,
    completed_at: String,
    result_data: Stats,
}

/// Computes the share of worker `number` of `workers` in batches, and prints each batch's result
/// to `out` as one JSON line as soon as it is there. The sweep's chunk size is the batch's. Once `stop`
/// becomes true, the batch at hand has the `grace` to be done.
///
/// # Errors
/// Where the kernel fails, or `out` cannot be written: there is nobody to try again.
pub async fn run(
    sweep: &Sweep,
    number: u64,
    workers: u64,
    kernel: &mut dyn Kernel,
    out: &mut dyn Write,
    (stop, grace): (&watch::Receiver<bool>, Duration),
) -> (Summary, Result<(), String>) {
    let begun = Instant::now();
    let name = format!("worker-{number}");
    let (mut summary, mut aggregates) = (Summary::new(&name), Collector::default());
    let (start, end) = sweep.share(number, workers);
    let share = Sweep { start, params: end - start, chunk_size: sweep.chunk_size };
    for index in 0..share.chunks() {
        if *stop.borrow() {
            return (summary.end(Status::Interrupted, begun.elapsed()), Ok(()));
        }
        let chunk = share.chunk(index);
        let done = tokio::select! {
            done = batch(&chunk, &name, kernel, out) => done,
            () = overdue(stop, grace) => {
                return (summary.end(Status::Interrupted, begun.elapsed()), Ok(()));
            }
        };
        match done {
            Ok(stats) => aggregates.merge(&stats),
            Err(error) => return (summary.end(Status::Failed, begun.elapsed()), Err(error)),
        }
        summary.aggregates = aggregates.stats();
        summary.chunks_processed += 1;
        summary.params_processed += chunk.params();
    }
    (summary.end(Status::Completed, begun.elapsed()), Ok(()))
}

async fn overdue(stop: &watch::Receiver<bool>, grace: Duration) {
    if stop.clone().wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask.
        std::future::pending::<()>().await;
    }
    sleep(grace).await;
}

async fn batch(
    chunk: &Chunk,
    worker: &str,
    kernel: &mut dyn Kernel,
    out: &mut dyn Write,
) -> Result<Stats, String> {
    let begun = Instant::now();
    let stats = kernel.run(chunk).await.map_err(|error| error.to_string())?;
    let line = Line {
        chunk_id: format!("{worker}-{}", chunk.id()),
        worker_id: worker,
        status: "completed",
        start_param: chunk.start,
        end_param: chunk.end,
        duration_seconds: begun.elapsed().as_secs_f64(),
        completed_at: wire::now(),
        result_data: stats,
    };
    let mut line = serde_json::to_vec(&line).expect("a line is plain data");
    line.push(b'\n');
    // In one piece: a kill must not leave half a line.
    out.write_all(&line)
        .and_then(|()| out.flush())
        .map(|()| stats)
        .map_err(|error| format!("cannot write a result to standard output: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Reference, Slow};

    #[tokio::test]
    async fn workers_print_the_whole_range_once_and_the_last_takes_the_remainder() {
        let sweep = Sweep { start: 0, params: 1003, chunk_size: 100 };
        let (_keep, stop) = watch::channel(false);
        let mut next = 0;
        for number in 0..3 {
            let mut out = Vec::new();
            let mut kernel = Reference { work: Duration::ZERO, slow: Slow::NONE };
            let (summary, ended) =
                run(&sweep, number, 3, &mut kernel, &mut out, (&stop, Duration::ZERO)).await;
            assert_eq!((summary.status, ended), (Status::Completed, Ok(())));
            for line in String::from_utf8(out).expect("text").lines() {
                let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                assert_eq!(line["start_param"], next);
                next = line["end_param"].as_u64().expect("a number");
                assert_eq!(
                    line["result_data"]["count"],
                    next - line["start_param"].as_u64().unwrap_or(0)
                );
            }
        }
        assert_eq!(next, 1003);
    }
}
