//! Onlookers read everything, page by page, and change nothing.

use std::time::Duration;

use rstest::rstest;
use tokio::join;
use tokio::time::Instant;
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::{Cursor, Delivery, Depths};
use ttg_system::wire::{DeadLetter, TaskResult};

use crate::support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use crate::support::bench::{Bench, PATIENCE, claim_one, commit, stats};
use crate::support::process::until;

#[rstest]
#[tokio::test]
async fn an_empty_broker_reads_as_nothing(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let onlooker = bench.onlooker().await;
    assert_eq!(onlooker.sweep().await.expect("reads"), None);
    assert_eq!(onlooker.held().await.expect("reads"), []);
    assert_eq!(onlooker.redelivered().await.expect("reads").deliveries, 0);
    assert!(!onlooker.standing().await.expect("reads").is_complete());
    let mut cursor = Cursor::default();
    assert_eq!(onlooker.tasks(&mut cursor, 10).await.expect("reads"), []);
    assert_eq!(onlooker.dead_letters(&mut cursor, 10).await.expect("reads"), []);
    let wait = Duration::from_millis(20);
    let begun = Instant::now();
    assert_eq!(onlooker.results(&mut cursor, 10, wait).await.expect("reads"), []);
    assert!(begun.elapsed() >= wait);
    assert_eq!(cursor, Cursor::default());
}

#[rstest]
#[tokio::test]
async fn a_sweep_says_which_it_is(#[values(Embedded, Redis, RabbitMq, Model)] backend: Backend) {
    let bench = Bench::start(backend);
    let onlooker = bench.onlooker().await;
    let sweep = Sweep { start: 7, params: 100, chunk_size: 30 };
    coordinator::run(&*onlooker, &sweep, Some("a job")).await.expect("submits");
    let info = onlooker.sweep().await.expect("reads").expect("is there");
    assert_eq!((info.sweep, info.job_id.as_str()), (sweep, "a job"));
    assert!(info.created_at.parse::<jiff::Timestamp>().is_ok());
}

#[rstest]
#[tokio::test]
async fn pages_follow_each_other_without_gaps(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(7).await;
    let (worker, onlooker) = (bench.worker("worker-1").await, bench.onlooker().await);
    for _ in 0..4 {
        let delivery = claim_one(&*worker).await;
        commit(&*worker, &delivery, "worker-1").await;
    }
    for _ in 0..3 {
        let mut delivery = claim_one(&*worker).await;
        delivery.task.retry_count = bench.settings.max_retries;
        worker.fail(&delivery, "enough").await.expect("fails");
    }
    let (mut results, mut tasks, mut letters) = (Vec::new(), Vec::new(), Vec::new());
    let mut cursors = [Cursor::default(), Cursor::default(), Cursor::default()];
    for _ in 0..5 {
        let wait = Duration::ZERO;
        results.extend(onlooker.results(&mut cursors[0], 2, wait).await.expect("reads"));
        tasks.extend(onlooker.tasks(&mut cursors[1], 2).await.expect("reads"));
        letters.extend(onlooker.dead_letters(&mut cursors[2], 2).await.expect("reads"));
    }
    let results: Vec<_> = results.into_iter().map(|r| r.what.expect("readable")).collect();
    let chunks: Vec<_> = results.iter().map(|result| result.chunk_index).collect();
    assert_eq!(chunks, [0, 1, 2, 3]);
    assert_eq!(results[2].stats, stats(&sweep.chunk(2)));
    assert_eq!(results[2].worker_id, "worker-1");
    let chunks: Vec<_> =
        tasks.iter().flat_map(|task| &task.what).map(|task| task.chunk.index).collect();
    assert_eq!(chunks, [0, 1, 2, 3, 4, 5, 6]);
    let chunks: Vec<_> =
        letters.iter().filter_map(DeadLetter::task).map(|task| task.chunk.index).collect();
    assert_eq!(chunks, [4, 5, 6]);
}

#[rstest]
#[tokio::test]
async fn a_retry_is_a_task_that_says_so(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let onlooker = bench.onlooker().await;
    let sweep = Sweep { start: 0, params: 20, chunk_size: 10 };
    onlooker.open(&sweep, None).await.expect("opens");
    onlooker.submit(&sweep, 0, 1).await.expect("submits");
    let worker = bench.worker("worker-1").await;
    let delivery = claim_one(&*worker).await;
    worker.fail(&delivery, "once").await.expect("fails");
    claim_one(&*worker).await;
    onlooker.submit(&sweep, 1, 2).await.expect("submits");
    let mut cursor = Cursor::default();
    for expected in [(0, 0), (0, 1), (1, 0)] {
        let page = onlooker.tasks(&mut cursor, 1).await.expect("reads");
        let found = page.iter().flat_map(|it| &it.what).map(|it| (it.chunk.index, it.retry_count));
        assert_eq!(found.collect::<Vec<_>>(), [expected]);
    }
    assert_eq!(onlooker.tasks(&mut cursor, 1).await.expect("reads"), []);
}

