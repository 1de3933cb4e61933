//! What Redis holds, key by key and field by field: the wire contract; and a foreign worker that
//! knows nothing else, beside ours.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Commands, Connection};
use tokio::sync::watch;
use ttg_system::chunk::{Chunk, Sweep};
use ttg_system::coordinator;
use ttg_system::worker::{self, Status};

use support::bench::Backend::Redis;
use support::bench::{Bench, claim_one, commit, stats, whole};
use support::kernels::Steady;

type Entry = (String, Vec<(String, String)>);
type Tasks = Vec<(String, BTreeMap<String, String>)>;

fn connect(bench: &mut Bench) -> Connection {
    let client = redis::Client::open(bench.redis().url()).expect("a URL");
    client.get_connection().expect("connects")
}

fn entries(connection: &mut Connection, key: &str) -> Vec<Entry> {
    redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(connection).expect("a stream")
}

/// One field a line, moments left out.
fn shown(fields: &[(String, String)]) -> String {
    let is_moment = |name: &str| name.ends_with("_at");
    let shown = |(name, value): &(String, String)| match is_moment(name) {
        true => {
            assert!(value.parse::<jiff::Timestamp>().is_ok() && value.ends_with('Z'), "{value}");
            format!("{name} = <moment>")
        }
        false => format!("{name} = {value}"),
    };
    fields.iter().map(shown).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_sweep_is_written_under_the_names_of_the_contract() {
    let mut bench = Bench::start(Redis);
    let broker = bench.onlooker().await;
    let sweep = Sweep { start: 4200, params: 150, chunk_size: 100 };
    coordinator::run(&*broker, &sweep, Some("a job")).await.expect("submits");
    let mut connection = connect(&mut bench);
    let mut keys: Vec<String> = connection.keys("*").expect("keys");
    keys.sort();
    assert_eq!(keys, ["ttg:metadata", "ttg:progress", "ttg:store", "ttg:tasks"]);
    let tasks = entries(&mut connection, "ttg:tasks");
    assert_eq!(tasks.len(), 2);
    insta::assert_snapshot!(shown(&tasks[1].1), @r#"
    chunk_id = 00001
    start_param = 4300
    end_param = 4350
    params_count = 50
    total_params = 150
    total_chunks = 2
    created_at = <moment>
    status = pending
    "#);
    let metadata: BTreeMap<String, String> = connection.hgetall("ttg:metadata").expect("a hash");
    let metadata: Vec<_> = metadata.into_iter().collect();
    insta::assert_snapshot!(shown(&metadata), @r#"
    chunk_size = 100
    created_at = <moment>
    job_id = a job
    start_param = 4200
    submitted_by = ttg
    total_chunks = 2
    total_parameters = 150
    "#);
}

#[tokio::test]
async fn a_worker_reads_in_its_group_and_writes_results_of_the_contract() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    let (first, _second) = (claim_one(&*worker).await, claim_one(&*worker).await);
    let mut connection = connect(&mut bench);
    let pending: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
        .arg(&["ttg:tasks", "ttg-workers", "-", "+", "10"])
        .query(&mut connection)
        .expect("the group is there");
    let consumers: Vec<_> = pending.iter().map(|(_, consumer, ..)| consumer.as_str()).collect();
    assert_eq!(consumers, ["worker-1", "worker-1"]);
    commit(&*worker, &first, "worker-1").await;
    let results = entries(&mut connection, "ttg:results");
    assert_eq!(results.len(), 1);
    insta::assert_snapshot!(shown(&results[0].1), @r#"
    chunk_id = 00000
    worker_id = worker-1
    status = completed
    duration_seconds = 0.2500
    completed_at = <moment>
    result_data = {"sum":449.5,"count":10,"min":13.0,"max":76.9,"avg":44.95}
    "#);
}

#[tokio::test]
async fn a_retry_and_a_dead_letter_are_tasks_with_their_history() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let delivery = claim_one(&*worker).await;
    worker.fail(&delivery, "division by zero").await.expect("fails");
    let mut again = claim_one(&*worker).await;
    let mut connection = connect(&mut bench);
    let mut retry = entries(&mut connection, "ttg:tasks").remove(1).1;
    retry.sort();
    insta::assert_snapshot!(shown(&retry), @r#"
    chunk_id = 00000
    created_at = <moment>
    end_param = 10
    params_count = 10
    retry_count = 1
    start_param = 0
    status = pending
    total_chunks = 1
    total_params = 10
    "#);
    again.task.retry_count = bench.settings.max_retries;
    worker.fail(&again, "division by zero").await.expect("fails");
    let letters = entries(&mut connection, "ttg:tasks:dlq");
    insta::assert_snapshot!(shown(&letters[0].1), @r#"
    chunk_id = 00000
    start_param = 0
    end_param = 10
    params_count = 10
    total_params = 10
    total_chunks = 1
    created_at = <moment>
    status = dead_lettered
    last_error = division by zero
    failed_at = <moment>
    retry_count = 3
    "#);
}

#[tokio::test]
async fn a_worker_that_left_leaves_no_consumer_behind() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let delivery = claim_one(&*worker).await;
    commit(&*worker, &delivery, "worker-1").await;
    worker.leave().await.expect("leaves");
    let mut connection = connect(&mut bench);
    let groups: Vec<BTreeMap<String, redis::Value>> =
        redis::cmd("XINFO").arg(&["GROUPS", "ttg:tasks"]).query(&mut connection).expect("groups");
    assert_eq!(groups[0]["consumers"], redis::Value::Int(0));
    assert_eq!(groups[0]["pending"], redis::Value::Int(0));
}

/// Does what any program would that has read the contract, for up to `most` chunks.
fn foreign_worker(connection: &mut Connection, most: usize, acknowledges: bool) -> usize {
    let mut done = 0;
    while done < most {
        let read: Option<Vec<(String, Tasks)>> = redis::cmd("XREADGROUP")
            .arg(&["GROUP", "ttg-workers", "worker-9", "COUNT", "1"])
            .arg(&["STREAMS", "ttg:tasks", ">"])
            .query(connection)
            .expect("reads");
        let Some((id, task)) = read.into_iter().flatten().flat_map(|(_, e)| e).next() else {
            return done;
        };
        let number = |name: &str| task[name].parse::<u64>().expect("a number");
        let chunk = Chunk {
            index: number("chunk_id"),
            start: number("start_param"),
            end: number("end_param"),
        };
        let result_data = serde_json::to_string(&stats(&chunk)).expect("plain data");
        redis::cmd("XADD")
            .arg(&["ttg:results", "*", "chunk_id", &task["chunk_id"], "worker_id", "worker-9"])
            .arg(&["status", "completed", "duration_seconds", "0.1"])
            .arg(&["completed_at", "2026-01-02T03:04:05Z", "result_data", &result_data])
            .query::<String>(connection)
            .expect("a result");
        if acknowledges {
            connection.xack::<_, _, _, u64>("ttg:tasks", "ttg-workers", &[id]).expect("acks");
        }
        done += 1;
    }
    done
}

#[tokio::test]
async fn a_foreign_worker_and_ours_complete_a_sweep_together() {
    let (mut bench, sweep) = Bench::start(Redis).with_sweep(20).await;
    let mut connection = connect(&mut bench);
    assert_eq!(foreign_worker(&mut connection, 7, true), 7);
    let (_keep, stop) = watch::channel(false);
    let worker = bench.worker("worker-1").await;
    let kernel = Box::new(Steady::new(Duration::ZERO));
    let (summary, ended) = worker::run(worker, kernel, bench.options("worker-1"), stop).await;
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, 13));
    bench.assert_exact(&sweep).await;
    let standing = bench.onlooker().await.standing().await.expect("reads");
    assert_eq!((standing.committed, standing.is_complete()), (20, true));
}

#[tokio::test]
async fn a_sweep_is_not_complete_while_a_foreign_worker_holds_a_chunk() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(3).await;
    let mut connection = connect(&mut bench);
    foreign_worker(&mut connection, 2, true);
    let onlooker = bench.onlooker().await;
    let standing = onlooker.standing().await.expect("reads");
    assert_eq!((standing.committed, standing.is_complete()), (2, false));
    foreign_worker(&mut connection, 1, false);
    let standing = onlooker.standing().await.expect("reads");
    assert_eq!((standing.committed, standing.is_complete()), (2, false));
}

