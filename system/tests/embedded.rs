//! What only the embedded file has: many who make it at the same time, a disk that is full, somebody who
//! is frozen while he writes, a clock of its own, rights, and files that are somebody else's.

mod support;

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rstest::rstest;
use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;
use ttg_system::queue::{self, Address, Failure, Settings};

use support::bench::Backend::Embedded;
use support::bench::{Bench, claim_one, commit};
use support::process::{Process, broker_environment, send, ttg, until};

/// A file that somebody reads cannot become a write-ahead log until they have done.
#[tokio::test]
async fn who_opens_the_file_waits_for_others_who_make_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    let reader = Connection::open(&path).expect("opens");
    let read = "CREATE TABLE sweep (chunk_size); BEGIN; SELECT * FROM sweep; SELECT * FROM sweep;";
    reader.execute_batch(read).expect("reads");
    let settings = Settings {
        patience: support::bench::PATIENCE,
        ..Settings::new(Address::Embedded(path.clone()))
    };
    let (tell, mut told) = oneshot::channel();
    let opening = async {
        let opened = queue::connect(&settings, None).await.map(drop);
        tell.send(opened.map_err(|error| error.to_string())).expect("somebody listens");
    };
    let others = async {
        let waits = tokio::time::timeout(Duration::from_millis(600), &mut told).await;
        assert!(waits.is_err(), "it waits, and does not give up: {waits:?}");
        reader.execute_batch("COMMIT").expect("ends");
        assert_eq!(told.await.expect("it was told"), Ok(()));
    };
    tokio::join!(opening, others);
}

/// Starts the program without the death that too large a file is by default.
const UNDYING: &str = "trap '' XFSZ; exec \"$@\"";

#[tokio::test]
async fn a_disk_that_takes_nothing_is_waited_for() {
    let (bench, sweep) = Bench::start(Embedded).with_sweep(100).await;
    let log = tempfile::NamedTempFile::new().expect("a file");
    let environment = broker_environment(&bench.settings);
    let mut command = Command::new("sh");
    command.args(["-c", UNDYING, "sh", env!("CARGO_BIN_EXE_ttg"), "worker"]);
    command
        .envs(environment)
        .env("USE_QUEUE", "true")
        .env("SIMULATE_WORK_MS", "2")
        .env("LOG_LEVEL", "WARNING");
    command.stdout(Stdio::piped()).stderr(File::create(log.path()).expect("a file"));
    let worker = Process::start(&mut command);
    let onlooker = bench.onlooker().await;
    let committed = async || onlooker.standing().await.expect("reads").committed;
    until("it is at it", async || committed().await > 10).await;
    let pid = Pid::from_raw(i32::try_from(worker.pid()).expect("a number"));
    let limit = |bytes| Rlimit { current: bytes, maximum: None };
    // The log has room, and the file has not.
    prlimit(pid, Resource::Fsize, limit(Some(4096))).expect("a process of ours");
    until("it finds no room", async || {
        std::fs::read_to_string(log.path()).expect("a log").contains("cannot be written for now")
    })
    .await;
    prlimit(pid, Resource::Fsize, limit(None)).expect("a process of ours");
    let ended = worker.end();
    assert!(ended.status.success(), "{ended}");
    bench.assert_exact(&sweep).await;
}

/// SQLite empties its log at 4 MB by itself, which a small disk never holds.
#[tokio::test]
async fn a_disk_on_which_the_log_alone_has_no_room_is_enough() {
    let (bench, sweep) = Bench::start(Embedded).with_sweep(1000).await;
    let mut command = Command::new("sh");
    command.args(["-c", UNDYING, "sh", env!("CARGO_BIN_EXE_ttg"), "worker"]);
    command.envs(broker_environment(&bench.settings)).envs([
        ("USE_QUEUE", "true"),
        ("SIMULATE_WORK_MS", "0.2"),
        ("BROKER_PATIENCE_SECONDS", "3"),
    ]);
    let worker = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pid = Pid::from_raw(i32::try_from(worker.pid()).expect("a number"));
    let megabyte = Rlimit { current: Some(1 << 20), maximum: None };
    prlimit(pid, Resource::Fsize, megabyte).expect("a process of ours");
    let ended = worker.end();
    assert!(ended.status.success(), "{ended}");
    bench.assert_exact(&sweep).await;
}

/// What it takes of a disk that others fill as well, it gives back only when what stands in it has room.
#[tokio::test]
async fn the_log_takes_no_more_than_it_must() {
    let (bench, sweep) = Bench::start(Embedded).with_sweep(600).await;
    let worker = bench.worker("worker-1").await;
    for _ in 0..sweep.chunks() {
        let delivery = claim_one(&*worker).await;
        commit(&*worker, &delivery, "worker-1").await;
    }
    let Address::Embedded(path) = &bench.settings.address else { unreachable!("it is a file") };
    let log = std::fs::metadata(path.with_extension("db-wal")).expect("it is there").len();
    assert!(log < 3 << 19, "{log} bytes");
}

/// Begins to write, and stands still.
const FROZEN: &str = "
import os, signal, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute('BEGIN IMMEDIATE')
file.execute('UPDATE sweep SET job_id = job_id')
os.kill(os.getpid(), signal.SIGSTOP)
";

fn frozen(bench: &Bench) -> Child {
    let Address::Embedded(path) = &bench.settings.address else { unreachable!("it is a file") };
    let mut python = Command::new("python3");
    python.args(["-c", FROZEN]).arg(path).spawn().expect("python3 is there")
}

