//! A worker that was written from the wire contract alone, in another language, beside ours
//! (`fixtures/foreign`): alone, in a mixed fleet, dying, and among tasks that are none.

mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::Signal;
use ttg_system::queue::{Broker, Cursor};

use support::bench::Backend::{self, RabbitMq, Redis};
use support::bench::{Bench, whole};
use support::process::{Process, broker_environment, until};

/// A chunk of this many milliseconds per parameter outlasts every test.
const FOR_EVER: f64 = 60_000.0;

/// Theirs has more than ours in which to see that a sweep is over: nothing but silence.
const IDLE_SECONDS: &str = "4";

fn script() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.env_clear().arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/foreign/worker.py"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Their worker on the broker of the bench. It leaves after a silence that outlasts every test.
fn theirs(bench: &Bench, number: u32, work_ms: f64) -> Command {
    let mut command = script();
    command
        .envs(broker_environment(&bench.settings))
        .env("RABBITMQ_MAX_RETRIES", bench.settings.max_retries.to_string())
        .env("RABBITMQ_RETRY_DELAY_MS", bench.settings.retry_delay.as_millis().to_string())
        .env("USE_QUEUE", "true")
        .env("IDLE_TIMEOUT_SECONDS", "600")
        .env("WORKER_ID", number.to_string())
        .env("SIMULATE_WORK_MS", work_ms.to_string());
    command
}

async fn committed(broker: &dyn Broker) -> u64 {
    broker.standing().await.expect("reads").committed
}

async fn until_it_is_over(broker: &dyn Broker) {
    until("the sweep is over", async || broker.standing().await.expect("reads").is_complete())
        .await;
}

async fn until_something_is_held(broker: &dyn Broker) {
    until("their worker has a chunk", async || !broker.held().await.expect("reads").is_empty())
        .await;
}

/// It is asked to stop, says so and is gone.
fn end_interrupted(worker: Process) -> u64 {
    worker.signal(Signal::TERM);
    let ended = worker.end();
    assert_eq!(ended.status.code(), Some(143), "{ended}");
    assert_eq!(ended.summary()["status"], "interrupted", "{ended}");
    ended.summary()["chunks_processed"].as_u64().expect("a number")
}

fn end_completed(worker: Process) -> u64 {
    let ended = worker.end();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(ended.summary()["status"], "completed", "{ended}");
    ended.summary()["chunks_processed"].as_u64().expect("a number")
}

#[rstest]
#[tokio::test]
async fn foreign_workers_alone_complete_a_sweep_of_ours(
    #[values(Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(40).await;
    let workers = [1, 2].map(|number| {
        Process::start(theirs(&bench, number, 0.5).env("IDLE_TIMEOUT_SECONDS", IDLE_SECONDS))
    });
    until_it_is_over(&*bench.onlooker().await).await;
    assert_eq!(workers.map(end_completed).iter().sum::<u64>(), 40);
    bench.assert_exact(&sweep).await;
}

/// While nobody can know whether there are tasks, it is not idle: its patience begins anew.
#[tokio::test]
async fn a_foreign_worker_on_redis_outlasts_an_outage_that_is_longer_than_its_patience() {
    let mut bench = Bench::start_own(Redis);
    // It tries for four seconds.
    let [patience, outage] = [3000, 3200].map(Duration::from_millis);
    let worker = Process::start(theirs(&bench, 1, 0.0).env("IDLE_TIMEOUT_SECONDS", "3"));
    let redis = bench.redis();
    let waits = async || redis.ask(&["CLIENT", "LIST"]).contains("cmd=xreadgroup");
    until("it waits for tasks", waits).await;
    redis.kill();
    let begun = Instant::now();
    until("it is too long", async || begun.elapsed() > outage).await;
    redis.restart();
    let back = Instant::now();
    end_completed(worker);
    // It may have seen the server before we did.
    assert!(back.elapsed() > patience - Duration::from_secs(1), "{:?}", back.elapsed());
}

