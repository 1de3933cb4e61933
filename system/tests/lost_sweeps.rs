//! The broker's data is gone in the middle of a sweep: whoever had seen the sweep says so and ends,
//! and nobody takes what is left for a success.

mod support;

use std::time::{Duration, Instant};

use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::{Broker, QueueError};

use support::bench::Backend::{self, Embedded, RabbitMq, Redis};
use support::bench::{Bench, claim_one, commit, computed};
use support::detour::Detour;
use support::process::{Process, broker_environment, ttg, until};

/// From the broker's coming back to the end of whoever had seen the sweep: far less than a lease, or
/// the patience with a broker. Four servers that start at once on two cores take their time.
const SOON: Duration = Duration::from_secs(20);

fn aggregator(bench: &Bench) -> Process {
    Process::start(ttg(&["aggregate"]).envs(broker_environment(&bench.settings)))
}

fn assert_it_says_so(process: Process, what: &str) {
    let ended = process.end();
    assert_eq!(ended.status.code(), Some(65), "{what}: {ended}");
    assert!(ended.stderr.contains("no longer holds the sweep"), "{what}: {ended}");
    assert!(!ended.stdout.contains("complete"), "{what}: {ended}");
}

async fn claimed(broker: &dyn Broker, count: usize) {
    until("the workers have their chunks", async || {
        broker.held().await.expect("reads").len() == count
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn whoever_has_seen_the_sweep_says_that_it_is_lost(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[values(false, true)] and_submitted_again: bool,
) {
    let (mut bench, sweep) = Bench::start_own(backend).with_sweep(2).await;
    let onlooker = bench.onlooker().await;
    // Two with a chunk that takes a minute, and one for which there is none.
    let busy = [1, 2].map(|number| Process::worker(&bench.settings, number, 6_000.0));
    claimed(&*onlooker, 2).await;
    let idle = Process::worker(&bench.settings, 3, 1.0);
    until("there are three workers", async || onlooker.workers().await.expect("reads") == 3).await;
    let looking = aggregator(&bench);
    // All of them have seen the sweep by now: an idle worker asks four times a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(onlooker);
    bench.lose_everything();
    let begun = Instant::now();
    if and_submitted_again {
        coordinator::run(&*bench.onlooker().await, &sweep, None).await.expect("submits");
    }
    for worker in busy {
        assert_it_says_so(worker, "a busy worker");
    }
    assert_it_says_so(idle, "an idle worker");
    assert_it_says_so(looking, "the aggregator");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    if and_submitted_again {
        let worker = Process::worker(&bench.settings, 4, 0.0).end();
        assert!(worker.status.success(), "{worker}");
        bench.assert_exact(&sweep).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_result_is_not_stored_where_the_sweep_is_not(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[values(false, true)] and_submitted_again: bool,
) {
    let (mut bench, sweep) = Bench::start_own(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let held = claim_one(&*worker).await;
    bench.lose_everything();
    if and_submitted_again {
        coordinator::run(&*bench.onlooker().await, &sweep, None).await.expect("submits");
    }
    let lost = worker.commit(&[computed(&held, "worker-1")]).await;
    assert!(matches!(lost, Err(QueueError::SweepLost { .. })), "{lost:?}");
    assert_eq!(bench.report().await.chunks, 0);
}

#[rstest]
#[tokio::test]
async fn a_coordinator_in_the_middle_of_its_work_says_so(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let mut bench = Bench::start_own(backend);
    let sweep = Sweep { start: 0, params: 100, chunk_size: 10 };
    let broker = bench.onlooker().await;
    broker.open(&sweep, None).await.expect("opens");
    assert_eq!(broker.submit(&sweep, 0, 5).await.expect("submits"), 5);
    bench.lose_everything();
    let lost = broker.submit(&sweep, 5, 10).await;
    assert!(matches!(lost, Err(QueueError::SweepLost { .. })), "{lost:?}");
    // Whoever comes next begins anew.
    let next = coordinator::run(&*bench.onlooker().await, &sweep, None).await.expect("submits");
    assert_eq!((next.chunks_found, next.chunks_submitted), (0, 10));
}

#[rstest]
#[tokio::test]
async fn a_worker_that_has_seen_no_sweep_waits_for_one(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let mut bench = Bench::start_own(backend);
    let worker = Process::worker(&bench.settings, 1, 0.0);
    let onlooker = bench.onlooker().await;
    until("there is a worker", async || onlooker.workers().await.expect("reads") == 1).await;
    if backend == Embedded {
        // The file is made by whoever comes first, and the worker watches it.
        onlooker.standing().await.expect("reads");
    }
    drop(onlooker);
    bench.lose_everything();
    let sweep = Sweep { start: 0, params: 100, chunk_size: 10 };
    coordinator::run(&*bench.onlooker().await, &sweep, None).await.expect("submits");
    let ended = worker.end();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 10, "{ended}");
    bench.assert_exact(&sweep).await;
}

#[tokio::test]
async fn a_server_that_is_flushed_under_a_worker_has_lost_the_sweep() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(500).await;
    let onlooker = bench.onlooker().await;
    let workers = [1, 2].map(|number| Process::worker(&bench.settings, number, 1.0));
    until("the workers are at work", async || {
        onlooker.standing().await.expect("reads").committed > 10
    })
    .await;
    bench.redis().command(&["FLUSHALL"]);
    for worker in workers {
        assert_it_says_so(worker, "a worker");
    }
    assert_eq!(bench.report().await.chunks, 0);
}

/// Takes connections to a server. With each change nothing comes back any more over those that there are.
async fn carry(detour: Detour, silence: watch::Receiver<()>) {
    loop {
        let mut passage = detour.next().await;
        let mut silence = silence.clone();
        silence.mark_unchanged();
        tokio::spawn(async move {
            let mut bytes = vec![0; 1 << 16];
            loop {
                let length = tokio::select! {
                    biased;
                    Ok(()) = silence.changed() => {
                        passage.withhold_answers();
                        continue;
                    }
                    said = passage.client.read(&mut bytes) => said.unwrap_or(0),
                };
                let passed = passage.server.write_all(&bytes[..length]).await;
                if length == 0 || passed.is_err() {
                    return;
                }
            }
        });
    }
}

/// One that was frozen, or whose way back was cut: it commits before it can hear that its task is gone.
#[rstest]
#[tokio::test]
async fn a_worker_that_hears_nothing_of_a_reset_adds_nothing_to_the_next_sweep(
    #[values(false, true)] is_open: bool,
) {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(3).await;
    let (settings, detour) = Detour::to(&bench).await;
    let (silence, asked) = watch::channel(());
    tokio::spawn(carry(detour, asked));
    let old = bench.worker_with(&settings, "worker-1").await;
    let kept = claim_one(&*old).await;
    silence.send(()).expect("somebody carries");
    let broker = bench.onlooker().await;
    broker.reset().await.expect("resets");
    let sweep = Sweep { start: 500, params: 20, chunk_size: 10 };
    if is_open {
        coordinator::run(&*broker, &sweep, None).await.expect("submits");
    }
    commit(&*old, &kept, "worker-1").await;
    if !is_open {
        coordinator::run(&*broker, &sweep, None).await.expect("submits");
    }
    let new = bench.worker("worker-2").await;
    for _ in 0..2 {
        let delivery = claim_one(&*new).await;
        commit(&*new, &delivery, "worker-2").await;
    }
    bench.assert_exact(&sweep).await;
}
