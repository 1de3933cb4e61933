//! `ttg coordinator --trim`: settled tasks leave Redis, and nothing that is open does.

mod support;

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use ttg_system::chunk::Sweep;

use support::bench::Backend::{Embedded, RabbitMq, Redis};
use support::bench::Bench;
use support::process::{Ended, Process, broker_environment, ttg, until};

/// Tasks that one node of a stream holds, and is kept for the sake of one of them.
const NODE: usize = 100;

const SWEEP: Sweep = Sweep { start: 0, params: 10_000, chunk_size: 10 };

fn coordinator(bench: &Bench, more: &[&str]) -> Ended {
    let mut command: Command =
        ttg(&[&["coordinator", "--total-parameters", "10000"], more].concat());
    command.envs(broker_environment(&bench.settings)).env("CHUNK_SIZE", "10");
    Process::start(&mut command).end()
}

fn number(bench: &mut Bench, words: &[&str]) -> usize {
    let told: u64 = redis::Client::open(bench.redis().url())
        .and_then(|client| client.get_connection())
        .and_then(|mut connection| redis::cmd(words[0]).arg(&words[1..]).query(&mut connection))
        .expect("a number");
    usize::try_from(told).expect("it fits")
}

#[tokio::test]
async fn a_sweep_that_is_trimmed_is_whole_and_leaves_few_tasks() {
    let mut bench = Bench::start(Redis).with_lease(Duration::from_millis(300));
    let submitted = coordinator(&bench, &["--trim"]);
    assert!(submitted.status.success(), "{submitted}");
    let onlooker = bench.onlooker().await;
    let workers: Vec<_> = (1..=3).map(|it| Process::worker(&bench.settings, it, 0.01)).collect();
    until("they are at work", async || onlooker.standing().await.expect("reads").committed > 100)
        .await;
    // One dies, and one falls silent with what it has.
    let mut workers = workers.into_iter();
    let (mut killed, frozen) = (workers.next().expect("one"), workers.next().expect("another"));
    killed.kill();
    frozen.signal(Signal::STOP);
    let ended = workers.next().expect("a third").end();
    assert!(ended.status.success(), "{ended}");
    frozen.signal(Signal::CONT);
    let ended = frozen.end();
    assert!(ended.status.success(), "{ended}");
    bench.assert_exact(&SWEEP).await;
    let left = number(&mut bench, &["XLEN", "ttg:tasks"]);
    assert!(left <= 2 * NODE, "{left} tasks are left");
    let trimmed = number(&mut bench, &["HGET", "ttg:progress", "trimmed"]);
    assert_eq!(left + trimmed, 1000, "what is gone is counted");
    let depths = onlooker.depths().await.expect("reads");
    assert_eq!((depths.tasks, depths.results), (0, 1000));
    assert_eq!(onlooker.standing().await.expect("reads").submitted, 1000);
    let again = coordinator(&bench, &["--trim"]);
    assert_eq!(again.summary()["chunks_submitted"], 0, "{again}");
    let late = Process::worker(&bench.settings, 9, 0.0).end();
    assert_eq!(late.summary()["status"], "completed", "{late}");
}

#[tokio::test]
async fn what_is_open_is_not_trimmed_nor_anything_behind_it() {
    let mut bench = Bench::start(Redis);
    let submitted = coordinator(&bench, &["--trim"]);
    assert!(submitted.status.success(), "{submitted}");
    let slow = bench.worker("worker-7").await;
    let held = slow.claim(1, Duration::ZERO).await.expect("claims");
    assert_eq!(held.len(), 1);
    let ended = Process::worker(&bench.settings, 1, 0.0);
    let onlooker = bench.onlooker().await;
    until("all others are done", async || {
        onlooker.standing().await.expect("reads").committed == 999
    })
    .await;
    assert_eq!(number(&mut bench, &["XLEN", "ttg:tasks"]), 1000);
    slow.release(&[held[0].token.clone()]).await.expect("gives it back");
    let ended = ended.end();
    assert!(ended.status.success(), "{ended}");
    bench.assert_exact(&SWEEP).await;
    let left = number(&mut bench, &["XLEN", "ttg:tasks"]);
    assert!(left <= 2 * NODE, "{left} tasks are left");
}

#[tokio::test]
async fn who_else_reads_the_tasks_finds_them_all() {
    let mut bench = Bench::start(Redis);
    let submitted = coordinator(&bench, &["--trim"]);
    assert!(submitted.status.success(), "{submitted}");
    bench.redis().command(&["XGROUP", "CREATE", "ttg:tasks", "theirs", "0"]);
    let ended = Process::worker(&bench.settings, 1, 0.0).end();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(number(&mut bench, &["XLEN", "ttg:tasks"]), 1000);
}

#[tokio::test]
async fn without_it_all_tasks_stay() {
    let mut bench = Bench::start(Redis);
    let submitted = coordinator(&bench, &[]);
    assert!(submitted.status.success(), "{submitted}");
    let ended = Process::worker(&bench.settings, 1, 0.0).end();
    assert!(ended.status.success(), "{ended}");
    assert_eq!(number(&mut bench, &["XLEN", "ttg:tasks"]), 1000);
}

#[tokio::test]
async fn other_brokers_have_nothing_to_trim_and_say_so() {
    for (backend, why) in [(Embedded, "cost no memory"), (RabbitMq, "keeps no task")] {
        let bench = Bench::start(backend);
        let refused = coordinator(&bench, &["--trim"]);
        assert_eq!(refused.status.code(), Some(64), "{refused}");
        assert!(refused.stderr.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn a_redis_that_is_too_small_is_told_before_anything_is_submitted() {
    let mut bench = Bench::start(Redis);
    bench.redis().command(&["CONFIG", "SET", "maxmemory", "2mb"]);
    let mut command = ttg(&["coordinator", "--total-parameters", "1500000", "--chunk-size", "10"]);
    let refused = Process::start(command.envs(broker_environment(&bench.settings))).end();
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.stderr.contains("the 150000 chunks will take about 35 MB"), "{refused}");
    assert!(refused.stderr.contains("choose a --chunk-size of at least"), "{refused}");
    assert_eq!(bench.onlooker().await.standing().await.expect("reads").total, None);
    bench.redis().command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let submitted = coordinator(&bench, &[]);
    assert!(submitted.status.success(), "{submitted}");
    assert!(submitted.stderr.contains("the 1000 chunks will take about 231 kB"), "{submitted}");
}

/// The figure by which people are told how much they need is that of a sweep as it is.
#[tokio::test]
async fn a_chunk_takes_what_is_said_of_it() {
    let mut bench = Bench::start(Redis);
    assert!(coordinator(&bench, &[]).status.success());
    let ended = Process::worker(&bench.settings, 1, 0.0).end();
    assert!(ended.status.success(), "{ended}");
    let usage = |bench: &mut Bench, key: &str| {
        number(bench, &["MEMORY", "USAGE", key, "SAMPLES", "0"]) as f64
    };
    let took = usage(&mut bench, "ttg:tasks") + usage(&mut bench, "ttg:results");
    let said = ttg_contract::redis_memory::whole(1000, 0) as f64;
    assert!((0.7..1.3).contains(&(took / said)), "{took} bytes, and said were {said}");
}
