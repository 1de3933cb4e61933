//! Several results on Redis are one transaction, in which all but the first are added by commands of their
//! own: those do something where the script has opened the results for them, and nothing anywhere else.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use rstest::rstest;
use ttg_system::kernel::Identity;
use ttg_system::queue::{Broker, Commit, Delivery, KernelCheck};

use support::bench::Backend::Redis;
use support::bench::{Bench, PATIENCE, computed};
use support::process::until;
use support::redis_server::RedisServer;

use Commit::{AlreadySettled, Committed};

/// A sweep of so many chunks, and a worker that has all of them.
async fn claimed(chunks: u64) -> (Bench, Rc<dyn Broker>, Vec<Delivery>) {
    let (bench, _) = Bench::start_own(Redis).with_sweep(chunks).await;
    let worker = bench.worker("worker-1").await;
    let deliveries = worker.claim(chunks as usize, PATIENCE).await.expect("claims");
    assert_eq!(deliveries.len() as u64, chunks);
    (bench, worker, deliveries)
}

async fn commit(worker: &dyn Broker, deliveries: &[Delivery]) -> Vec<Commit> {
    let done: Vec<_> = deliveries.iter().map(|it| computed(it, "worker-1")).collect();
    worker.commit(&done).await.expect("commits")
}

/// Chunks of the results in their order, the chunks that are marked as committed, and their counter.
fn stored(redis: &RedisServer, chunks: u64) -> (Vec<String>, BTreeSet<String>, String) {
    let results = "local ids = {} for _, entry in ipairs(redis.call('XRANGE', 'ttg:results', '-', '+')) \
                   do ids[#ids + 1] = entry[2][2] end return table.concat(ids, ' ')";
    let results = redis.ask(&["EVAL", results, "0"]);
    let results = results.split_whitespace().map(str::to_owned).collect();
    let is_marked = |chunk: &u64| {
        let at = chunk.to_string();
        redis.ask(&[
            "EVAL",
            "return tostring(redis.call('GETBIT', 'ttg:committed', ARGV[1]))",
            "0",
            &at,
        ]) == "1"
    };
    let marked = (0..chunks).filter(is_marked).map(|chunk| format!("{chunk:05}")).collect();
    (results, marked, redis.ask(&["HGET", "ttg:progress", "committed"]))
}

/// Everything is there once: results, marks, counter; and the results have their own name alone.
fn assert_whole(redis: &RedisServer, chunks: u64) {
    let (results, marked, counter) = stored(redis, chunks);
    assert_eq!(results.iter().cloned().collect::<BTreeSet<_>>(), marked);
    assert_eq!((results.len() as u64, marked.len() as u64), (chunks, chunks));
    assert_eq!(counter, chunks.to_string());
    let names = "return table.concat(redis.call('KEYS', 'ttg:results*'), ' ')";
    assert_eq!(redis.ask(&["EVAL", names, "0"]), "ttg:results");
}

#[rstest]
#[case::one(1)]
#[case::two(2)]
#[case::many(200)]
#[tokio::test]
async fn all_are_stored_once_and_once_only(#[case] chunks: u64) {
    let (mut bench, worker, deliveries) = claimed(chunks).await;
    assert_eq!(commit(&*worker, &deliveries).await, vec![Committed; chunks as usize]);
    assert_whole(bench.redis(), chunks);
    assert_eq!(commit(&*worker, &deliveries).await, vec![AlreadySettled; chunks as usize]);
    assert_whole(bench.redis(), chunks);
}

/// The way that is taken is the one that is meant: a script alone would pass every other test here.
#[tokio::test]
async fn the_script_adds_the_first_alone() {
    let (mut bench, worker, deliveries) = claimed(52).await;
    let (first, others) = deliveries.split_at(2);
    // After which the server has the script.
    commit(&*worker, first).await;
    let redis = bench.redis();
    redis.command(&["CONFIG", "RESETSTAT"]);
    commit(&*worker, others).await;
    let told = redis.ask(&["INFO", "commandstats"]);
    let calls = |command: &str| {
        let line = told.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        line.and_then(|line| line.split(['=', ',']).nth(1)).unwrap_or("0").to_owned()
    };
    // One that is tried; to try, to open, and to close.
    assert_eq!(
        [calls("exec"), calls("evalsha"), calls("xadd"), calls("renamenx")],
        ["1", "1", "51", "3"]
    );
}