#[tokio::test]
async fn a_foreign_worker_that_died_before_it_acknowledged_is_made_good_and_counted_once() {
    let (mut bench, sweep) =
        Bench::start(Redis).with_lease(Duration::from_millis(100)).with_sweep(6).await;
    let mut connection = connect(&mut bench);
    foreign_worker(&mut connection, 2, false);
    let (_keep, stop) = watch::channel(false);
    let worker = bench.worker("worker-1").await;
    let kernel = Box::new(Steady::new(Duration::ZERO));
    let (summary, ended) = worker::run(worker, kernel, bench.options("worker-1"), stop).await;
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, 6));
    let report = bench.report().await;
    assert_eq!((report.complete, report.chunks, report.duplicates_removed), (true, 6, 2));
    assert_eq!(report.result, Some(whole(&sweep)));
}

#[tokio::test]
async fn a_sweep_that_a_foreign_coordinator_submitted_is_a_sweep() {
    let mut bench = Bench::start(Redis);
    let mut connection = connect(&mut bench);
    let fields = [
        ("total_parameters", "30"),
        ("chunk_size", "10"),
        ("total_chunks", "3"),
        ("job_id", "theirs"),
        ("created_at", "2026-01-02T03:04:05Z"),
    ];
    connection.hset_multiple::<_, _, _, ()>("ttg:metadata", &fields).expect("a hash");
    let onlooker = bench.onlooker().await;
    let sweep = Sweep { start: 0, params: 30, chunk_size: 10 };
    for index in 0..sweep.chunks() {
        let standing = onlooker.standing().await.expect("reads");
        assert_eq!((standing.submitted, standing.is_complete()), (index, false));
        let chunk = sweep.chunk(index);
        redis::cmd("XADD")
            .arg(&["ttg:tasks", "*", "chunk_id", &chunk.id().to_string()])
            .arg(&["start_param", &chunk.start.to_string(), "end_param", &chunk.end.to_string()])
            .query::<String>(&mut connection)
            .expect("a task");
    }
    let (_keep, stop) = watch::channel(false);
    let worker = bench.worker("worker-1").await;
    let kernel = Box::new(Steady::new(Duration::ZERO));
    let (summary, ended) = worker::run(worker, kernel, bench.options("worker-1"), stop).await;
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, 3));
    bench.assert_exact(&sweep).await;
}
