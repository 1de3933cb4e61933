//! Tasks are gone from their queue, or what was committed is gone, though the broker is the same: whoever
//! is there notices. What is open is submitted again, once; where results are gone, everybody says so.

mod support;

use std::time::{Duration, Instant};

use rstest::rstest;
use ttg_system::coordinator;
use ttg_system::queue::{Broker, Cursor, QueueError};
use ttg_system::wire;

use support::bench::Backend::{self, Embedded, RabbitMq, Redis};
use support::bench::{Bench, claim_one, commit, computed};
use support::process::{Ended, Process, broker_environment, ttg, until};

/// How long it may take until what is gone is submitted again: on RabbitMQ a dead connection must have
/// been noticed before.
const SOON: Duration = Duration::from_secs(15);

/// Short enough for RabbitMQ to notice a dead connection soon.
const LEASE: Duration = Duration::from_secs(2);

fn bench(backend: Backend) -> Bench {
    Bench::start(backend).with_lease(LEASE)
}

fn role(bench: &Bench, arguments: &[&str]) -> Process {
    Process::start(ttg(arguments).envs(broker_environment(&bench.settings)))
}

/// One that leaves soon, if it may.
fn impatient_worker(bench: &Bench) -> Process {
    role(bench, &["worker", "--worker-id", "1", "--idle-timeout-seconds", "0.5"])
}

fn assert_it_is_lost(ended: &Ended, who: &str) {
    assert_eq!(ended.status.code(), Some(65), "{who}: {ended}");
    assert!(ended.stderr.contains("its data was lost or replaced"), "{who}: {ended}");
}

/// How often each chunk was submitted.
async fn submissions(broker: &dyn Broker) -> Vec<usize> {
    let mut times = Vec::new();
    let mut cursor = Cursor::default();
    loop {
        let page = broker.tasks(&mut cursor, 1000).await.expect("reads");
        if page.is_empty() {
            return times;
        }
        for task in page {
            let index = task.what.expect("ours").chunk.index as usize;
            times.resize(times.len().max(index + 1), 0);
            times[index] += 1;
        }
    }
}