#[rstest]
#[tokio::test]
async fn a_foreign_worker_and_ours_share_a_sweep(#[values(Redis, RabbitMq)] backend: Backend) {
    let (bench, sweep) = Bench::start(backend).with_sweep(200).await;
    let onlooker = bench.onlooker().await;
    let foreign = Process::start(&mut theirs(&bench, 9, 1.0));
    until("theirs has done some", async || committed(&*onlooker).await >= 3).await;
    // While theirs stands still, what is done is done by ours; no lease runs out.
    foreign.signal(Signal::STOP);
    let before = committed(&*onlooker).await;
    let own = Process::worker(&bench.settings, 1, 1.0);
    until("ours has done some", async || committed(&*onlooker).await >= before + 3).await;
    foreign.signal(Signal::CONT);
    let ours = end_completed(own);
    until_it_is_over(&*onlooker).await;
    let theirs = end_interrupted(foreign);
    assert!(ours >= 2 && theirs >= 3, "ours did {ours}, theirs {theirs}");
    assert_eq!(ours + theirs, 200);
    bench.assert_exact(&sweep).await;
    let shares = bench.report().await.workers;
    assert_eq!(shares.keys().collect::<Vec<_>>(), ["worker-1", "worker-9"]);
    assert_eq!(shares["worker-9"].chunks, theirs);
}

#[rstest]
#[tokio::test]
async fn ours_takes_over_from_a_foreign_worker_that_was_killed(
    #[values(Redis, RabbitMq)] backend: Backend,
) {
    let bench = Bench::start(backend).with_lease(Duration::from_millis(300));
    let (bench, sweep) = bench.with_sweep(6).await;
    let onlooker = bench.onlooker().await;
    let mut foreign = Process::start(&mut theirs(&bench, 9, FOR_EVER));
    until_something_is_held(&*onlooker).await;
    foreign.kill();
    assert_eq!(end_completed(Process::worker(&bench.settings, 1, 0.0)), 6);
    bench.assert_exact(&sweep).await;
    assert!(onlooker.redelivered().await.expect("reads").deliveries >= 1);
}

#[rstest]
#[tokio::test]
async fn a_foreign_worker_takes_over_from_another(#[values(Redis, RabbitMq)] backend: Backend) {
    let bench = Bench::start(backend).with_lease(Duration::from_millis(300));
    let (bench, sweep) = bench.with_sweep(6).await;
    let onlooker = bench.onlooker().await;
    let mut dead = Process::start(&mut theirs(&bench, 8, FOR_EVER));
    until_something_is_held(&*onlooker).await;
    dead.kill();
    let heir = Process::start(&mut theirs(&bench, 9, 0.0));
    until_it_is_over(&*onlooker).await;
    assert_eq!(end_interrupted(heir), 6);
    bench.assert_exact(&sweep).await;
}

type Raw = &'static [(&'static [u8], &'static [u8])];

const NOTHING_KNOWN: Raw = &[(b"colour", b"blue")];
const NOT_UTF_8: Raw = &[(b"chunk_id", b"\xff\xfe")];
const REVERSED: Raw = &[(b"chunk_id", b"1"), (b"start_param", b"20"), (b"end_param", b"10")];

