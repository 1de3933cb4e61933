//! What cannot be written: a result that is lost is an error, a log that is lost is nothing.

mod support;

use std::fs::File;
use std::process::{Command, Stdio};

use rstest::rstest;

use support::bench::Backend::Embedded;
use support::bench::Bench;
use support::process::{Ended, Process, broker_environment, ttg};

/// Takes nothing.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("this is Linux").into()
}

/// Nobody reads it any more.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn on(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = ttg(arguments);
    command.envs(broker_environment(&bench.settings)).env("SIMULATE_WORK_MS", "0");
    command
}

fn end(command: &mut Command) -> Ended {
    Process::start(command).end()
}

#[rstest]
#[case(&["coordinator", "--total-parameters", "20", "--chunk-size", "10"])]
#[case(&["worker"])]
#[case(&["aggregate", "--now"])]
#[case(&["aggregate", "--now", "--json"])]
#[case(&["dead-letters", "list"])]
#[case(&["manifests", "--backend", "redis", "--image", "ttg"])]
#[case(&["variables"])]
#[case(&["--help"])]
#[case(&["--version"])]
#[tokio::test]
async fn a_result_that_cannot_be_written_is_an_error_and_one_that_nobody_reads_is_none(
    #[case] arguments: &[&str],
) {
    let (bench, _) = Bench::start(Embedded).with_sweep(2).await;
    assert!(end(&mut on(&bench, &["worker"])).status.success());
    let told = end(on(&bench, arguments).stdout(full()));
    assert_eq!(told.status.code(), Some(1), "{told}");
    let error = "error: cannot write to standard output: No space left on device (os error 28)\n";
    assert!(told.stderr.ends_with(error), "{told}");
    let quiet = end(on(&bench, arguments).stdout(closed()));
    assert_eq!((quiet.status.code(), quiet.stderr.as_str()), (Some(0), ""), "{quiet}");
}

#[rstest]
#[tokio::test]
async fn a_log_that_cannot_be_written_changes_nothing(#[values(full, closed)] log: fn() -> Stdio) {
    let (bench, _) = Bench::start(Embedded).with_sweep(2).await;
    let mut worker = on(&bench, &["worker", "--simulate-fault-rate", "1", "--log-level", "debug"]);
    let ended = end(worker.stderr(log()));
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(ended.summary()["status"], "completed", "{ended}");
    let mut refused = on(&bench, &["coordinator", "--total-parameters", "7"]);
    assert_eq!(end(refused.stderr(log())).status.code(), Some(1));
    assert_eq!(end(ttg(&["worker", "--no-such-flag"]).stderr(log())).status.code(), Some(64));
}
