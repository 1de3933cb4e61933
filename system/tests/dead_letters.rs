//! `ttg dead-letters` as people use it: what it lists, what it does, what it says.

mod support;

use std::process::Command;

use rstest::rstest;
use ttg_system::queue::{Broker, Cursor, Failure};

use support::bench::Backend::{self, Embedded, Redis};
use support::bench::{Bench, claim_one, commit};
use support::process::{Ended, Process, broker_environment, ttg};

fn dead_letters(bench: &Bench, arguments: &[&str]) -> Ended {
    let mut command: Command = ttg(&[&["dead-letters"], arguments].concat());
    Process::start(command.envs(broker_environment(&bench.settings))).end()
}

/// What it says where all is well.
fn said(bench: &Bench, arguments: &[&str]) -> String {
    let ended = dead_letters(bench, arguments);
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""), "{ended}");
    ended.stdout
}

/// Five chunks, of which the first is committed and the next three are dead; with a letter that is
/// no task at the end.
async fn graveyard(backend: Backend) -> (Bench, std::rc::Rc<dyn Broker>) {
    let (bench, _) = Bench::start(backend).with_sweep(5).await;
    bench.submit_raw(&[(b"colour", b"blue")]).await;
    let worker = bench.worker("worker-1").await;
    let first = claim_one(&*worker).await;
    commit(&*worker, &first, "worker-1").await;
    let reasons =
        ["division by zero", "the program ended (exit status: 3)\nout of cheese", "no licence"];
    for reason in reasons {
        let mut delivery = claim_one(&*worker).await;
        delivery.task.retry_count = bench.settings.max_retries;
        let outcome = worker.fail(&delivery, reason).await.expect("fails");
        assert_eq!(outcome, Failure::DeadLettered);
    }
    let last = claim_one(&*worker).await;
    let nothing = std::time::Duration::from_millis(60);
    assert_eq!(worker.claim(1, nothing).await.expect("claims"), []);
    worker.release(&[last.token]).await.expect("gives back");
    (bench, worker)
}

/// Chunks dead, and letters that are there.
async fn counts(broker: &dyn Broker) -> (u64, usize) {
    let letters = broker.dead_letters(&mut Cursor::default(), 100).await.expect("reads");
    (broker.standing().await.expect("reads").dead, letters.len())
}

/// The same with what differs from run to run replaced, as wide as it was.
fn without_times(text: &str) -> String {
    let is_time = |word: &&str| word.parse::<jiff::Timestamp>().is_ok();
    let times: Vec<&str> = text.split_whitespace().filter(is_time).collect();
    times.iter().fold(text.to_owned(), |text, time| {
        text.replace(time, &format!("{:<1$}", "<time>", time.len()))
    })
}

