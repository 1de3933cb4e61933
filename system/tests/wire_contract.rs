//! The worker that `docs/wire-contract.md` prints, as it is printed there: alone, and beside ours.

mod support;

use std::process::{Command, Stdio};

use support::bench::Backend::Redis;
use support::bench::Bench;
use support::process::{Process, broker_environment, until};

/// What the document promises of its length.
const LINES: usize = 30;

/// The document's worker.
fn printed() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire-contract.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let mut blocks = text.split("```python\n").skip(1);
    let block = blocks.next().and_then(|rest| rest.split("```").next()).expect("a program in it");
    assert_eq!(blocks.count(), 0, "which of its programs is the worker?");
    block.to_owned()
}

fn worker(bench: &Bench, number: u32, idle_seconds: &str) -> Process {
    let mut command = Command::new("/usr/bin/python3");
    command.env_clear().args(["-c", &printed()]).envs(broker_environment(&bench.settings));
    command.env("WORKER_ID", number.to_string()).env("IDLE_TIMEOUT_SECONDS", idle_seconds);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::start(&mut command)
}

#[test]
fn it_has_as_many_lines_as_it_says() {
    let lines = printed().lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= LINES, "{lines} lines");
}

#[tokio::test]
async fn it_completes_a_sweep_alone() {
    let (bench, sweep) = Bench::start(Redis).with_sweep(40).await;
    let ended = worker(&bench, 1, "2").end();
    assert!(ended.status.success(), "{ended}");
    bench.assert_exact(&sweep).await;
}

#[tokio::test]
async fn it_shares_a_sweep_with_ours() {
    let (bench, sweep) = Bench::start(Redis).with_sweep(200).await;
    let onlooker = bench.onlooker().await;
    let theirs = worker(&bench, 9, "600");
    until("theirs has done some", async || {
        onlooker.standing().await.expect("reads").committed >= 3
    })
    .await;
    let ours = Process::worker(&bench.settings, 1, 1.0).end();
    assert!(ours.status.success(), "{ours}");
    bench.assert_exact(&sweep).await;
    assert!(bench.report().await.workers.contains_key("worker-9"));
    drop(theirs);
}