#[rstest]
#[tokio::test]
async fn a_reader_of_results_is_woken_by_the_first(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let (worker, onlooker) = (bench.worker("worker-1").await, bench.onlooker().await);
    let delivery = claim_one(&*worker).await;
    let begun = Instant::now();
    let mut cursor = Cursor::default();
    let read = async {
        // A wait may be cut short, but never ends late.
        loop {
            let page = onlooker.results(&mut cursor, 10, PATIENCE).await.expect("reads");
            if !page.is_empty() {
                return page;
            }
        }
    };
    let (page, _) = join!(read, commit(&*worker, &delivery, "worker-1"));
    assert_eq!(page.len(), 1);
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[rstest]
#[tokio::test]
async fn what_is_held_says_by_whom(#[values(Embedded, Redis, RabbitMq, Model)] backend: Backend) {
    let (bench, _) = Bench::start(backend).with_sweep(3).await;
    let onlooker = bench.onlooker().await;
    let (a, b) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    for worker in [&a, &b] {
        claim_one(&**worker).await;
    }
    let wanted = [(0, "worker-1"), (1, "worker-2")];
    // RabbitMQ traces a delivery once it is on its way.
    until("it is told who holds what", async || {
        let mut held = onlooker.held().await.expect("reads");
        held.sort_by_key(|held| held.chunk_index);
        assert!(held.iter().all(|held| held.token.number == 1), "{held:?}");
        held.iter()
            .map(|held| (held.chunk_index.expect("is a task"), held.worker.as_str()))
            .eq(wanted)
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn an_onlooker_sees_how_much_is_in_each_queue(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (mut bench, _) = Bench::start(backend).with_sweep(6).await;
    bench.settings.retry_delay = Duration::from_secs(60);
    let onlooker = bench.onlooker().await;
    let depths = async || {
        let Depths { tasks, results, retry, letters } = onlooker.depths().await.expect("reads");
        (tasks, results, retry, letters)
    };
    assert_eq!(depths().await, (6, 0, 0, 0));
    let worker = bench.worker("worker-1").await;
    for _ in 0..4 {
        let delivery = claim_one(&*worker).await;
        commit(&*worker, &delivery, "worker-1").await;
    }
    let dying = claim_one(&*worker).await;
    worker.fail(&with_last_attempt(&dying, &bench), "enough").await.expect("fails");
    let failing = claim_one(&*worker).await;
    worker.fail(&failing, "once").await.expect("fails");
    // An acknowledgement is not answered.
    until("the queues are so", async || depths().await == (0, 4, 1, 1)).await;
}

fn with_last_attempt(delivery: &Delivery, bench: &Bench) -> Delivery {
    let mut delivery = delivery.clone();
    delivery.task.retry_count = bench.settings.max_retries;
    delivery
}

#[rstest]
#[tokio::test]
async fn open_are_the_tasks_that_nobody_has_settled_and_looking_takes_none(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (mut bench, _) = Bench::start(backend).with_sweep(5).await;
    bench.settings.retry_delay = Duration::from_secs(60);
    let onlooker = bench.onlooker().await;
    let worker = bench.worker("worker-1").await;
    let done = claim_one(&*worker).await;
    commit(&*worker, &done, "worker-1").await;
    let dying = claim_one(&*worker).await;
    worker.fail(&with_last_attempt(&dying, &bench), "enough").await.expect("fails");
    let failing = claim_one(&*worker).await;
    worker.fail(&failing, "once").await.expect("fails");
    claim_one(&*worker).await;
    worker.leave().await.expect("leaves");
    for _ in 0..2 {
        until("what was held is open again", async || {
            let open = onlooker.open_tasks(10).await.expect("reads");
            let mut chunks: Vec<_> = open.iter().filter_map(|task| task.chunk_index).collect();
            chunks.sort_unstable();
            chunks == [2, 3, 4]
        })
        .await;
    }
    assert_eq!(onlooker.open_tasks(1).await.expect("reads").len(), 1);
    let other = bench.worker("worker-2").await;
    let mut claimed = [claim_one(&*other).await, claim_one(&*other).await];
    claimed.sort_by_key(|delivery| delivery.task.chunk.index);
    assert_eq!(claimed.map(|delivery| delivery.task.chunk.index), [3, 4]);
}

#[rstest]
#[tokio::test]
async fn stored_results_are_all_that_are_there_however_often_they_are_read(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(3).await;
    let onlooker = bench.onlooker().await;
    let worker = bench.worker("worker-1").await;
    for _ in 0..3 {
        let delivery = claim_one(&*worker).await;
        commit(&*worker, &delivery, "worker-1").await;
    }
    for _ in 0..2 {
        let mut stored = Vec::new();
        let mut each = |result: Result<TaskResult, String>| {
            stored.push(result.expect("is a result").chunk_index);
        };
        onlooker.stored_results(&mut each).await.expect("reads");
        assert_eq!(stored, [0, 1, 2]);
    }
    assert_eq!(onlooker.depths().await.expect("reads").results, 3);
}