#[rstest]
#[tokio::test]
async fn a_list_says_which_and_why(#[values(Embedded, Redis)] backend: Backend) {
    let (bench, _) = graveyard(backend).await;
    insta::assert_snapshot!(without_times(&said(&bench, &["list"])), @r"
    CHUNK  PARAMETERS  ATTEMPTS  FAILED AT             REASON
    00001  10..20             3  <time>                division by zero
    00002  20..30             3  <time>                the program ended (exit stat…
    00003  30..40             3  <time>                no licence
    -      -                  0  <time>                chunk_id is missing
    ");
    let lines = said(&bench, &["list", "--json"]);
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let chunks: Vec<_> = lines.iter().map(|line| line["chunk_id"].as_str()).collect();
    assert_eq!(chunks, [Some("00001"), Some("00002"), Some("00003"), None]);
    assert_eq!(lines[1]["reason"], "the program ended (exit status: 3)\nout of cheese");
}

#[rstest]
#[tokio::test]
async fn a_replayed_chunk_is_done_by_the_next_worker(#[values(Embedded, Redis)] backend: Backend) {
    let (bench, broker) = graveyard(backend).await;
    assert_eq!(
        said(&bench, &["replay", "--all", "--dry-run"]),
        "would replay 3 dead letters (chunks 00001, 00002, 00003); 1 dead letter without a task \
         of the sweep can only be dropped\n"
    );
    assert_eq!(counts(&*broker).await, (3, 4));
    let one = said(&bench, &["replay", "2"]);
    assert_eq!(one, "replayed 1 dead letter (chunk 00002): open again for any worker\n");
    assert_eq!(counts(&*broker).await, (2, 3));
    let rest = said(&bench, &["replay", "--all"]);
    assert!(rest.starts_with("replayed 2 dead letters (chunks 00001, 00003): "), "{rest}");
    assert_eq!(counts(&*broker).await, (0, 1));
    let none = said(&bench, &["replay", "--all"]);
    assert!(none.starts_with("there is no dead letter to replay; 1 dead letter "), "{none}");
    let mut worker = ttg(&["worker", "--simulate-work-ms", "0"]);
    let worked = Process::start(worker.envs(broker_environment(&bench.settings))).end();
    assert_eq!(worked.summary()["chunks_processed"], 4, "{worked}");
    let sweep = broker.sweep().await.expect("reads").expect("is there").sweep;
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn what_is_dropped_is_gone_and_stays_dead(#[values(Embedded, Redis)] backend: Backend) {
    let (bench, broker) = graveyard(backend).await;
    let dry = said(&bench, &["drop", "--all", "--dry-run"]);
    assert_eq!(
        dry,
        "would drop 3 dead letters (chunks 00001, 00002, 00003) and 1 unreadable dead letter\n"
    );
    assert_eq!(counts(&*broker).await, (3, 4));
    let unreadable = said(&bench, &["drop", "--unreadable"]);
    assert_eq!(unreadable, "dropped 1 unreadable dead letter\n");
    assert_eq!(counts(&*broker).await, (3, 3));
    let some = said(&bench, &["drop", "00003", "1"]);
    assert_eq!(some, "dropped 2 dead letters (chunks 00001, 00003): their chunks stay dead\n");
    assert_eq!(counts(&*broker).await, (3, 1));
    assert!(said(&bench, &["drop", "--all"]).ends_with("(chunk 00002): its chunk stays dead\n"));
    assert_eq!(said(&bench, &["drop", "--all"]), "there is no dead letter to drop\n");
    assert_eq!(said(&bench, &["list"]), "there are no dead letters\n");
}

#[tokio::test]
async fn a_closer_look_tells_everything() {
    let (bench, _) = graveyard(Embedded).await;
    let shown = said(&bench, &["show", "2", "3"]);
    assert!(shown.starts_with("chunk 00002\n  parameters  20..30\n  attempts    3\n"), "{shown}");
    assert!(shown.contains("\n              out of cheese\n"), "{shown}");
    assert!(shown.contains("chunk 00003\n"), "{shown}");
}

#[rstest]
#[case::show(&["show", "99"])]
#[case::replay(&["replay", "1", "99"])]
#[case::drop(&["drop", "99", "1"])]
#[tokio::test]
async fn a_chunk_that_is_not_there_is_named_and_nothing_is_done(#[case] arguments: &[&str]) {
    let (bench, broker) = graveyard(Embedded).await;
    let ended = dead_letters(&bench, arguments);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert_eq!(
        ended.stderr,
        "error: no dead letter is of chunk 00099, and nothing was done (`ttg dead-letters list` \
         shows which there are)\n"
    );
    assert_eq!((ended.stdout.as_str(), counts(&*broker).await), ("", (3, 4)));
}

#[rstest]
#[case::nothing(&[], "Usage: ttg dead-letters <COMMAND>")]
#[case::no_chunk(&["replay"], "<CHUNK|--all>")]
#[case::nothing_to_drop(&["drop", "--dry-run"], "<CHUNK|--all|--unreadable>")]
#[case::both(&["replay", "--all", "3"], "cannot be used with")]
#[case::no_number(&["show", "all"], "invalid value 'all'")]
fn wrong_arguments_are_64(#[case] arguments: &[&str], #[case] message: &str) {
    let ended = Process::start(&mut ttg(&[&["dead-letters"], arguments].concat())).end();
    assert_eq!(ended.status.code(), Some(64), "{ended}");
    assert!(ended.stderr.contains(message), "{ended}");
}

#[test]
fn help_reads_like_this() {
    let ended = Process::start(&mut ttg(&["dead-letters", "--help"])).end();
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ended.stdout, @r"
    List, show, replay or drop tasks that nobody will attempt again

    Usage: ttg dead-letters <COMMAND>

    Commands:
      list    List the dead letters, one a line
      show    Show everything that is known of the dead letters of some chunks
      replay  Make tasks of dead letters again: their chunks are open for any worker
      drop    Remove dead letters; their chunks stay dead
      help    Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help

    A dead letter is a task that nobody will attempt again: its attempts failed, its workers died over
    and over, or it cannot be read. Remove the cause before you replay it.

    Examples:
      ttg dead-letters list
      ttg dead-letters show 31
      ttg dead-letters replay 31 32
      ttg dead-letters replay --all --dry-run
      ttg dead-letters drop --unreadable
    ");
}
