//! A sweep's chunks are submitted once each, whoever submits them and wherever he stops.

use std::time::Duration;

use rstest::rstest;
use tokio::join;
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::{Broker, Cursor, QueueError};

use crate::support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use crate::support::bench::{Bench, PATIENCE, assert_nothing_to_claim, claim_one, commit};

const SWEEP: Sweep = Sweep { start: 5, params: 1234, chunk_size: 10 };

async fn assert_each_chunk_is_there_once(broker: &dyn Broker) {
    let submitted = broker.tasks(&mut Cursor::default(), 10_000).await.expect("reads");
    let chunks: Vec<_> =
        submitted.iter().flat_map(|task| &task.what).map(|task| task.chunk).collect();
    let wanted: Vec<_> = (0..SWEEP.chunks()).map(|index| SWEEP.chunk(index)).collect();
    assert_eq!(chunks, wanted);
    let standing = broker.standing().await.expect("reads");
    assert_eq!((standing.total, standing.submitted), (Some(124), 124));
}

#[rstest]
#[tokio::test]
async fn a_coordinator_that_runs_again_submits_nothing(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let broker = bench.onlooker().await;
    let first = coordinator::run(&*broker, &SWEEP, Some("a job")).await.expect("submits");
    assert_eq!((first.chunks_found, first.chunks_submitted), (0, 124));
    for job_id in [Some("a job"), None] {
        let again = coordinator::run(&*broker, &SWEEP, job_id).await.expect("submits");
        assert_eq!((again.chunks_found, again.chunks_submitted), (124, 0));
    }
    assert_each_chunk_is_there_once(&*broker).await;
}

#[rstest]
#[tokio::test]
async fn coordinators_that_race_submit_each_chunk_once(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let (a, b) = (bench.onlooker().await, bench.onlooker().await);
    let race = async |broker: &dyn Broker| {
        let mut submitted = broker.open(&SWEEP, None).await.expect("opens");
        while submitted < SWEEP.chunks() {
            let to = (submitted + 7).min(SWEEP.chunks());
            submitted = broker.submit(&SWEEP, submitted, to).await.expect("submits");
        }
    };
    join!(race(&*a), race(&*b));
    assert_each_chunk_is_there_once(&*a).await;
}

#[rstest]
#[tokio::test]
async fn a_coordinator_goes_on_where_another_stopped(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[values(0, 1, 60, 123, 124)] stopped_at: u64,
) {
    let bench = Bench::start(backend);
    let broker = bench.onlooker().await;
    assert_eq!(broker.open(&SWEEP, None).await.expect("opens"), 0);
    assert_eq!(broker.submit(&SWEEP, 0, stopped_at).await.expect("submits"), stopped_at);
    drop(broker);
    let broker = bench.onlooker().await;
    let summary = coordinator::run(&*broker, &SWEEP, None).await.expect("submits");
    assert_eq!(summary.chunks_found, stopped_at);
    assert_each_chunk_is_there_once(&*broker).await;
}

#[rstest]
#[tokio::test]
async fn a_step_that_is_repeated_or_out_of_order_changes_nothing(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let broker = bench.onlooker().await;
    broker.open(&SWEEP, None).await.expect("opens");
    for (from, to, then) in [(10, 20, 0), (0, 20, 20), (0, 20, 20), (10, 30, 20), (20, 124, 124)] {
        assert_eq!(broker.submit(&SWEEP, from, to).await.expect("submits"), then);
    }
    assert_each_chunk_is_there_once(&*broker).await;
}