/// Wherever among them one is settled already, the others are stored, each once.
#[rstest]
#[case::first(0)]
#[case::middle(2)]
#[case::last(4)]
#[tokio::test]
async fn one_that_is_settled_keeps_none_of_the_others(#[case] settled: usize) {
    let (mut bench, worker, deliveries) = claimed(5).await;
    commit(&*worker, &deliveries[settled..=settled]).await;
    let mut expected = vec![Committed; 5];
    expected[settled] = AlreadySettled;
    assert_eq!(commit(&*worker, &deliveries).await, expected);
    assert_whole(bench.redis(), 5);
}

/// Whichever of them somebody else has by now: all are stored, and he finds his one settled.
#[rstest]
#[case::first(0)]
#[case::middle(2)]
#[case::last(4)]
#[tokio::test]
async fn one_that_another_has_by_now_is_stored_once(#[case] taken: usize) {
    let (mut bench, worker, deliveries) = claimed(5).await;
    let other = bench.worker("worker-2").await;
    let mut its = deliveries[taken].clone();
    let claim = ["XCLAIM", "ttg:tasks", "ttg-workers", "worker-2", "0", &its.token.id];
    bench.redis().command(&claim);
    its.token.number += 1;
    assert_eq!(other.held().await.expect("reads").len(), 5);
    assert_eq!(commit(&*worker, &deliveries).await, vec![Committed; 5]);
    let done = [computed(&its, "worker-2")];
    assert_eq!(other.commit(&done).await.expect("commits"), [AlreadySettled]);
    assert_eq!(other.held().await.expect("reads"), []);
    assert_whole(bench.redis(), 5);
}

#[tokio::test]
async fn one_that_is_there_twice_is_stored_once() {
    let (mut bench, worker, mut deliveries) = claimed(3).await;
    deliveries.insert(1, deliveries[0].clone());
    let expected = [Committed, AlreadySettled, Committed, Committed];
    assert_eq!(commit(&*worker, &deliveries).await, expected);
    assert_whole(bench.redis(), 3);
}

/// The server has forgotten its scripts: the other commands of the transaction come all the same.
#[tokio::test]
async fn without_its_script_a_transaction_adds_nothing() {
    let (mut bench, worker, deliveries) = claimed(20).await;
    bench.redis().command(&["SCRIPT", "FLUSH"]);
    assert_eq!(commit(&*worker, &deliveries).await, vec![Committed; 20]);
    assert_whole(bench.redis(), 20);
}

/// Where our user may not rename, or start a transaction, it is slower and no less whole.
#[rstest]
#[case::rename("-renamenx")]
#[case::begin("-multi")]
#[case::end("-exec")]
#[tokio::test]
async fn a_right_that_the_script_can_do_without(#[case] right: &str) {
    let (mut bench, worker, deliveries) = claimed(20).await;
    bench.redis().command(&["ACL", "SETUSER", "default", right]);
    assert_eq!(commit(&*worker, &deliveries).await, vec![Committed; 20]);
    assert_whole(bench.redis(), 20);
}

/// The right is taken away when it was found to be there: it is as whole, and the connection can be used.
#[rstest]
#[case::begin("-multi")]
#[case::end("-exec")]
#[case::rename("-renamenx")]
#[tokio::test]
async fn a_right_that_is_taken_away_meanwhile(#[case] right: &str) {
    let (mut bench, worker, deliveries) = claimed(40).await;
    let (first, others) = deliveries.split_at(20);
    commit(&*worker, first).await;
    bench.redis().command(&["ACL", "SETUSER", "default", right]);
    assert_eq!(commit(&*worker, others).await, vec![Committed; 20]);
    assert_whole(bench.redis(), 40);
    let redis = bench.redis();
    redis.command(&["CONFIG", "RESETSTAT"]);
    assert_eq!(commit(&*worker, others).await, vec![AlreadySettled; 20]);
    assert_whole(redis, 40);
    // Whoever may not begin any begins none again: nothing is opened outside of one.
    if right == "-multi" {
        assert!(!redis.ask(&["INFO", "commandstats"]).contains("cmdstat_renamenx"));
    }
}

/// What cannot be counted on, or begins where the stream has no place for all, is not marked either.
#[rstest]
#[case::counter(&["HSET", "ttg:progress", "committed", "9223372036854775807"])]
#[case::stream(&["XADD", "ttg:results", "18446744073709551615-18446744073709551613", "a", "b"])]
#[tokio::test]
async fn nothing_is_marked_whose_result_is_not_stored(#[case] spoil: &[&str]) {
    let (mut bench, worker, deliveries) = claimed(20).await;
    bench.redis().command(spoil);
    let done: Vec<_> = deliveries.iter().map(|it| computed(it, "worker-1")).collect();
    worker.commit(&done).await.expect_err("it cannot be stored");
    assert_eq!(stored(bench.redis(), 20).1, BTreeSet::new());
}

