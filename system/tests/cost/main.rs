//! What a chunk costs, in counts that no other work on the machine moves: what the broker is asked to do
//! for it, and the instructions that a worker takes. `figures.yaml` says what is agreed on.

mod figures;
mod instructions;
mod rabbitmq;
mod redis;
mod sqlite;
#[path = "../support/mod.rs"]
mod support;

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::kernel::{Reference, Slow};
use ttg_system::queue::Queue;
use ttg_system::worker::{self, Batch, Options, Status};

use figures::{Figures, committed};
use support::bench::Bench;

/// Chunks of two sweeps, where little goes by the clock.
const SWEEPS: [u64; 2] = [2_000, 8_000];

/// Nothing that goes by the clock falls due in a test.
const NEVER: Duration = Duration::from_secs(3600);

/// All chunks take the same.
const EVEN: Slow = Slow { seed: 0, share: 0.0, factor: 1.0 };

/// Counts of a broker since it began, by name.
type Counts = Vec<(&'static str, u64)>;

/// Submits, computes and reads sweeps of both sizes, in chunks, and holds what the counts rose by against what is
/// agreed on: a chunk is to cost the same in both. A broker is started anew for each.
async fn assert_agreed<C: AsyncFnMut(&Bench) -> Counts>(
    backend: &str,
    sweeps: [u64; 2],
    mut start: impl AsyncFnMut() -> (Bench, C),
) {
    let mut seen = Vec::new();
    for chunks in sweeps {
        let (bench, count) = start().await;
        seen.push(of_sweep(bench, chunks, count).await);
    }
    let complaints = committed(backend).complaints(&seen);
    assert!(complaints.is_empty(), "{}", figures::explained(backend, &complaints, &seen));
}

async fn of_sweep(
    mut bench: Bench,
    chunks: u64,
    mut count: impl AsyncFnMut(&Bench) -> Counts,
) -> Figures {
    (bench.settings.lease, bench.settings.takeover_interval) = (NEVER, NEVER);
    let sweep = Sweep { start: 0, params: chunks, chunk_size: 1 };
    let mut marks = vec![count(&bench).await];
    let onlooker = bench.onlooker().await;
    coordinator::run(&*onlooker, &sweep, None).await.expect("submits");
    bench.end(&*onlooker).await;
    marks.push(count(&bench).await);
    work(bench.worker("worker-1").await, bench.options("worker-1"), chunks).await;
    marks.push(count(&bench).await);
    bench.assert_exact(&sweep).await;
    marks.push(count(&bench).await);
    Figures::between(["submit", "work", "aggregate"], &marks, chunks)
}

/// One worker, alone, with batches that depend on no clock.
async fn work(queue: Rc<dyn Queue>, options: Options, chunks: u64) {
    let batch = Batch::new(NEVER, 64);
    let options = Options { batch, lease: NEVER, takeover_interval: NEVER, ..options };
    let kernel = Reference { work: Duration::ZERO, slow: EVEN };
    let (_keep, stop) = watch::channel(false);
    let (summary, outcome) = worker::run(queue, Box::new(kernel), options, stop).await;
    outcome.expect("works");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, chunks));
}
