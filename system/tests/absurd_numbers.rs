//! What somebody else has written of a sweep may have any numbers. Nobody aborts over them, nothing is made
//! as large as they say, and people are told.

mod support;

use std::process::Command;

use rstest::rstest;
use rusqlite::Connection;
use ttg_system::chunk::{CHUNKS_BOUND, Sweep};
use ttg_system::queue::{Address, Broker};

use support::bench::Backend::{self, Embedded, RabbitMq, Redis};
use support::bench::Bench;
use support::process::{Ended, Process, broker_environment, ttg};

fn run(bench: &Bench, arguments: &[&str]) -> Ended {
    let mut command: Command = ttg(arguments);
    command.envs(broker_environment(&bench.settings)).env("SIMULATE_WORK_MS", "0");
    command.env("IDLE_TIMEOUT_SECONDS", "1").env("BROKER_PATIENCE_SECONDS", "5");
    Process::start(&mut command).end()
}

/// Of everybody who looks at it: said in one line, by exit code 1.
fn is_refused_by_all(bench: &Bench, told: &str) {
    for arguments in [&["aggregate", "--now"][..], &["worker"], &["coordinator"]] {
        let ended = run(bench, arguments);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {ended}");
        let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert!(errors == 1 && !ended.stderr.contains("panicked"), "{arguments:?}: {ended}");
        if arguments != ["coordinator"] {
            assert!(ended.stderr.contains(told), "{arguments:?}: {ended}");
        }
    }
}

#[rstest]
#[case::beyond_every_bitmap("9223372036854775808")]
#[case::beyond_every_number("99999999999999999999999999")]
#[case::one_too_many("134217729")]
#[case::none("many")]
#[tokio::test]
async fn metadata_of_redis_that_cannot_be_are_refused(#[case] total: &str) {
    let (mut bench, _) = Bench::start(Redis).with_sweep(2).await;
    let set = |name: &str, value: &str| ["HSET", "ttg:metadata", name, value].map(str::to_owned);
    for words in [set("total_chunks", total), set("total_parameters", total)] {
        bench.redis().command(&words.each_ref().map(String::as_str));
    }
    is_refused_by_all(&bench, "total_chunks of ttg:metadata is");
    let reset = run(&bench, &["coordinator", "--reset", "--total-parameters", "20"]);
    assert!(reset.status.success(), "{reset}");
}

#[rstest]
#[case::chunks("params = 9007199254740000, chunk_size = 1")]
#[case::parameters("params = 9223372036854775807")]
#[case::no_chunk("chunk_size = 0")]
#[tokio::test]
async fn a_file_whose_sweep_cannot_be_is_refused(#[case] change: &str) {
    let (bench, _) = Bench::start(Embedded).with_sweep(2).await;
    let Address::Embedded(path) = &bench.settings.address else { panic!("it has no file") };
    let file = Connection::open(path).expect("opens");
    file.execute_batch(&format!("UPDATE sweep SET {change}")).expect("is changed");
    drop(file);
    is_refused_by_all(&bench, "the sweep in it cannot be");
    let reset = run(&bench, &["coordinator", "--reset", "--total-parameters", "20"]);
    assert!(reset.status.success(), "{reset}");
}

/// Whoever makes one of a sweep that he has not opened.
async fn journal_says(bench: &Bench, kind: &str, body: &str) {
    let Address::RabbitMq(server) = &bench.settings.address else { panic!("it is no RabbitMQ") };
    let uri = format!("amqp://guest:guest@{}:{}/%2f", server.host, server.port);
    let connection = lapin::Connection::connect(&uri, lapin::ConnectionProperties::default())
        .await
        .expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    channel
        .basic_publish(
            "".into(),
            format!("{}.journal", server.queues.tasks).into(),
            lapin::options::BasicPublishOptions::default(),
            body.as_bytes(),
            lapin::BasicProperties::default().with_type(kind.into()),
        )
        .await
        .expect("is published");
    connection.close(200, "".into()).await.expect("closes");
}

#[tokio::test]
async fn records_of_a_journal_that_cannot_be_are_left_out() {
    let bench = Bench::start(RabbitMq);
    // Its queues are declared by whoever comes first.
    drop(bench.onlooker().await);
    let absurd = r#"{"start_param":0,"total_parameters":9223372036854775807,"chunk_size":1,"job_id":"","created_at":""}"#;
    journal_says(&bench, "sweep", absurd).await;
    journal_says(&bench, "submitted", "9223372036854775808").await;
    for kind in ["redelivered", "repeated", "returned", "released", "survived"] {
        journal_says(&bench, kind, "9223372036854775808").await;
    }
    let (bench, sweep) = bench.with_sweep(20).await;
    let worker = run(&bench, &["worker"]);
    assert!(worker.status.success(), "{worker}");
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn more_chunks_than_can_be_named_are_refused_at_the_start(
    #[values(Embedded, Redis)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let params = (CHUNKS_BOUND + 4).to_string();
    for role in [&["coordinator"][..], &["worker", "--coordinate"]] {
        let sweep = ["--total-parameters", &params, "--chunk-size", "1"];
        let ended = run(&bench, &[role, &sweep].concat());
        assert_eq!(ended.status.code(), Some(64), "{ended}");
        assert!(ended.stderr.contains("(choose a --chunk-size of at least 2)"), "{ended}");
    }
    let onlooker: std::rc::Rc<dyn Broker> = bench.onlooker().await;
    assert_eq!(onlooker.sweep().await.expect("reads"), None, "nothing was begun");
    let most = Sweep { start: 0, params: CHUNKS_BOUND, chunk_size: 1 };
    assert!(most.check_bounds().is_ok());
}