/// Somebody waits for results while they are open.
#[tokio::test]
async fn whoever_waits_for_results_gets_all_of_them() {
    let (mut bench, worker, deliveries) = claimed(21).await;
    commit(&*worker, &deliveries[..1]).await;
    let url = bench.redis().url();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let reading = std::thread::spawn(move || {
        let client = redis::Client::open(url).expect("a URL");
        let mut connection = client.get_connection().expect("connects");
        let name = redis::cmd("CLIENT").arg("SETNAME").arg("reader").exec(&mut connection);
        name.expect("has a name");
        ready.send(()).expect("somebody waits");
        let mut read = redis::cmd("XREAD");
        read.arg(&["COUNT", "100", "BLOCK", "20000", "STREAMS", "ttg:results", "$"]);
        let told: Vec<(String, Vec<redis::Value>)> = read.query(&mut connection).expect("reads");
        told[0].1.len()
    });
    is_ready.await.expect("it is there");
    let redis = bench.redis();
    until("it waits", async || {
        let clients = redis.ask(&["CLIENT", "LIST"]);
        clients.lines().any(|line| line.contains("name=reader") && line.contains("cmd=xread"))
    })
    .await;
    commit(&*worker, &deliveries[1..]).await;
    assert_eq!(reading.join().expect("it ends"), 20);
    assert_whole(bench.redis(), 21);
}

#[tokio::test]
async fn results_of_a_sweep_that_was_discarded_meanwhile_are_not_stored() {
    let (mut bench, worker, deliveries) = claimed(20).await;
    bench.redis().command(&["DEL", "ttg:tasks", "ttg:progress", "ttg:committed", "ttg:metadata"]);
    let done: Vec<_> = deliveries.iter().map(|it| computed(it, "worker-1")).collect();
    // Refused or settled: nothing is stored.
    let _ = worker.commit(&done).await;
    assert_eq!(stored(bench.redis(), 20).0, Vec::<String>::new());
}

/// The log of a server that died breaks off anywhere in the transaction.
#[tokio::test]
async fn a_log_that_breaks_off_has_all_of_it_or_nothing() {
    let (mut bench, worker, deliveries) = claimed(40).await;
    let redis = bench.redis();
    // Otherwise what was answered may be written seconds later.
    redis.command(&["CONFIG", "SET", "appendfsync", "always"]);
    let log = log(redis);
    let before = std::fs::read(&log).expect("a log").len();
    commit(&*worker, &deliveries).await;
    let redis = bench.redis();
    redis.kill();
    let whole = std::fs::read(&log).expect("a log");
    let places = (before..whole.len()).step_by((whole.len() - before) / 12);
    for end in places.chain([whole.len() - 1, whole.len()]) {
        std::fs::write(&log, &whole[..end]).expect("is written");
        redis.restart();
        let (results, marked, _) = stored(redis, 40);
        assert_eq!(results.iter().cloned().collect::<BTreeSet<_>>(), marked, "at {end}");
        assert_eq!(results.len(), if end == whole.len() { 40 } else { 0 }, "at {end}");
        redis.kill();
    }
    redis.restart();
}

/// The kernels come with the tasks: where they cannot be read, the tasks are there all the same.
#[tokio::test]
async fn tasks_come_whatever_becomes_of_the_kernels() {
    let (mut bench, _) = Bench::start_own(Redis).with_sweep(2).await;
    bench.redis().command(&["SET", "ttg:kernels", "no set"]);
    let worker = bench.worker("worker-1").await;
    assert_eq!(worker.claim(2, PATIENCE).await.expect("claims").len(), 2);
    let kernel = Identity::built_in("reference");
    let refused = worker.compute_with(&kernel, KernelCheck::Record).await;
    assert!(refused.expect_err("cannot be written down").to_string().contains("WRONGTYPE"));
}

/// What the server appends to.
fn log(redis: &RedisServer) -> PathBuf {
    let files = std::fs::read_dir(redis.directory().join("appendonlydir")).expect("a directory");
    let mut paths = files.map(|file| file.expect("a file").path());
    let is_log = |path: &PathBuf| path.to_string_lossy().ends_with(".incr.aof");
    paths.find(is_log).expect("a server with a log")
}
