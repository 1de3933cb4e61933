//! What a worker leaves behind is others' at once, in well under a lease.

use std::time::Duration;

use rstest::rstest;
use tokio::time::Instant;
use ttg_system::queue::{Asker, Broker, Commit, Delivery};

use crate::support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use crate::support::bench::{Bench, claim_one, commit};
use crate::support::process::{Process, until};

/// Leases last a minute here.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn taken_over_at_once(queue: &dyn Broker) -> Delivery {
    let begun = Instant::now();
    let delivery = claim_one(queue).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(delivery.token.number, 2);
    delivery
}

#[rstest]
#[tokio::test]
async fn released_deliveries_go_to_others_at_once(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    let (worker, other) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    let delivery = claim_one(&*worker).await;
    worker.release(std::slice::from_ref(&delivery.token)).await.expect("releases");
    worker.release(std::slice::from_ref(&delivery.token)).await.expect("may be repeated");
    assert_eq!(worker.held().await.expect("reads"), [], "it is with nobody");
    let taken = taken_over_at_once(&*other).await;
    assert_eq!(other.redelivered().await.expect("reads").deliveries, 1);
    assert_eq!(commit(&*other, &taken, "worker-2").await, Commit::Committed);
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn what_a_worker_holds_when_it_leaves_goes_to_others_at_once(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    let (worker, other) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    claim_one(&*worker).await;
    worker.leave().await.expect("leaves");
    worker.leave().await.expect("may be repeated");
    let taken = taken_over_at_once(&*other).await;
    assert_eq!(commit(&*other, &taken, "worker-2").await, Commit::Committed);
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_worker_is_counted_from_its_first_claim_until_it_leaves(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let (worker, other) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    assert_eq!(other.workers().await.expect("reads"), 0);
    claim_one(&*worker).await;
    assert_eq!(other.workers().await.expect("reads"), 1);
    assert_eq!(other.claim(1, Duration::ZERO).await.expect("claims"), []);
    assert_eq!(other.workers().await.expect("reads"), 2);
    worker.leave().await.expect("leaves");
    assert_eq!(other.workers().await.expect("reads"), 1);
}

#[rstest]
#[tokio::test]
async fn what_a_vanished_worker_held_goes_to_others_at_once(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let (worker, other) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    claim_one(&*worker).await;
    drop(worker);
    taken_over_at_once(&*other).await;
}

#[rstest]
#[tokio::test]
async fn what_a_killed_process_held_goes_to_others_at_once(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(2).await;
    let onlooker = bench.onlooker().await;
    let mut killed = Process::worker(&bench.settings, 1, 60_000.0);
    until("the worker has a chunk", async || !onlooker.held().await.expect("reads").is_empty())
        .await;
    killed.kill();
    let other = bench.worker("worker-2").await;
    let taken = taken_over_at_once(&*other).await;
    let rest = claim_one(&*other).await;
    for delivery in [taken, rest] {
        assert_eq!(commit(&*other, &delivery, "worker-2").await, Commit::Committed);
    }
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_new_worker_of_the_same_name_finds_what_its_former_life_held(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(3).await;
    let former = bench.worker("worker-1").await;
    let held = former.claim(2, AT_ONCE).await.expect("claims");
    assert_eq!(held.len(), 2);
    drop(former);
    let worker = bench.worker("worker-1").await;
    let mut found = Vec::new();
    for _ in 0..3 {
        found.push(claim_one(&*worker).await);
    }
    found.sort_by_key(|delivery| delivery.task.chunk.index);
    let numbers: Vec<_> = found.iter().map(|d| (d.task.chunk.index, d.token.number)).collect();
    assert_eq!(numbers, [(0, 2), (1, 2), (2, 1)]);
    for delivery in &found {
        assert_eq!(commit(&*worker, delivery, "worker-1").await, Commit::Committed);
    }
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_worker_that_works_leaves_its_own_deliveries_alone(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[values(Asker::Idle, Asker::Busy)] asker: Asker,
) {
    let lease = Duration::from_millis(20);
    let (bench, _) = Bench::start(backend).with_lease(lease).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    let held = worker.claim(2, AT_ONCE).await.expect("claims");
    let tokens: Vec<_> = held.iter().map(|delivery| delivery.token.clone()).collect();
    let begun = Instant::now();
    // Not even when it was slow to renew them.
    while begun.elapsed() < 4 * lease {
        assert_eq!(worker.take_over(5, &tokens, asker).await.expect("takes over"), []);
        tokio::time::sleep(lease / 4).await;
    }
}

#[rstest]
#[tokio::test]
async fn an_idle_worker_takes_over_at_its_first_look_and_a_busy_one_at_its_second(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(4).await;
    let busy = bench.worker("worker-1").await;
    let own = claim_one(&*busy).await;
    let vanished = bench.worker("worker-2").await;
    assert_eq!(vanished.claim(3, AT_ONCE).await.expect("claims").len(), 3);
    drop(vanished);
    // Once somebody has taken over one of the three, the death is there for all to see.
    let prober = bench.worker("worker-3").await;
    taken_over_at_once(&*prober).await;
    let held = std::slice::from_ref(&own.token);
    tokio::time::sleep(bench.settings.takeover_interval).await;
    assert_eq!(busy.take_over(1, held, Asker::Busy).await.expect("looks"), []);
    let idle = bench.worker("worker-4").await;
    assert_eq!(idle.take_over(1, &[], Asker::Idle).await.expect("looks").len(), 1);
    tokio::time::sleep(bench.settings.takeover_interval).await;
    assert_eq!(busy.take_over(1, held, Asker::Busy).await.expect("looks").len(), 1);
}
