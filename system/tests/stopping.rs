//! Requests to stop, whatever a role is waiting for.

mod support;

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::Signal;
use ttg_system::queue::{Address, Settings};

use support::bench::Backend::{Embedded, Redis};
use support::bench::Bench;
use support::process::{Process, broker_environment, send, ttg, until};

/// Within a second, and what a machine with much to do adds.
const SOON: Duration = Duration::from_millis(1500);

const ROLES: [&[&str]; 4] =
    [&["worker"], &["aggregate"], &["coordinator"], &["dead-letters", "list"]];

/// Asks a process to stop, and what it ends with.
fn assert_it_stops(process: Process, signal: Signal, code: i32) {
    let begun = Instant::now();
    process.signal(signal);
    let ended = process.end();
    assert_eq!(ended.status.code(), Some(code), "{ended}");
    assert!(begun.elapsed() < SOON, "{:?}: {ended}", begun.elapsed());
}

/// Waits until a process listens for signals: its thread for them is there.
async fn listens(process: &Process) {
    let tasks = format!("/proc/{}/task", process.pid());
    until("it listens for signals", async || {
        let threads = std::fs::read_dir(&tasks).expect("it runs").flatten();
        let mut names =
            threads.filter_map(|it| std::fs::read_to_string(it.path().join("comm")).ok());
        names.any(|name| name.trim() == "signals")
    })
    .await;
}

fn started(role: &[&str], environment: &[(&str, String)]) -> Process {
    let mut command: Command = ttg(role);
    Process::start(
        command.envs(environment.iter().map(|(k, v)| (*k, v))).env("BROKER_PATIENCE_SECONDS", "60"),
    )
}

#[rstest]
#[tokio::test]
async fn whoever_connects_stops_at_once(
    #[values("redis", "rabbitmq")] backend: &str,
    #[values(true, false)] somebody_listens: bool,
    #[values((Signal::TERM, 143), (Signal::INT, 130))] (signal, code): (Signal, i32),
) {
    // It takes connections, and never says a word.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let _kept = somebody_listens.then_some(listener);
    let mut environment = vec![("QUEUE_BACKEND", backend.to_owned())];
    for name in ["REDIS", "RABBITMQ"] {
        let (host, of_port) = match name {
            "REDIS" => ("REDIS_HOST", "REDIS_PORT"),
            _ => ("RABBITMQ_HOST", "RABBITMQ_PORT"),
        };
        environment.extend([(host, "127.0.0.1".to_owned()), (of_port, port.clone())]);
    }
    for role in ROLES {
        let process = started(role, &environment);
        listens(&process).await;
        assert_it_stops(process, signal, code);
    }
}

#[tokio::test]
async fn whoever_has_a_frozen_redis_stops_at_once() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(1).await;
    let held = bench.worker("worker-9").await;
    let _delivery = support::bench::claim_one(&*held).await;
    let environment = broker_environment(&bench.settings);
    let waiting = [started(&["worker"], &environment), started(&["aggregate"], &environment)];
    let redis = bench.redis();
    until("both wait", async || {
        let clients = redis.ask(&["CLIENT", "LIST"]);
        clients.contains("cmd=xreadgroup") && clients.contains("cmd=xread ")
    })
    .await;
    let pid = redis.pid();
    send(pid, Signal::STOP);
    let late =
        [started(&["coordinator"], &environment), started(&["dead-letters", "list"], &environment)];
    for process in waiting.into_iter().chain(late) {
        listens(&process).await;
        assert_it_stops(process, Signal::TERM, 143);
    }
    send(pid, Signal::CONT);
}

#[tokio::test]
async fn whoever_waits_for_a_file_that_is_held_stops_at_once() {
    let (bench, _) = Bench::start(Embedded).with_sweep(1).await;
    let Settings { address: Address::Embedded(path), .. } = &bench.settings else {
        unreachable!("it is a file");
    };
    let holder = rusqlite::Connection::open(path).expect("opens");
    holder.execute_batch("BEGIN EXCLUSIVE").expect("holds it");
    let environment = broker_environment(&bench.settings);
    for role in [&["worker"][..], &["coordinator"]] {
        let process = started(role, &environment);
        listens(&process).await;
        assert_it_stops(process, Signal::TERM, 143);
    }
}

#[tokio::test]
async fn a_second_request_is_not_waited_for() {
    let (bench, _) = Bench::start(Embedded).with_sweep(1).await;
    let mut command = ttg(&["worker"]);
    command.envs(broker_environment(&bench.settings));
    command.env("SIMULATE_WORK_MS", "60000").env("STOP_GRACE_SECONDS", "60");
    let worker = Process::start(&mut command);
    let onlooker = bench.onlooker().await;
    until("it has a chunk", async || !onlooker.held().await.expect("reads").is_empty()).await;
    let begun = Instant::now();
    worker.signal(Signal::TERM);
    until("it has heard", async || {
        worker.signal(Signal::TERM);
        !std::path::Path::new(&format!("/proc/{}", worker.pid())).exists()
            || std::fs::read_to_string(format!("/proc/{}/stat", worker.pid()))
                .is_ok_and(|stat| stat.contains(") Z "))
    })
    .await;
    assert_eq!(worker.end().status.code(), Some(143));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_worker_whose_log_nobody_reads_stops() {
    let (bench, _) = Bench::start(Embedded).with_sweep(2000).await;
    // The pipe is full long before the sweep is over.
    let mut command = ttg(&["worker", "--log-level", "debug"]);
    command.envs(broker_environment(&bench.settings)).env("MAX_RETRIES", "0");
    let worker = Process::start(command.env("SIMULATE_FAULT_RATE", "1"));
    let onlooker = bench.onlooker().await;
    let mut before = 0;
    until("it is held up by its log", async || {
        let dead = onlooker.standing().await.expect("reads").dead;
        let is_held_up = dead > 0 && dead == std::mem::replace(&mut before, dead);
        tokio::time::sleep(Duration::from_millis(200)).await;
        is_held_up
    })
    .await;
    let begun = Instant::now();
    worker.signal(Signal::TERM);
    // The grace for a chunk in hand comes before the second.
    let ended = worker.end();
    assert_eq!(ended.status.code(), Some(143), "{ended}");
    assert!(begun.elapsed() < Duration::from_secs(2) + SOON, "{:?}", begun.elapsed());
}
