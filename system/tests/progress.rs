//! How far a role is, while it goes on: a line on a terminal, which is gone in the end, and elsewhere a line of
//! the log every ten seconds.

mod support;

use std::process::Command;

use rstest::rstest;

use support::bench::Backend::{self, Embedded, RabbitMq, Redis};
use support::bench::Bench;
use support::process::{Ended, Process, broker_environment, ttg};

/// Runs what follows on a terminal of its own, and copies what is written there.
const ON_A_TERMINAL: &str = "
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
";

fn on_a_terminal(bench: &Bench, arguments: &[&str]) -> Process {
    let plain = ttg(arguments);
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", ON_A_TERMINAL]).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().env("TERM", "xterm").env("PATH", "/usr/bin:/bin");
    command.envs(broker_environment(&bench.settings)).env("USE_QUEUE", "true");
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    Process::start(command.stderr(std::process::Stdio::piped()))
}

/// What is left to see of what was written to a terminal, line by line: whatever is written over is gone.
fn left_to_see(written: &str) -> Vec<String> {
    let of_a_line = |line: &str| {
        let last = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        let last = last.rsplit("\u{1b}[2K").next().unwrap_or_default();
        last.trim().to_owned()
    };
    written.split('\n').map(of_a_line).collect()
}

#[rstest]
#[tokio::test]
async fn an_aggregator_shows_on_a_terminal_how_far_the_sweep_is(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(40).await;
    let aggregator = on_a_terminal(&bench, &["aggregate"]);
    // Longer than it takes until the line is shown, and then changes.
    let worker = Process::worker(&bench.settings, 1, 8.0);
    let ended = aggregator.end();
    assert!(ended.status.success(), "{ended}");
    assert!(ended.stdout.contains(" of 40 chunks, "), "{ended}");
    assert!(ended.stdout.contains(" left"), "{ended}");
    let left = left_to_see(&ended.stdout);
    assert!(left.iter().all(|line| !line.contains(" left")), "{left:#?}");
    assert!(left.iter().any(|line| line == "Sweep results: complete"), "{left:#?}");
    assert!(worker.end().status.success());
}

#[rstest]
#[tokio::test]
async fn a_worker_shows_what_it_does_and_what_went_wrong(
    #[values(Embedded, RabbitMq)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(20).await;
    let worker = on_a_terminal(
        &bench,
        &["worker", "--simulate-work-ms", "20", "--simulate-fault-rate", "0.2", "--seed", "7"],
    );
    let ended = worker.end();
    assert!(ended.status.success(), "{ended}");
    assert!(ended.stdout.contains("worker-0: "), "{ended}");
    assert!(ended.stdout.contains(" chunks here; "), "{ended}");
    assert!(ended.stdout.contains(" failed attempts, l"), "{ended}");
    // It is cut off at the terminal's edge, where that comes before its end.
    assert!(!ended.stdout.contains("last error: simulated fault"), "{ended}");
    let left = left_to_see(&ended.stdout);
    assert!(left.iter().all(|line| !line.contains(" here; ")), "{left:#?}");
    // A log line stands above it, whole.
    let logs = left.iter().filter(|line| line.contains("an attempt failed"));
    assert!(logs.count() > 0, "{left:#?}");
}

fn logged(ended: &Ended) -> Vec<serde_json::Value> {
    ended.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn where_there_is_no_terminal_the_log_says_it_every_ten_seconds() {
    let (bench, _) = Bench::start(Redis).with_sweep(3).await;
    let mut command = ttg(&["aggregate", "--timeout", "10.5"]);
    command.envs(broker_environment(&bench.settings)).env("LOG_FORMAT", "json");
    let ended = Process::start(&mut command).end();
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(!ended.stderr.contains(['\r', '\u{1b}']), "{ended}");
    let logged = logged(&ended);
    assert_eq!(logged.len(), 1, "{ended}");
    assert_eq!(logged[0]["message"], "collecting", "{ended}");
    assert_eq!((&logged[0]["chunks"], &logged[0]["of"]), (&0.into(), &3.into()), "{ended}");
}
