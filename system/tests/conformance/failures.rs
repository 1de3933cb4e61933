//! What fails is attempted again, so often and no oftener.

use std::rc::Rc;
use std::time::Duration;

use rstest::rstest;
use tokio::time::Instant;
use ttg_system::queue::{Broker, Commit, Cursor, Failure};
use ttg_system::wire::{DeadLetter, get};

use crate::support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use crate::support::bench::{Bench, assert_nothing_to_claim, claim_one, commit};

async fn dead_letters(broker: &dyn Broker) -> Vec<DeadLetter> {
    broker.dead_letters(&mut Cursor::default(), 100).await.expect("reads")
}

#[rstest]
#[tokio::test]
async fn a_failed_chunk_is_attempted_again_after_the_delay_and_then_dead(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    // Clocks of whole milliseconds may round down.
    let delay = bench.settings.retry_delay - Duration::from_millis(1);
    let mut failed: Option<Instant> = None;
    for attempt in 0..=bench.settings.max_retries {
        let delivery = claim_one(&*worker).await;
        assert!(failed.is_none_or(|failed| failed.elapsed() >= delay));
        assert_eq!((delivery.task.retry_count, delivery.token.number), (attempt, 1));
        assert_eq!(delivery.task.chunk, sweep.chunk(0));
        let last = attempt == bench.settings.max_retries;
        failed = Some(Instant::now());
        let outcome = worker.fail(&delivery, &format!("failure {attempt}")).await.expect("fails");
        assert_eq!(outcome, if last { Failure::DeadLettered } else { Failure::Retried });
        let again = worker.fail(&delivery, "a repetition").await.expect("fails");
        assert_eq!(again, Failure::NotHeld);
    }
    let letters = dead_letters(&*worker).await;
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.last_error.as_str(), letter.retry_count), ("failure 2", 3));
    assert!(letter.failed_at.parse::<jiff::Timestamp>().is_ok(), "{}", letter.failed_at);
    assert_eq!(get(&letter.task, "status"), Some("dead_lettered"));
    assert_eq!(letter.task().map(|task| task.chunk), Some(sweep.chunk(0)));
    let standing = worker.standing().await.expect("reads");
    assert_eq!((standing.committed, standing.dead), (0, 1));
    assert!(standing.is_complete());
    assert_nothing_to_claim(&*worker).await;
}

#[rstest]
#[tokio::test]
async fn a_retry_is_no_submission_and_may_be_committed_by_anybody(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    let (failing, other) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    let delivery = claim_one(&*failing).await;
    failing.fail(&delivery, "once").await.expect("fails");
    failing.leave().await.expect("leaves");
    let again = claim_one(&*other).await;
    let tasks = other.tasks(&mut Cursor::default(), 10).await.expect("reads");
    let first: Vec<_> =
        tasks.iter().flat_map(|task| &task.what).map(ttg_system::wire::Task::is_first).collect();
    assert_eq!(first, [true, false]);
    assert_eq!(commit(&*other, &again, "worker-2").await, Commit::Committed);
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_chunk_whose_workers_all_die_becomes_a_dead_letter(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    for life in 1..=bench.settings.max_deliveries {
        let worker: Rc<dyn Broker> = bench.worker(&format!("worker-{life}")).await;
        let delivery = claim_one(&*worker).await;
        assert_eq!(delivery.token.number, u64::from(life));
    }
    let worker = bench.worker("worker-9").await;
    let claimed = worker.claim(1, Duration::from_secs(5)).await.expect("claims");
    assert_eq!(claimed, []);
    let letters = dead_letters(&*worker).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        letters[0].last_error,
        "delivered 3 times, and each time the worker died or fell silent"
    );
    assert_eq!(letters[0].task().map(|task| task.chunk), Some(sweep.chunk(0)));
    assert!(worker.standing().await.expect("reads").is_complete());
}

#[rstest]
#[tokio::test]
async fn a_dead_chunk_cannot_be_committed_any_more(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let mut delivery = claim_one(&*worker).await;
    delivery.task.retry_count = bench.settings.max_retries;
    assert_eq!(worker.fail(&delivery, "enough").await.expect("fails"), Failure::DeadLettered);
    assert_eq!(commit(&*worker, &delivery, "worker-1").await, Commit::AlreadySettled);
    let report = bench.report().await;
    assert_eq!((report.complete, report.chunks, report.dead_lettered), (false, 0, 1));
}

#[rstest]
#[tokio::test]
async fn a_committed_chunk_cannot_die_any_more(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    let dies = bench.worker("worker-1").await;
    let first = claim_one(&*dies).await;
    drop(dies);
    let owner = bench.worker("worker-2").await;
    let mut second = claim_one(&*owner).await;
    second.task.retry_count = bench.settings.max_retries;
    let woken = bench.worker("worker-1").await;
    assert_eq!(commit(&*woken, &first, "worker-1").await, Commit::Committed);
    assert_eq!(owner.fail(&second, "enough").await.expect("fails"), Failure::NotHeld);
    assert_eq!(dead_letters(&*owner).await, []);
    bench.assert_exact(&sweep).await;
}