#[rstest]
#[case::nothing_known(NOTHING_KNOWN, "chunk_id is '', not a whole number")]
#[case::not_utf_8(NOT_UTF_8, "chunk_id is '\u{fffd}\u{fffd}', not a whole number")]
#[case::reversed(REVERSED, "end_param 10 is not above start_param 20")]
#[tokio::test]
async fn a_task_that_is_none_is_a_dead_letter_to_a_foreign_worker(
    #[values(Redis, RabbitMq)] backend: Backend,
    #[case] fields: Raw,
    #[case] reason: &str,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(3).await;
    bench.submit_raw(fields).await;
    let onlooker = bench.onlooker().await;
    let foreign = Process::start(&mut theirs(&bench, 9, 0.0));
    let letters = async || {
        let letters = onlooker.dead_letters(&mut Cursor::default(), 10).await;
        letters.expect("reads")
    };
    until("it is a dead letter", async || !letters().await.is_empty()).await;
    until_it_is_over(&*onlooker).await;
    assert_eq!(end_interrupted(foreign), 3);
    let letters = letters().await;
    let reasons: Vec<_> = letters.iter().map(|letter| letter.last_error.as_str()).collect();
    assert_eq!(reasons, [reason]);
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[case::no_json(b"not json")]
#[case::a_list(b"[1, 2]")]
#[case::nothing(b"")]
#[case::nested(&[b'['; 100_000])]
#[tokio::test]
async fn a_message_that_is_no_object_does_not_stop_a_foreign_worker(#[case] body: &[u8]) {
    let bench = Bench::start(RabbitMq);
    let onlooker = bench.onlooker().await;
    let tasks = &bench.rabbitmq().queues().tasks;
    bench.rabbitmq().publish("ttg.tasks.exchange", tasks, body).await;
    let (bench, sweep) = bench.with_sweep(3).await;
    let foreign = Process::start(&mut theirs(&bench, 9, 0.0));
    until_it_is_over(&*onlooker).await;
    end_interrupted(foreign);
    let letters = onlooker.dead_letters(&mut Cursor::default(), 10).await.expect("reads");
    assert_eq!(letters.len(), 1, "{letters:?}");
    bench.assert_exact(&sweep).await;
}

#[tokio::test]
async fn a_foreign_worker_retries_through_the_broker_and_then_buries() {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(2).await;
    let onlooker = bench.onlooker().await;
    let foreign = Process::start(theirs(&bench, 9, 0.0).env("SIMULATE_FAULT_RATE", "1"));
    until("both chunks are dead", async || onlooker.standing().await.expect("reads").dead == 2)
        .await;
    assert_eq!(end_interrupted(foreign), 0);
    for letter in onlooker.dead_letters(&mut Cursor::default(), 10).await.expect("reads") {
        assert_eq!((letter.last_error.as_str(), letter.retry_count), ("simulated fault", 3));
    }
    let report = bench.report().await;
    assert_eq!((report.complete, report.dead_lettered), (false, 2));
}

#[rstest]
#[tokio::test]
async fn a_foreign_worker_that_is_asked_to_stop_ends_its_chunk_first(
    #[values(Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(10).await;
    let onlooker = bench.onlooker().await;
    let foreign = Process::start(&mut theirs(&bench, 9, 100.0));
    until_something_is_held(&*onlooker).await;
    let done = end_interrupted(foreign);
    assert!((1..10).contains(&done), "{done}");
    assert_eq!(committed(&*onlooker).await, done);
    assert_eq!(end_completed(Process::worker(&bench.settings, 1, 0.0)), 10 - done);
    bench.assert_exact(&sweep).await;
}

/// What the worker lacks on purpose, and what our aggregator makes of it.
#[tokio::test]
async fn a_foreign_worker_that_stood_still_stores_a_second_result_which_is_counted_once() {
    let bench = Bench::start(Redis).with_lease(Duration::from_millis(300));
    let (bench, sweep) = bench.with_sweep(3).await;
    let onlooker = bench.onlooker().await;
    let foreign = Process::start(&mut theirs(&bench, 9, 200.0));
    until_something_is_held(&*onlooker).await;
    foreign.signal(Signal::STOP);
    assert_eq!(end_completed(Process::worker(&bench.settings, 1, 0.0)), 3);
    until_it_is_over(&*onlooker).await;
    foreign.signal(Signal::CONT);
    end_interrupted(foreign);
    let report = bench.report().await;
    assert_eq!((report.complete, report.chunks, report.duplicates_removed), (true, 3, 1));
    assert_eq!(report.result, Some(whole(&sweep)));
}

#[test]
fn a_foreign_worker_says_which_package_is_missing() {
    let mut command = Command::new("/usr/bin/python3");
    // Without the directories of packages.
    command.arg("-S").arg(script().get_args().next().expect("the script"));
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    for (backend, package) in [("redis", "redis"), ("rabbitmq", "pika")] {
        command.env("USE_QUEUE", "true").env("QUEUE_BACKEND", backend);
        let ended = Process::start(&mut command).end();
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(69), ""), "{ended}");
        let says = format!("error: the Python package {package} is missing");
        assert!(ended.stderr.starts_with(&says) && ended.stderr.lines().count() == 1, "{ended}");
    }
}

#[test]
fn foreign_static_workers_cover_the_range() {
    let mut next = 0;
    for number in 0..3 {
        let ended = Process::start(
            script()
                .env("WORKER_ID", number.to_string())
                .env("TOTAL_PARAMS", "1003")
                .env("SIMULATE_WORK_MS", "0"),
        )
        .end();
        assert_eq!(ended.status.code(), Some(0), "{ended}");
        next += ended.summary()["params_processed"].as_u64().expect("a number");
    }
    assert_eq!(next, 1003);
}
