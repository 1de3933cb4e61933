//! Complete means complete: every result is held against its chunk, every task against its sweep, and what is
//! missing or refused is said by name.

mod support;

use std::time::Duration;

use rstest::rstest;
use serde_json::Value;
use ttg_system::chunk::Sweep;
use ttg_system::queue::{Broker, Commit, Cursor};
use ttg_system::stats::Stats;
use ttg_system::wire::{Fields, Task, TaskResult};

use support::bench::Backend::{self, Embedded, RabbitMq, Redis};
use support::bench::{Bench, claim_one, commit, computed, whole};
use support::process::{Ended, Process, broker_environment, ttg};

/// Short enough for RabbitMQ to notice soon that nobody has anything.
const LEASE: Duration = Duration::from_secs(2);

fn bench(backend: Backend) -> Bench {
    Bench::start(backend).with_lease(LEASE)
}

fn role(bench: &Bench, arguments: &[&str]) -> Ended {
    Process::start(ttg(arguments).envs(broker_environment(&bench.settings))).end()
}

fn aggregate(bench: &Bench) -> (Option<i32>, Value) {
    let ended = role(bench, &["aggregate", "--json"]);
    (ended.status.code(), ended.summary())
}

async fn publish_task(bench: &Bench, fields: &Fields) {
    let raw: Vec<_> =
        fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    bench.submit_raw(&raw).await;
}

/// Half of the parameters, or a sum that none of them come to: said by a worker of a chunk that it has done.
#[rstest]
#[case::half_a_chunk(
    |all: Stats| Stats { count: all.count / 2, ..all },
    "it counts 5 parameters, and the chunk has 10"
)]
#[case::another_sum(|all: Stats| Stats { sum: 1e15, min: 0.0, max: 0.0, ..all }, "its sum 1000000000000000 is none")]
#[tokio::test]
async fn what_a_chunk_cannot_come_to_is_never_counted(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[case] spoil: fn(Stats) -> Stats,
    #[case] reason: &str,
) {
    let (bench, sweep) = bench(backend).with_sweep(4).await;
    let worker = bench.worker("worker-9").await;
    for _ in 0..sweep.chunks() {
        let delivery = claim_one(&*worker).await;
        let (token, mut result) = computed(&delivery, "worker-9");
        if result.chunk_index == 2 {
            result.stats = spoil(result.stats);
        }
        assert_eq!(worker.commit(&[(token, result)]).await.expect("commits"), [Commit::Committed]);
    }
    worker.leave().await.expect("leaves");
    let (code, report) = aggregate(&bench);
    assert_eq!((code, &report["complete"], &report["chunks"]), (Some(1), &false.into(), &3.into()));
    assert_eq!(report["result"]["count"], 30, "{report}");
    assert_eq!(report["missing_chunks"], serde_json::json!([{"first": 2, "last": 2}]), "{report}");
    let refused = &report["refused_results"][0];
    assert_eq!((&refused["chunk"], &refused["worker"]), (&2.into(), &"worker-9".into()));
    assert!(refused["reason"].as_str().expect("text").contains(reason), "{refused}");
}

#[rstest]
#[tokio::test]
async fn a_forged_result_does_not_stand_in_the_way_of_the_true_one(
    #[values(Redis, RabbitMq)] backend: Backend,
    #[values(true, false)] comes_first: bool,
) {
    let mut bench = bench(backend);
    // With queues that it can be published to.
    bench.onlooker().await.standing().await.expect("reads");
    let sweep = Sweep { start: 0, params: 40, chunk_size: 10 };
    let stats = Stats { sum: 1e15, count: 0, min: 0.0, max: 0.0, avg: 0.0 };
    let forged = TaskResult {
        chunk_index: 3,
        worker_id: "a stranger".to_owned(),
        duration_seconds: 0.0,
        completed_at: String::new(),
        stats,
    };
    if comes_first {
        publish_result(&mut bench, &forged).await;
    }
    let (mut bench, _) = bench.with_sweep(4).await;
    if !comes_first {
        publish_result(&mut bench, &forged).await;
    }
    let ended = Process::worker(&bench.settings, 1, 0.1).end();
    assert_eq!(ended.summary()["chunks_processed"], 4, "{ended}");
    let (code, report) = aggregate(&bench);
    assert_eq!(
        (code, &report["complete"], &report["unreadable"]),
        (Some(0), &true.into(), &1.into())
    );
    assert_eq!(report["result"]["sum"], whole(&sweep).sum, "{report}");
}