#[rstest]
#[case::more_parameters(Sweep { params: 1235, ..SWEEP }, None)]
#[case::other_chunks(Sweep { chunk_size: 11, ..SWEEP }, None)]
#[case::another_start(Sweep { start: 6, ..SWEEP }, None)]
#[case::another_job(SWEEP, Some("another"))]
#[tokio::test]
async fn another_sweep_is_refused(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[case] other: Sweep,
    #[case] job_id: Option<&str>,
) {
    let bench = Bench::start(backend);
    let broker = bench.onlooker().await;
    coordinator::run(&*broker, &SWEEP, Some("job")).await.expect("submits");
    let refused = coordinator::run(&*broker, &other, job_id).await;
    let Err(QueueError::OtherSweep { there, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(there, "a sweep of 1234 parameters from 5 in chunks of 10 (job job)");
    assert_each_chunk_is_there_once(&*broker).await;
}

#[rstest]
#[tokio::test]
async fn after_a_reset_another_sweep_runs_and_workers_of_the_old_one_change_nothing(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[values(false, true)] has_stopped_asking: bool,
) {
    let (bench, _) = Bench::start(backend).with_sweep(3).await;
    let (old, broker) = (bench.worker("worker-1").await, bench.onlooker().await);
    let kept = claim_one(&*old).await;
    let failing = claim_one(&*old).await;
    if has_stopped_asking {
        old.release(std::slice::from_ref(&failing.token)).await.expect("releases");
    }
    broker.reset().await.expect("resets");
    let sweep = Sweep { start: 500, params: 20, chunk_size: 10 };
    coordinator::run(&*broker, &sweep, None).await.expect("submits");
    let new = bench.worker("worker-2").await;
    let (first, second) = (claim_one(&*new).await, claim_one(&*new).await);
    let tokens = [kept.token.clone(), failing.token.clone()];
    if !has_stopped_asking {
        assert_eq!(old.renew(&tokens).await.expect("renews"), tokens);
    }
    let outcome = commit(&*old, &kept, "worker-1").await;
    assert_eq!(outcome, ttg_system::queue::Commit::AlreadySettled);
    old.fail(&failing, "too late").await.expect("fails");
    old.release(&tokens).await.expect("releases");
    assert_nothing_to_claim(&*new).await;
    for delivery in [first, second] {
        commit(&*new, &delivery, "worker-2").await;
    }
    bench.assert_exact(&sweep).await;
}

/// One that was frozen while its sweep was discarded wakes up, and goes on.
#[rstest]
#[tokio::test]
async fn a_coordinator_submits_nothing_into_a_sweep_that_is_not_its_own(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[values(false, true)] there_is_another: bool,
) {
    let bench = Bench::start(backend);
    let (frozen, broker) = (bench.onlooker().await, bench.onlooker().await);
    let large = Sweep { start: 0, params: 12_340, chunk_size: 10 };
    assert_eq!(frozen.open(&large, None).await.expect("opens"), 0);
    assert_eq!(frozen.submit(&large, 0, 5).await.expect("submits"), 5);
    broker.reset().await.expect("resets");
    let small = Sweep { start: 500, params: 30, chunk_size: 10 };
    if there_is_another {
        coordinator::run(&*broker, &small, None).await.expect("submits");
    }
    for from in [5, 3, 0] {
        let refused = frozen.submit(&large, from, from + 5).await.expect_err("it is gone");
        assert!(matches!(refused, QueueError::SweepLost { .. }), "{refused}");
    }
    let waiting = broker.depths().await.expect("counts").tasks;
    assert_eq!(waiting, if there_is_another { 3 } else { 0 });
}

#[rstest]
#[tokio::test]
async fn a_reset_disturbs_no_worker(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[values(false, true)] with_a_new_sweep: bool,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let (worker, broker) = (bench.worker("worker-1").await, bench.onlooker().await);
    let held = claim_one(&*worker).await;
    let reset = async {
        broker.reset().await.expect("resets");
        if with_a_new_sweep {
            coordinator::run(&*broker, &SWEEP, None).await.expect("submits");
        }
    };
    let wait = if with_a_new_sweep { PATIENCE } else { Duration::from_millis(100) };
    let (claimed, ()) = join!(worker.claim(1, wait), reset);
    assert_eq!(claimed.expect("goes on").len(), usize::from(with_a_new_sweep));
    if !with_a_new_sweep {
        assert_eq!(
            commit(&*worker, &held, "worker-1").await,
            ttg_system::queue::Commit::AlreadySettled
        );
        worker.leave().await.expect("leaves");
        coordinator::run(&*broker, &SWEEP, None).await.expect("submits");
        assert_eq!(claim_one(&*worker).await.task.chunk, SWEEP.chunk(0));
    }
}
