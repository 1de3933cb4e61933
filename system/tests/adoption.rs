//! A sweep that somebody else's coordinator has begun: ours takes it over from its tasks and results, or
//! refuses it; our workers and our aggregator do without.

mod support;

use std::time::Duration;

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use rstest::rstest;
use ttg_system::chunk::Sweep;
use ttg_system::queue::Address;
use ttg_system::wire::{self, Fields, Task, TaskResult};

use support::bench::Backend::{self, RabbitMq, Redis};
use support::bench::{Bench, stats};
use support::process::{Ended, Process, broker_environment, ttg};

const SWEEP: Sweep = Sweep { start: 0, params: 100, chunk_size: 10 };

/// As [`SWEEP`], in words.
const SUBMIT: [&str; 5] = ["coordinator", "--total-parameters", "100", "--chunk-size", "10"];

/// A server that nobody of ours has ever seen, with the queues of the wire contract.
async fn foreign(backend: Backend) -> Bench {
    let bench = Bench::start(backend).with_lease(Duration::from_secs(2));
    if backend == RabbitMq {
        let connection = bench.rabbitmq().connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        let queues = bench.rabbitmq().queues();
        for (queue, exchange) in
            [(&queues.tasks, "ttg.tasks.exchange"), (&queues.results, "ttg.results.exchange")]
        {
            let kept = ExchangeDeclareOptions { durable: true, ..Default::default() };
            let none = Default::default;
            let exchange = exchange.into();
            let made = channel.exchange_declare(exchange, ExchangeKind::Direct, kept, none()).await;
            made.expect("an exchange");
            let kept = QueueDeclareOptions { durable: true, ..Default::default() };
            channel.queue_declare(queue.as_str().into(), kept, none()).await.expect("a queue");
        }
        for (queue, exchange) in
            [(&queues.tasks, "ttg.tasks.exchange"), (&queues.results, "ttg.results.exchange")]
        {
            let (key, none) = (queue.as_str(), Default::default());
            let bound = channel.queue_bind(
                key.into(),
                exchange.into(),
                key.into(),
                Default::default(),
                none,
            );
            bound.await.expect("a binding");
        }
    }
    bench
}

async fn publish(bench: &mut Bench, stream: &str, fields: &Fields) {
    if let Address::RabbitMq(server) = &bench.settings.address {
        let queues = server.queues.clone();
        let (key, body) =
            (if stream == "tasks" { queues.tasks } else { queues.results }, wire::to_json(fields));
        bench.rabbitmq().publish(&format!("ttg.{stream}.exchange"), &key, body.as_bytes()).await;
    } else {
        let key = format!("ttg:{stream}");
        let words = fields.iter().flat_map(|(name, value)| [name.as_str(), value]);
        let command: Vec<&str> = ["XADD", &key, "*"].into_iter().chain(words).collect();
        bench.redis().command(&command);
    }
}

async fn submit(bench: &mut Bench, sweep: &Sweep, chunks: std::ops::Range<u64>) {
    for index in chunks {
        let task = Task::first(sweep, index, "2026-01-02T03:04:05Z");
        publish(bench, "tasks", &task.to_fields()).await;
    }
}

/// Results of somebody else's worker, which has taken and acknowledged the first tasks of the queue.
async fn complete(bench: &mut Bench, sweep: &Sweep, chunks: u64) {
    for index in 0..chunks {
        let result = TaskResult {
            chunk_index: index,
            worker_id: "worker-9".to_owned(),
            duration_seconds: 0.25,
            completed_at: "2026-01-02T03:04:06Z".to_owned(),
            stats: stats(&sweep.chunk(index)),
        };
        publish(bench, "results", &result.to_fields()).await;
    }
    let count = chunks.to_string();
    if let Address::RabbitMq(server) = &bench.settings.address {
        let tasks = server.queues.tasks.clone();
        bench.rabbitmq().take(&tasks, chunks).await;
    } else if chunks > 0 {
        let redis = bench.redis();
        let url = redis.url();
        redis.command(&["XGROUP", "CREATE", "ttg:tasks", "ttg-workers", "0"]);
        let mut connection =
            redis::Client::open(url).expect("a URL").get_connection().expect("connects");
        let mut read = redis::cmd("XREADGROUP");
        read.arg(&[
            "GROUP",
            "ttg-workers",
            "worker-9",
            "COUNT",
            &count,
            "STREAMS",
            "ttg:tasks",
            ">",
        ]);
        type Entries = Vec<(String, Vec<(String, Vec<String>)>)>;
        let read: Entries = read.query(&mut connection).expect("tasks");
        for (id, _) in &read[0].1 {
            redis::cmd("XACK")
                .arg(&["ttg:tasks", "ttg-workers", id])
                .exec(&mut connection)
                .expect("acks");
        }
    }
}