async fn publish_result(bench: &mut Bench, result: &TaskResult) {
    let fields = result.to_fields();
    if let ttg_system::queue::Address::RabbitMq(server) = &bench.settings.address {
        let (key, body) = (server.queues.results.clone(), ttg_system::wire::to_json(&fields));
        bench.rabbitmq().publish("ttg.results.exchange", &key, body.as_bytes()).await;
    } else {
        let words = fields.iter().flat_map(|(name, value)| [name.as_str(), value]);
        let command: Vec<&str> = ["XADD", "ttg:results", "*"].into_iter().chain(words).collect();
        bench.redis().command(&command);
    }
}

async fn reasons(broker: &dyn Broker) -> Vec<String> {
    let letters = broker.dead_letters(&mut Cursor::default(), 10).await.expect("reads");
    letters.into_iter().map(|letter| letter.last_error).collect()
}

#[rstest]
#[case::another_range(50, 60, 0, 0, "chunk 00003 is 50 to 60 there, and 30 to 40 in the sweep")]
#[case::half_a_range(30, 35, 0, 0, "chunk 00003 is 30 to 35 there, and 30 to 40 in the sweep")]
#[case::another_sweep(30, 40, 400, 40, "total_params is 400, and the sweep's is 40")]
#[case::cut_otherwise(30, 40, 40, 5, "total_chunks is 5, and the sweep's is 4")]
#[tokio::test]
async fn a_task_that_is_not_the_sweeps_is_a_dead_letter_and_the_sweep_is_complete(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[case] start: u64,
    #[case] end: u64,
    #[case] total_params: u64,
    #[case] total_chunks: u64,
    #[case] reason: &str,
) {
    let (bench, sweep) = bench(backend).with_sweep(4).await;
    let mut task = Task::first(&sweep, 3, "");
    (task.chunk.start, task.chunk.end) = (start, end);
    (task.total_params, task.total_chunks) = (total_params, total_chunks);
    let mut fields = task.to_fields();
    if total_params == 0 {
        fields.retain(|(name, _)| !name.starts_with("total"));
    }
    publish_task(&bench, &fields).await;
    let ended = Process::worker(&bench.settings, 1, 0.1).end();
    assert_eq!(ended.summary()["chunks_processed"], 4, "{ended}");
    bench.assert_exact(&sweep).await;
    assert_eq!(reasons(&*bench.onlooker().await).await, [reason]);
}

#[rstest]
#[tokio::test]
async fn now_says_by_its_exit_code_whether_it_is_complete(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = bench(backend).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    for index in 0..sweep.chunks() {
        let ended = role(&bench, &["aggregate", "--now"]);
        let left = if index == 0 { "00000 to 00001" } else { "00001" };
        assert_eq!(ended.status.code(), Some(1), "{ended}");
        assert!(ended.stdout.contains(&format!("Missing chunks\n  {left}\n")), "{ended}");
        let delivery = claim_one(&*worker).await;
        commit(&*worker, &delivery, "worker-1").await;
    }
    let ended = role(&bench, &["aggregate", "--now"]);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
}

#[rstest]
#[case(&["aggregate", "--now"])]
#[case(&["dead-letters", "list"])]
#[case(&["worker", "--worker-id", "1"])]
#[tokio::test]
async fn only_a_coordinator_makes_a_file(#[case] arguments: &[&str]) {
    let bench = bench(Embedded);
    let environment = broker_environment(&bench.settings);
    let ended =
        Process::start(ttg(arguments).envs(environment).env("BROKER_PATIENCE_SECONDS", "0.2"))
            .end();
    assert_eq!(ended.status.code(), Some(69), "{ended}");
    let says = "is not there (is the path right? EMBEDDED_PATH, or BROKER_URL, says it";
    assert!(ended.stderr.contains(says), "{ended}");
    let ttg_system::queue::Address::Embedded(path) = &bench.settings.address else {
        panic!("a file")
    };
    let there = std::fs::read_dir(path.parent().expect("a directory")).expect("reads").count();
    assert_eq!(there, 0, "nothing was made");
}

#[tokio::test]
async fn a_worker_that_comes_first_waits_for_the_file() {
    let bench = bench(Embedded);
    let worker = Process::worker(&bench.settings, 1, 0.1);
    let (bench, sweep) = bench.with_sweep(3).await;
    let ended = worker.end();
    assert_eq!(ended.summary()["chunks_processed"], 3, "{ended}");
    bench.assert_exact(&sweep).await;
}
