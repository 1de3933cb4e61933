//! A broker that is there and says that it cannot just now: workers wait for it, and go on.

mod support;

use std::fs::File;
use std::time::Duration;

use rstest::rstest;
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;

use support::bench::Backend::{RabbitMq, Redis};
use support::bench::Bench;
use support::process::{Process, broker_environment, ttg, until};

const SWEEP: Sweep = Sweep { start: 0, params: 1_000, chunk_size: 10 };

/// A sweep that takes a worker about a second.
async fn submitted(bench: &Bench) {
    coordinator::run(&*bench.onlooker().await, &SWEEP, None).await.expect("submits");
}

async fn half_way(bench: &Bench) {
    let onlooker = bench.onlooker().await;
    until("half of the chunks are committed", async || {
        onlooker.standing().await.expect("reads").committed >= SWEEP.chunks() / 2
    })
    .await;
}

async fn assert_it_completes(bench: &Bench, worker: Process) {
    let ended = worker.end();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(ended.summary()["status"], "completed", "{ended}");
    bench.assert_exact(&SWEEP).await;
}

#[tokio::test]
async fn a_worker_that_is_started_while_redis_reads_its_data_waits() {
    let mut bench = Bench::start(Redis);
    submitted(&bench).await;
    let redis = bench.redis();
    redis.fill(10_000);
    redis.kill();
    redis.restart_slowly(Duration::from_millis(4));
    let worker = Process::worker(&bench.settings, 1, 0.1);
    let redis = bench.redis();
    until("the worker is there", async || {
        redis.ask(&["CLIENT", "LIST"]).contains("name=ttg:worker-1:")
    })
    .await;
    assert!(redis.ask(&["INFO", "persistence"]).contains("loading:1"), "and the data is not");
    redis.command(&["CONFIG", "SET", "key-load-delay", "0"]);
    assert_it_completes(&bench, worker).await;
}

#[tokio::test]
async fn a_redis_that_cannot_save_and_takes_nothing_is_waited_for() {
    let mut bench = Bench::start(Redis);
    submitted(&bench).await;
    let worker = Process::worker(&bench.settings, 1, 1.0);
    half_way(&bench).await;
    let redis = bench.redis();
    // A directory in the place of the file that it would write.
    let in_the_way = redis.directory().join("dump.rdb/full");
    std::fs::create_dir_all(&in_the_way).expect("a directory");
    redis.command(&["CONFIG", "SET", "save", "3600 1"]);
    redis.command(&["BGSAVE"]);
    until("the worker is refused", async || {
        let errors = redis.ask(&["INFO", "errorstats"]);
        errors.contains("errorstat_MISCONF:count=")
    })
    .await;
    std::fs::remove_dir_all(redis.directory().join("dump.rdb")).expect("it is there");
    until("it can save", async || {
        redis.ask(&["BGSAVE"]);
        redis.ask(&["INFO", "persistence"]).contains("rdb_last_bgsave_status:ok")
    })
    .await;
    assert_it_completes(&bench, worker).await;
}

#[rstest]
#[case::disk(&["set_disk_free_limit", "1000000GB"], &["set_disk_free_limit", "50MB"])]
#[case::memory(&["set_vm_memory_high_watermark", "absolute", "1MB"], &["set_vm_memory_high_watermark", "0.6"])]
#[tokio::test]
async fn a_rabbitmq_that_lacks_something_and_takes_nothing_is_waited_for(
    #[case] too_little: &[&str],
    #[case] enough: &[&str],
) {
    let bench = Bench::start_own(RabbitMq);
    submitted(&bench).await;
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut command = ttg(&["worker"]);
    command.envs(broker_environment(&bench.settings)).env("WORKER_ID", "1");
    // It must be at it still when the server has been told.
    command.env("SIMULATE_WORK_MS", "20").stderr(File::create(log.path()).expect("a file"));
    let worker = Process::start(&mut command);
    let server = bench.rabbitmq();
    assert!(server.control(too_little).expect("is told").success());
    until("the worker is told to wait", async || {
        std::fs::read_to_string(log.path()).expect("a log").contains("takes nothing for now")
    })
    .await;
    assert!(server.control(enough).expect("is told").success());
    assert_it_completes(&bench, worker).await;
}