#[rstest]
#[tokio::test]
async fn workers_submit_again_what_is_in_no_queue(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = bench(backend).with_sweep(20).await;
    let worker = bench.worker("worker-9").await;
    let done = claim_one(&*worker).await;
    commit(&*worker, &done, "worker-9").await;
    worker.leave().await.expect("leaves");
    bench.lose_tasks().await;
    let begun = Instant::now();
    let workers = [1, 2].map(|number| Process::worker(&bench.settings, number, 0.1));
    for worker in workers {
        let ended = worker.end();
        assert!(ended.status.success(), "{ended}");
        assert_eq!(ended.summary()["status"], "completed", "{ended}");
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    bench.assert_exact(&sweep).await;
    if backend == Redis {
        // Of the stream that was deleted nothing is left to be seen.
        let mut once = vec![1; 20];
        once[done.task.chunk.index as usize] = 0;
        assert_eq!(submissions(&*bench.onlooker().await).await, once);
    }
}

#[rstest]
#[tokio::test]
async fn a_coordinator_submits_again_what_is_in_no_queue(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = bench(backend).with_sweep(20).await;
    bench.lose_tasks().await;
    let again = coordinator::run(&*bench.onlooker().await, &sweep, None).await.expect("submits");
    assert_eq!((again.chunks_found, again.chunks_submitted, again.chunks_resubmitted), (20, 0, 20));
    let again = coordinator::run(&*bench.onlooker().await, &sweep, None).await.expect("submits");
    assert_eq!(again.chunks_resubmitted, 0);
    let ended = Process::worker(&bench.settings, 1, 0.1).end();
    assert_eq!(ended.summary()["chunks_processed"], 20, "{ended}");
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn an_aggregator_that_waits_submits_again_what_is_in_no_queue(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = bench(backend).with_sweep(20).await;
    bench.lose_tasks().await;
    let waiting = role(&bench, &["aggregate", "--json"]);
    let onlooker = bench.onlooker().await;
    until("the tasks are there again", async || {
        onlooker.depths().await.expect("reads").tasks == 20
    })
    .await;
    let ended = Process::worker(&bench.settings, 1, 0.1).end();
    assert_eq!(ended.summary()["chunks_processed"], 20, "{ended}");
    let report = waiting.end();
    assert!(report.status.success() && report.stdout.contains(r#""complete":true"#), "{report}");
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn what_is_with_somebody_is_not_lost_and_nobody_leaves(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = bench(backend).with_sweep(1).await;
    let worker = bench.worker("worker-9").await;
    let held = claim_one(&*worker).await;
    let waiting = impatient_worker(&bench);
    // Longer than it takes to be sure that a task is lost.
    let enough = Instant::now() + Duration::from_secs(6);
    until("that time has passed", async || {
        assert_eq!(worker.renew(std::slice::from_ref(&held.token)).await.expect("renews"), []);
        assert_eq!(worker.reconcile().await.expect("adds up").resubmitted, 0);
        Instant::now() >= enough
    })
    .await;
    let onlooker = bench.onlooker().await;
    assert_eq!(onlooker.workers().await.expect("reads"), 2, "the other one is still there");
    commit(&*worker, &held, "worker-9").await;
    let ended = waiting.end();
    assert_eq!(ended.summary()["status"], "completed", "{ended}");
    bench.assert_exact(&sweep).await;
    if backend != RabbitMq {
        assert_eq!(submissions(&*onlooker).await, [1]);
    }
}

#[rstest]
#[tokio::test]
async fn nobody_leaves_while_a_retry_waits(#[values(Embedded, Redis, RabbitMq)] backend: Backend) {
    let mut bench = bench(backend);
    bench.settings.retry_delay = Duration::from_secs(4);
    let (bench, sweep) = bench.with_sweep(1).await;
    let worker = bench.worker("worker-9").await;
    let held = claim_one(&*worker).await;
    worker.fail(&held, "not today").await.expect("fails");
    worker.leave().await.expect("leaves");
    let ended = impatient_worker(&bench).end();
    assert_eq!(ended.summary()["status"], "completed", "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 1, "{ended}");
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_worker_leaves_where_nobody_feeds_the_queue(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let bench = bench(backend);
    // On the embedded one, a file is there.
    drop(bench.onlooker().await);
    let ended = impatient_worker(&bench).end();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(ended.summary()["status"], "idle", "{ended}");
}

/// How results that were committed can go.
fn damage_to(backend: Backend) -> Vec<&'static [&'static str]> {
    match backend {
        Redis => vec![
            &["XTRIM", "ttg:results", "MAXLEN", "0"],
            &["DEL", "ttg:results"],
            &["DEL", "ttg:committed"],
            &["DEL", "ttg:progress"],
            &["DEL", "ttg:metadata"],
        ],
        _ => vec![&["DELETE FROM results WHERE seq = 2"], &["DELETE FROM results"]],
    }
}

#[rstest]
#[tokio::test]
async fn everybody_says_that_what_was_committed_is_gone(
    #[values(Embedded, Redis)] backend: Backend,
) {
    for damage in damage_to(backend) {
        let (mut bench, _) = bench(backend).with_sweep(4).await;
        assert!(Process::worker(&bench.settings, 1, 0.1).end().status.success());
        match backend {
            Redis => bench.redis().command(damage),
            _ => drop(bench.file().execute(damage[0], []).expect("deletes")),
        }
        let sweep = ["--total-parameters", "40", "--chunk-size", "10"];
        let roles: [&[&str]; 3] =
            [&["worker"], &["aggregate"], &[&["coordinator"], &sweep[..]].concat()];
        for arguments in roles {
            assert_it_is_lost(&role(&bench, arguments).end(), &format!("{damage:?} {arguments:?}"));
        }
        assert!(
            role(&bench, &[&["coordinator", "--reset"], &sweep[..]].concat())
                .end()
                .status
                .success()
        );
    }
}

#[tokio::test]
async fn a_file_whose_log_was_removed_while_it_was_in_use_is_lost() {
    let (bench, _) = bench(Embedded).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    let held = claim_one(&*worker).await;
    let ttg_system::queue::Address::Embedded(path) = &bench.settings.address else { panic!() };
    let mut log = path.clone().into_os_string();
    log.push("-wal");
    std::fs::remove_file(log).expect("it is there");
    let lost = worker.commit(&[computed(&held, "worker-1")]).await;
    assert!(matches!(lost, Err(QueueError::SweepLost { .. })), "{lost:?}");
}

#[tokio::test]
async fn a_server_that_came_back_older_than_it_was_has_lost_the_sweep() {
    let (mut bench, _) = bench(Redis).with_sweep(4).await;
    let worker = bench.worker("worker-1").await;
    let held = claim_one(&*worker).await;
    bench.redis().command(&["SAVE"]);
    commit(&*worker, &held, "worker-1").await;
    assert_eq!(worker.reconcile().await.expect("adds up").resubmitted, 0);
    let server = bench.redis();
    server.kill();
    server.restart_from_snapshot();
    let lost = worker.reconcile().await;
    assert!(matches!(lost, Err(QueueError::SweepLost { .. })), "{lost:?}");
}

#[rstest]
#[case::that_drops_the_oldest(r#"{"max-length": 8}"#)]
#[case::that_lets_them_expire(r#"{"message-ttl": 1}"#)]
#[tokio::test]
async fn a_policy_on_the_queue_of_tasks_loses_no_chunk(#[case] limit: &str) {
    let bench = Bench::start_own(RabbitMq).with_lease(LEASE);
    let policy = ["set_policy", "short", "^ttg.tasks$", limit];
    assert!(bench.rabbitmq().control(&policy).expect("runs").success());
    let (bench, sweep) = bench.with_sweep(20).await;
    let ended = Process::worker(&bench.settings, 1, 0.1).end();
    assert_eq!(ended.summary()["status"], "completed", "{ended}");
    bench.assert_exact(&sweep).await;
}

/// As a coordinator does it again whose step was cut off: the journal shows it, and the queue may have it.
#[tokio::test]
async fn what_is_submitted_again_and_is_not_lost_is_left_to_nobody() {
    let (bench, sweep) = bench(RabbitMq).with_sweep(300).await;
    let (onlooker, holder) = (bench.onlooker().await, bench.worker("worker-9").await);
    let open = claim_one(&*holder).await;
    let workers = [1, 2, 3].map(|number| Process::worker(&bench.settings, number, 0.1));
    // Of two that have both tasks of a chunk in hand, both would compute it, which counts once.
    let committed = async || onlooker.standing().await.expect("reads").committed;
    until("all others are settled", async || committed().await == 299).await;
    let again = lapin::BasicProperties::default().with_type("again".into());
    let tasks = &bench.rabbitmq().queues().tasks;
    for index in (0..sweep.chunks()).filter(|index| *index != open.task.chunk.index) {
        let body = wire::to_json(&wire::Task::first(&sweep, index, "").to_fields());
        let exchange = "ttg.tasks.exchange";
        bench.rabbitmq().publish_as(again.clone(), exchange, tasks, body.as_bytes()).await;
    }
    holder.release(std::slice::from_ref(&open.token)).await.expect("gives back");
    holder.leave().await.expect("leaves");
    let done = workers.map(|worker| worker.end().summary()["chunks_processed"].as_u64());
    assert_eq!(done.into_iter().flatten().sum::<u64>(), 300, "{done:?}");
    bench.assert_exact(&sweep).await;
    assert_eq!(bench.onlooker().await.depths().await.expect("reads").tasks, 0);
}

#[tokio::test]
async fn a_journal_that_was_cut_is_lost() {
    let bench = Bench::start_own(RabbitMq).with_lease(LEASE);
    let limit = r#"{"max-length-bytes": 2000, "stream-max-segment-size-bytes": 1000}"#;
    let cut = ["set_policy", "cut", "journal", limit];
    assert!(bench.rabbitmq().control(&cut).expect("runs").success());
    let submit = ["coordinator", "--total-parameters", "20000", "--chunk-size", "10"];
    // Whoever reads along may not notice: the beginning goes when it has been read.
    role(&bench, &submit).end();
    for arguments in [&["worker"][..], &["aggregate"], &submit] {
        assert_it_is_lost(&role(&bench, arguments).end(), arguments[0]);
    }
    // With nothing in any queue it looks like a server that nobody has used.
    bench.lose_tasks().await;
    assert_it_is_lost(&role(&bench, &submit).end(), "coordinator");
}

/// It counts nothing of what ours does, and may write the same metadata: nothing of that is a loss.
#[tokio::test]
async fn a_sweep_that_a_foreign_coordinator_has_submitted_is_not_lost() {
    let mut bench = bench(Redis);
    let metadata =
        ["total_parameters", "10", "chunk_size", "10", "total_chunks", "1", "start_param", "0"];
    bench.redis().command(&[&["HSET", "ttg:metadata"], &metadata[..]].concat());
    bench
        .submit_raw(&[(b"chunk_id", b"00000"), (b"start_param", b"0"), (b"end_param", b"10")])
        .await;
    let ended = impatient_worker(&bench).end();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 1, "{ended}");
    let report = role(&bench, &["aggregate", "--json"]).end();
    assert!(report.status.success() && report.stdout.contains(r#""complete":true"#), "{report}");
}