fn role(bench: &Bench, arguments: &[&str]) -> Ended {
    Process::start(ttg(arguments).envs(broker_environment(&bench.settings))).end()
}

fn assert_complete(bench: &Bench) {
    let ended = role(bench, &["aggregate", "--json"]);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let report = ended.summary();
    assert_eq!(
        (&report["complete"], &report["result"]["count"]),
        (&true.into(), &100.into()),
        "{report}"
    );
    let whole = support::bench::whole(&SWEEP);
    assert_eq!(report["result"]["sum"], whole.sum, "{report}");
}

#[rstest]
#[case::untouched(10, 0)]
#[case::half_done(10, 4)]
#[case::finished(10, 10)]
#[case::half_submitted(6, 0)]
#[case::half_submitted_and_done(6, 6)]
#[tokio::test]
async fn our_coordinator_takes_over_what_is_there(
    #[values(Redis, RabbitMq)] backend: Backend,
    #[case] submitted: u64,
    #[case] done: u64,
) {
    let mut bench = foreign(backend).await;
    submit(&mut bench, &SWEEP, 0..submitted).await;
    complete(&mut bench, &SWEEP, done).await;
    let ended = role(&bench, &SUBMIT);
    let summary = ended.summary();
    let told = ["chunks_found", "chunks_submitted", "chunks_resubmitted"]
        .map(|name| summary[name].as_u64().expect("a number"));
    assert_eq!(told, [submitted, 10 - submitted, 0], "{ended}");
    let ended = Process::worker(&bench.settings, 1, 0.1).end();
    assert_eq!(ended.summary()["chunks_processed"], 10 - done, "{ended}");
    assert_complete(&bench);
    // It is ours from now on.
    let again = role(&bench, &SUBMIT);
    assert_eq!(again.summary()["chunks_found"], 10, "{again}");
    assert_complete(&bench);
}

#[rstest]
#[tokio::test]
async fn tasks_of_another_sweep_are_refused_and_stay(#[values(Redis, RabbitMq)] backend: Backend) {
    let mut bench = foreign(backend).await;
    submit(&mut bench, &SWEEP, 0..10).await;
    let ended = role(&bench, &["coordinator", "--total-parameters", "100", "--chunk-size", "20"]);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    let says = "holds tasks of a sweep of 100 parameters from 0 in chunks of 10, not a sweep of 100 \
                parameters from 0 in chunks of 20 (finish that one, or discard it with --reset)";
    assert!(ended.stderr.contains(says), "{ended}");
    let depths = bench.onlooker().await.depths().await.expect("reads");
    assert_eq!(depths.tasks, 10);
    // Whoever asks for the one that is there gets it.
    let ended = role(&bench, &SUBMIT);
    assert_eq!(ended.summary()["chunks_found"], 10, "{ended}");
}

#[rstest]
#[tokio::test]
async fn tasks_of_two_sweeps_are_refused(#[values(Redis, RabbitMq)] backend: Backend) {
    let mut bench = foreign(backend).await;
    submit(&mut bench, &SWEEP, 0..10).await;
    submit(&mut bench, &Sweep { chunk_size: 20, ..SWEEP }, 0..5).await;
    let ended = role(&bench, &SUBMIT);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("in chunks of 10, and tasks of a sweep"), "{ended}");
    let ended = role(&bench, &[&SUBMIT[..], &["--reset"]].concat());
    assert_eq!(ended.summary()["chunks_submitted"], 10, "{ended}");
    Process::worker(&bench.settings, 1, 0.1).end();
    assert_complete(&bench);
}

/// One bad task among them is no other sweep: it is a dead letter to whoever gets it.
#[rstest]
#[tokio::test]
async fn one_forged_task_refuses_nothing(#[values(Redis, RabbitMq)] backend: Backend) {
    let mut bench = foreign(backend).await;
    let fields = [("chunk_id", "00003"), ("start_param", "500"), ("end_param", "600")];
    let fields: Fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    publish(&mut bench, "tasks", &fields).await;
    let ended = role(&bench, &SUBMIT);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let ended = Process::worker(&bench.settings, 1, 0.1).end();
    assert_eq!(ended.summary()["chunks_processed"], 10, "{ended}");
    assert_complete(&bench);
}

