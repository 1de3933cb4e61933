//! As many dead letters as a sweep can have: each is replayed, or dropped, whoever is killed on the way,
//! and whatever reads them goes on in step with their number.

mod support;

use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use ttg_system::chunk::Sweep;
use ttg_system::queue::{Broker, Decision, QueueError};

use support::bench::Backend::{self, Embedded, RabbitMq, Redis};
use support::bench::{Bench, PATIENCE, computed};
use support::graveyard::{BATCH, graveyard};
use support::process::{Ended, Process, broker_environment, ttg, until};

/// More than are read, published or acknowledged together anywhere.
const MANY: u64 = 2000;

fn dead_letters(bench: &Bench, arguments: &[&str]) -> Process {
    let mut command: Command = ttg(&[&["dead-letters"], arguments].concat());
    Process::start(command.envs(broker_environment(&bench.settings)))
}

/// How many chunks are dead, how many letters are there, and how many tasks.
async fn counts(broker: &dyn Broker) -> (u64, u64, u64) {
    let depths = broker.depths().await.expect("reads");
    (broker.standing().await.expect("reads").dead, depths.letters, depths.tasks)
}

/// What it says where all is well.
fn said(ended: &Ended) -> &str {
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""), "{ended}");
    &ended.stdout
}

/// Computes what is open, each chunk in whatever delivery it comes first.
async fn compute_all(bench: &Bench, sweep: &Sweep) {
    let worker = bench.worker("worker-2").await;
    while !worker.is_complete().await.expect("asks") {
        let claimed = worker.claim(BATCH, PATIENCE).await.expect("claims");
        let done: Vec<_> = claimed.iter().map(|delivery| computed(delivery, "worker-2")).collect();
        worker.commit(&done).await.expect("commits");
    }
    bench.assert_exact(sweep).await;
}

#[rstest]
#[tokio::test]
async fn every_one_of_many_is_replayed(#[values(Embedded, Redis, RabbitMq)] backend: Backend) {
    let (bench, sweep) = graveyard(backend, MANY).await;
    let broker = bench.onlooker().await;
    assert_eq!(counts(&*broker).await, (MANY, MANY, 0));
    let ended = dead_letters(&bench, &["replay", "--all"]).end();
    assert!(said(&ended).starts_with("replayed 2000 dead letters (chunks 00000, 0"), "{ended}");
    assert_eq!(counts(&*broker).await, (0, 0, MANY));
    compute_all(&bench, &sweep).await;
}

#[rstest]
#[tokio::test]
async fn every_one_of_many_is_dropped(#[values(Embedded, Redis, RabbitMq)] backend: Backend) {
    let (bench, _) = graveyard(backend, MANY).await;
    let broker = bench.onlooker().await;
    let ended = dead_letters(&bench, &["drop", "--all"]).end();
    assert!(said(&ended).starts_with("dropped 2000 dead letters (chunks 00000, 0"), "{ended}");
    assert_eq!(counts(&*broker).await, (MANY, 0, 0));
}

/// What is dead at one moment is a task at the next, and never both or neither.
#[rstest]
#[tokio::test]
async fn a_replay_that_is_killed_and_repeated_replays_each_chunk_once(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = graveyard(backend, MANY).await;
    let broker = bench.onlooker().await;
    let mut killed = dead_letters(&bench, &["replay", "--all"]);
    until("it has begun", async || broker.depths().await.expect("reads").tasks > 0).await;
    killed.kill();
    let (dead, _, tasks) = counts(&*broker).await;
    assert!(dead > 0 && tasks < MANY, "it had come to its end with {dead} dead and {tasks} tasks");
    said(&dead_letters(&bench, &["replay", "--all"]).end());
    let (dead, letters, tasks) = counts(&*broker).await;
    assert_eq!((dead, letters), (0, 0));
    // On RabbitMQ those of the step that was cut off may be there twice, and say so.
    let twice = tasks - MANY;
    assert!(twice <= if backend == RabbitMq { 250 } else { 0 }, "{twice} of {MANY} tasks twice");
    compute_all(&bench, &sweep).await;
}

#[rstest]
#[tokio::test]
async fn two_who_replay_many_at_once_replay_each_once(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = graveyard(backend, MANY).await;
    let both = [(); 2].map(|()| dead_letters(&bench, &["replay", "--all"]));
    for ended in both.map(Process::end) {
        said(&ended);
    }
    let broker = bench.onlooker().await;
    assert_eq!(counts(&*broker).await, (0, 0, MANY));
    compute_all(&bench, &sweep).await;
}

#[tokio::test]
async fn letters_that_somebody_else_has_are_told_of_and_are_there_later() {
    let (bench, sweep) = graveyard(RabbitMq, 20).await;
    let url = format!("amqp://127.0.0.1:{}", bench.rabbitmq().port);
    let other = lapin::Connection::connect(&url, Default::default()).await.expect("connects");
    let channel = other.create_channel().await.expect("a channel");
    for _ in 0..5 {
        let letters = bench.rabbitmq().queues().letters.as_str().into();
        let got = channel.basic_get(letters, Default::default()).await.expect("answers");
        assert!(got.is_some());
    }
    let some = dead_letters(&bench, &["replay", "--all"]).end();
    assert_eq!(some.status.code(), Some(1), "{some}");
    assert!(some.stdout.starts_with("replayed 15 dead letters (chunks 00005, "), "{some}");
    assert_eq!(
        some.stderr,
        "error: 15 dead letters were done with, and 5 more are left: somebody else has them, or has \
         taken them from their queue (run it again when nobody has them)\n"
    );
    other.close(200, "enough".into()).await.expect("closes");
    let rest = dead_letters(&bench, &["replay", "--all"]).end();
    assert!(said(&rest).starts_with("replayed 5 dead letters (chunks 00000, "), "{rest}");
    compute_all(&bench, &sweep).await;
}

#[tokio::test]
async fn a_sifting_that_breaks_off_says_how_far_it_came() {
    let (mut bench, _) = graveyard(Redis, 300).await;
    bench.settings.patience = Duration::from_millis(200);
    let broker = bench.onlooker().await;
    let mut shown = 0;
    let mut decide = |_: &_| {
        shown += 1;
        if shown == 250 {
            bench.redis().kill();
        }
        Decision::Replay
    };
    let broken = broker.sift(&mut decide).await.expect_err("its server is gone");
    let QueueError::HalfSifted { done: 249, left: 51, .. } = broken else { panic!("{broken:?}") };
    let said = broken.to_string();
    assert!(
        said.ends_with(
            "249 of the dead letters were done with before that, and 51 are left (run it again)"
        ),
        "{said}"
    );
}