async fn stands_still(process: &Child) {
    let stat = format!("/proc/{}/stat", process.id());
    until("it stands still", async || {
        std::fs::read_to_string(&stat).expect("it is there").contains(") T ")
    })
    .await;
}

#[tokio::test]
async fn who_is_frozen_while_he_writes_is_waited_for_as_long_as_the_patience_says() {
    let (bench, sweep) = Bench::start(Embedded).with_sweep(20).await;
    let mut writer = frozen(&bench);
    stands_still(&writer).await;
    let patient = Process::worker(&bench.settings, 1, 0.0);
    let mut command = ttg(&["worker", "--worker-id", "2"]);
    command.envs(broker_environment(&bench.settings)).env("BROKER_PATIENCE_SECONDS", "0.6");
    let impatient = Process::start(&mut command).end();
    assert_eq!(impatient.status.code(), Some(69), "{impatient}");
    assert!(impatient.stderr.contains("database is locked"), "{impatient}");
    // Whoever wakes up again goes on where he was.
    send(writer.id(), Signal::CONT);
    writer.wait().expect("a child of ours");
    let ended = patient.end();
    assert!(ended.status.success(), "{ended}");
    bench.assert_exact(&sweep).await;
}

#[tokio::test]
async fn leases_and_retries_go_by_a_clock_that_nobody_sets() {
    let (bench, _) = Bench::start(Embedded).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    let (_held, failed) = (claim_one(&*worker).await, claim_one(&*worker).await);
    assert_eq!(worker.fail(&failed, "no luck").await.expect("fails"), Failure::Retried);
    let now = clock_gettime(ClockId::Boottime);
    let now_ms = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    let Address::Embedded(path) = &bench.settings.address else { unreachable!("it is a file") };
    let file = Connection::open(path).expect("opens");
    let ahead: (i64, i64) = file
        .query_row("SELECT max(lease_end_ms) - ?1, max(due_ms) - ?1 FROM tasks", [now_ms], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("reads");
    let (lease, delay) = (bench.settings.lease, bench.settings.retry_delay);
    assert!((0..=lease.as_millis() as i64).contains(&ahead.0), "{ahead:?}");
    assert!(ahead.1 <= delay.as_millis() as i64 && ahead.1 > -20_000, "{ahead:?}");
}

#[tokio::test]
async fn what_is_made_is_its_users_alone() {
    let (bench, _) = Bench::start(Embedded).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    worker.claim(1, Duration::ZERO).await.expect("claims");
    let Address::Embedded(path) = &bench.settings.address else { panic!("it has no file") };
    let mut seen = Vec::new();
    for entry in path.parent().expect("a directory").read_dir().expect("reads") {
        let entry = entry.expect("reads");
        let mode = entry.metadata().expect("reads").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
        seen.push(entry.file_name().into_string().expect("plain"));
    }
    for end in ["queue.db", "-wal", "-shm", ".alive"] {
        assert!(seen.iter().any(|name| name.ends_with(end)), "no {end} among {seen:?}");
    }
}

/// Everything that is in the directory of a file, and what is in it.
fn everything_beside(path: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = path.parent().expect("a directory").read_dir().expect("reads");
    let mut all: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.expect("reads").path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("reads")))
        .collect();
    all.sort();
    all
}

#[rstest]
#[case::other_tables("CREATE TABLE users (name)", "has a table \"users\"")]
#[case::a_table_of_the_same_name("CREATE TABLE tasks (what, done)", "has tables of other columns")]
#[case::another_sweep("CREATE TABLE sweep (broom)", "has tables of other columns")]
#[case::ours_and_others("CREATE TABLE sweep (chunk_size); CREATE TABLE notes (x)", "\"notes\"")]
#[case::another_application("PRAGMA application_id = 1196444487", "is of another application")]
#[case::with_a_wal("PRAGMA journal_mode = WAL; CREATE TABLE users (name)", "has a table \"users\"")]
#[tokio::test]
async fn a_file_of_somebody_else_is_not_touched(#[case] made: &str, #[case] told: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("their file?.db");
    let theirs = Connection::open(&path).expect("opens");
    theirs.execute_batch(made).expect("is made");
    drop(theirs);
    let before = everything_beside(&path);
    for worker in [None, Some("worker-1")] {
        let settings = Settings::new(Address::Embedded(path.clone()));
        let refused = queue::connect(&settings, worker).await.map(drop).expect_err("refused");
        let said = refused.to_string();
        assert!(said.contains(told), "{said}");
        assert!(said.ends_with("stays as it is (choose another path)"), "{said}");
    }
    assert_eq!(everything_beside(&path), before);
}

#[tokio::test]
async fn a_table_that_is_still_in_a_log_only_is_seen_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    let theirs = Connection::open(&path).expect("opens");
    theirs.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE users (name)").expect("is made");
    let settings = Settings::new(Address::Embedded(path));
    let refused = queue::connect(&settings, None).await.map(drop).expect_err("refused");
    assert!(refused.to_string().contains("has a table \"users\""), "{refused}");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    let tables: i64 = theirs.query_row(tables, [], |row| row.get(0)).expect("reads");
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_file_of_another_kind_is_not_touched() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "mine\n").expect("writes");
    let settings = Settings::new(Address::Embedded(path.clone()));
    let refused = queue::connect(&settings, None).await.map(drop).expect_err("refused");
    assert!(refused.to_string().contains("is no SQLite file"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).expect("reads"), "mine\n");
    assert_eq!(directory.path().read_dir().expect("reads").count(), 1);
}