/// Nobody of ours submits; ours work and count.
#[rstest]
#[tokio::test]
async fn our_workers_and_our_aggregator_do_without_a_coordinator(
    #[values(Redis, RabbitMq)] backend: Backend,
) {
    let mut bench = foreign(backend).await;
    if backend == RabbitMq {
        // What is published before anybody of ours came is in no journal.
        bench.onlooker().await.standing().await.expect("reads");
    }
    submit(&mut bench, &SWEEP, 0..10).await;
    let ended = Process::worker(&bench.settings, 1, 0.1).end();
    assert_eq!(ended.summary()["status"], "completed", "{ended}");
    assert_complete(&bench);
}

#[tokio::test]
async fn a_finished_sweep_of_others_is_aggregated_from_redis_as_it_is() {
    let mut bench = foreign(Redis).await;
    submit(&mut bench, &SWEEP, 0..10).await;
    complete(&mut bench, &SWEEP, 10).await;
    assert_complete(&bench);
}

/// Its tasks are gone, and nothing else tells how large it is.
#[tokio::test]
async fn a_finished_sweep_of_others_on_rabbitmq_is_shown_and_not_called_complete() {
    let mut bench = foreign(RabbitMq).await;
    submit(&mut bench, &SWEEP, 0..10).await;
    complete(&mut bench, &SWEEP, 10).await;
    let ended = role(&bench, &["aggregate", "--now", "--json"]);
    let report = ended.summary();
    assert_eq!(
        (ended.status.code(), &report["result"]["count"]),
        (Some(1), &100.into()),
        "{ended}"
    );
    let waiting = role(&bench, &["aggregate"]);
    assert_eq!(waiting.status.code(), Some(1), "{waiting}");
    let says =
        "10 results are there of a sweep of which nobody says how large it is (ttg coordinator";
    assert!(waiting.stderr.contains(says), "{waiting}");
    assert_eq!(role(&bench, &SUBMIT).summary()["chunks_found"], 10);
    assert_complete(&bench);
}

/// As a coordinator leaves them that dies in mid-way: the one in the queue, and the one that came after it.
#[rstest]
#[tokio::test]
async fn what_is_there_twice_counts_once(#[values(Redis, RabbitMq)] backend: Backend) {
    let mut bench = foreign(backend).await;
    submit(&mut bench, &SWEEP, 0..10).await;
    complete(&mut bench, &SWEEP, 5).await;
    submit(&mut bench, &SWEEP, 3..8).await;
    complete(&mut bench, &SWEEP, 0).await;
    let ended = role(&bench, &SUBMIT);
    assert_eq!(ended.summary()["chunks_found"], 10, "{ended}");
    Process::worker(&bench.settings, 1, 0.1).end();
    assert_complete(&bench);
}

#[rstest]
#[tokio::test]
async fn a_coordinator_that_dies_while_it_takes_over_is_followed_by_another(
    #[values(Redis, RabbitMq)] backend: Backend,
) {
    let mut bench = foreign(backend).await;
    submit(&mut bench, &SWEEP, 0..10).await;
    complete(&mut bench, &SWEEP, 4).await;
    for moment_ms in [5, 10, 15, 20, 30, 40, 60, 80, 120, 160] {
        let mut command = ttg(&SUBMIT);
        let mut coordinator = Process::start(command.envs(broker_environment(&bench.settings)));
        // No event tells how far it is: it dies at several moments.
        tokio::time::sleep(Duration::from_millis(moment_ms)).await;
        coordinator.kill();
    }
    let ended = role(&bench, &SUBMIT);
    assert_eq!(ended.summary()["total_chunks"], 10, "{ended}");
    Process::worker(&bench.settings, 1, 0.1).end();
    assert_complete(&bench);
}

#[tokio::test]
async fn metadata_that_do_not_add_up_are_no_sweep() {
    let mut bench = foreign(Redis).await;
    let metadata = ["total_parameters", "100", "chunk_size", "10", "total_chunks", "5"];
    bench.redis().command(&[&["HSET", "ttg:metadata"], &metadata[..]].concat());
    submit(&mut bench, &Sweep { params: 50, ..SWEEP }, 0..5).await;
    complete(&mut bench, &SWEEP, 5).await;
    let ended = role(&bench, &SUBMIT);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("holds metadata of a foreign form, not a sweep"), "{ended}");
    let ended = role(&bench, &["aggregate", "--now"]);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stdout.starts_with("Sweep results: INCOMPLETE\n"), "{ended}");
}
