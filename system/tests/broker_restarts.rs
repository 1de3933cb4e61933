//! The broker goes away in the middle of a sweep, with real workers in processes of their own.

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::Broker;

use support::bench::Backend::Redis;
use support::bench::Bench;
use support::process::{Process, send, until};

const SWEEP: Sweep = Sweep { start: 0, params: 2_000, chunk_size: 10 };

async fn half_way(broker: &dyn Broker) {
    until("half of the chunks are committed", async || {
        broker.standing().await.expect("reads").committed >= SWEEP.chunks() / 2
    })
    .await;
}

/// Three workers in the middle of a sweep.
async fn in_mid_sweep(lease: Duration) -> (Bench, Vec<Process>) {
    let bench = Bench::start(Redis).with_lease(lease);
    let broker = bench.onlooker().await;
    coordinator::run(&*broker, &SWEEP, None).await.expect("submits");
    let workers = (1..=3).map(|number| Process::worker(&bench.settings, number, 1.0)).collect();
    half_way(&*broker).await;
    (bench, workers)
}

async fn assert_they_complete_it(bench: &Bench, workers: Vec<Process>) {
    for worker in workers {
        let ended = worker.end();
        assert!(ended.status.success(), "{ended}");
        assert_eq!(ended.summary()["status"], "completed", "{ended}");
    }
    bench.assert_exact(&SWEEP).await;
    assert_eq!(bench.onlooker().await.held().await.expect("reads"), []);
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_costs_nothing() {
    let (mut bench, workers) = in_mid_sweep(Duration::from_secs(5)).await;
    bench.redis().kill();
    bench.redis().restart();
    assert_they_complete_it(&bench, workers).await;
}

#[tokio::test]
async fn a_server_that_is_away_for_longer_than_a_lease_costs_nothing() {
    let (mut bench, workers) = in_mid_sweep(Duration::from_millis(500)).await;
    bench.redis().kill();
    // The time for which it is away is what is tested.
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.redis().restart();
    assert_they_complete_it(&bench, workers).await;
}

#[tokio::test]
async fn a_server_that_is_killed_again_and_again_costs_nothing() {
    let (mut bench, workers) = in_mid_sweep(Duration::from_secs(5)).await;
    for _ in 0..3 {
        bench.redis().kill();
        bench.redis().restart();
        let onlooker = bench.onlooker().await;
        let before = onlooker.standing().await.expect("reads");
        until("the sweep goes on", async || {
            let now = onlooker.standing().await.expect("reads");
            now.is_complete() || now.committed > before.committed + 10
        })
        .await;
    }
    assert_they_complete_it(&bench, workers).await;
}

#[tokio::test]
async fn a_server_and_a_worker_that_are_killed_together_cost_nothing() {
    let (mut bench, mut workers) = in_mid_sweep(Duration::from_secs(5)).await;
    bench.redis().kill();
    workers.remove(0).kill();
    bench.redis().restart();
    assert_they_complete_it(&bench, workers).await;
}

#[tokio::test]
async fn a_server_that_stands_still_for_three_seconds_costs_nothing() {
    let (mut bench, workers) = in_mid_sweep(Duration::from_secs(1)).await;
    let server = bench.redis().pid();
    send(server, Signal::STOP);
    // The time for which it stands still is what is tested.
    tokio::time::sleep(Duration::from_secs(3)).await;
    send(server, Signal::CONT);
    assert_they_complete_it(&bench, workers).await;
}

#[tokio::test]
async fn a_worker_that_stands_still_loses_its_chunk_to_others_and_changes_nothing_later() {
    let (bench, workers) = in_mid_sweep(Duration::from_millis(300)).await;
    let broker = bench.onlooker().await;
    workers[0].signal(Signal::STOP);
    until("the others complete the sweep", async || {
        broker.standing().await.expect("reads").is_complete()
    })
    .await;
    workers[0].signal(Signal::CONT);
    assert_they_complete_it(&bench, workers).await;
}

#[tokio::test]
async fn a_worker_ends_soon_after_it_was_asked_to_though_the_server_is_away() {
    let (mut bench, workers) = in_mid_sweep(Duration::from_secs(5)).await;
    bench.redis().kill();
    let begun = Instant::now();
    for worker in &workers {
        worker.signal(Signal::TERM);
    }
    for worker in workers {
        let ended = worker.end();
        assert_eq!(ended.status.code(), Some(143), "{ended}");
        assert_eq!(ended.summary()["status"], "interrupted", "{ended}");
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}
