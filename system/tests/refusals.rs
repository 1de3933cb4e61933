//! A broker that refuses for a while, because it lacks memory or disk: everybody waits, and nothing
//! is lost.

mod support;

use std::time::Duration;

use ttg_system::chunk::Sweep;
use ttg_system::coordinator;

use support::bench::Backend::{RabbitMq, Redis};
use support::bench::Bench;
use support::process::{Process, until};

/// For how long: longer than an answer of RabbitMQ's is waited for.
const WHILE: Duration = Duration::from_secs(7);

async fn workers_complete_it(bench: &Bench, sweep: &Sweep, workers: Vec<Process>) {
    for worker in workers {
        let ended = worker.end();
        assert!(ended.status.success(), "{ended}");
    }
    bench.assert_exact(sweep).await;
}

#[tokio::test]
async fn a_redis_that_is_out_of_memory_for_a_while_costs_nothing() {
    let (mut bench, sweep) = Bench::start(Redis).with_sweep(300).await;
    let onlooker = bench.onlooker().await;
    let workers: Vec<_> = [1, 2].map(|it| Process::worker(&bench.settings, it, 1.0)).into();
    until("they are at work", async || onlooker.standing().await.expect("reads").committed > 10)
        .await;
    bench.redis().command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    bench.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = onlooker.standing().await.expect("reads").committed;
    // The time for which it refuses is what is tested.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(onlooker.standing().await.expect("reads").committed, full, "it does not refuse");
    bench.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
    workers_complete_it(&bench, &sweep, workers).await;
}

#[tokio::test]
async fn a_coordinator_waits_for_a_redis_that_is_out_of_memory() {
    let mut bench = Bench::start(Redis);
    let sweep = Sweep { start: 0, params: 1000, chunk_size: 10 };
    let broker = bench.onlooker().await;
    broker.open(&sweep, None).await.expect("opens");
    bench.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
    let relief = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(bench.onlooker().await.standing().await.expect("reads").submitted, 0);
        bench.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
    };
    let (done, ()) = tokio::join!(coordinator::run(&*broker, &sweep, None), relief);
    assert_eq!(done.expect("submits").chunks_submitted, 100);
}

#[tokio::test]
async fn a_rabbitmq_that_is_out_of_memory_for_a_while_costs_nothing() {
    let (bench, sweep) = Bench::start_own(RabbitMq).with_sweep(300).await;
    let onlooker = bench.onlooker().await;
    let workers: Vec<_> = [1, 2].map(|it| Process::worker(&bench.settings, it, 2.0)).into();
    until("they are at work", async || onlooker.standing().await.expect("reads").committed > 10)
        .await;
    watermark(&bench, "0.0000001");
    // One that comes in the middle of it.
    let late = Process::worker(&bench.settings, 3, 2.0);
    // The time for which it refuses is what is tested.
    tokio::time::sleep(WHILE).await;
    watermark(&bench, "0.4");
    let redelivered = onlooker.redelivered().await.expect("reads").deliveries;
    assert_eq!(redelivered, 0, "connections were given up");
    workers_complete_it(&bench, &sweep, [workers, vec![late]].into_iter().flatten().collect())
        .await;
}

fn watermark(bench: &Bench, share: &str) {
    let status = bench.rabbitmq().control(&["set_vm_memory_high_watermark", share]);
    assert!(status.expect("rabbitmqctl runs").success());
}
