//! A sweep is computed by one kernel, unless somebody says that several are the same.

use std::rc::Rc;

use futures_util::future::join_all;
use lapin::Connection;
use lapin::options::{BasicNackOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use rstest::rstest;
use ttg_system::kernel::Identity;
use ttg_system::queue::KernelCheck::{self, Look, Record, Same};
use ttg_system::queue::{Broker, Commit, Delivery, QueueError};

use crate::support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use crate::support::bench::{Bench, PATIENCE, claim_one, computed};
use crate::support::process::until;

fn kernel(name: &str) -> Identity {
    Identity::built_in(name)
}

/// Whether it is accepted; a refusal must name both.
async fn accepts(broker: &dyn Broker, own: &str, check: KernelCheck) -> bool {
    match broker.compute_with(&kernel(own), check).await {
        Ok(()) => true,
        Err(QueueError::OtherKernel { there, own: said, .. }) => {
            assert_eq!(said, kernel(own).to_string());
            assert!(!there.is_empty() && !there.contains(&said), "{there}");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[rstest]
#[tokio::test]
async fn whoever_is_first_decides(#[values(Embedded, Redis, RabbitMq, Model)] backend: Backend) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let (a, b) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    for _ in 0..2 {
        assert!(
            accepts(&*a, "one", Look).await && accepts(&*b, "two", Look).await,
            "a look binds nobody"
        );
    }
    assert!(accepts(&*a, "one", Record).await);
    for check in [Look, Record, Record] {
        assert!(accepts(&*a, "one", check).await);
        assert!(!accepts(&*b, "two", check).await);
    }
    // Another life of both.
    let (a, b) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    for check in [Look, Record] {
        assert!(accepts(&*a, "one", check).await);
        assert!(!accepts(&*b, "two", check).await);
    }
}

#[rstest]
#[tokio::test]
async fn whoever_says_so_is_let_in_beside_the_first(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let (a, b) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    assert!(accepts(&*a, "one", Record).await);
    assert!(accepts(&*b, "two", Same).await && accepts(&*b, "two", Same).await);
    let c = bench.worker("worker-3").await;
    for known in ["one", "two"] {
        assert!(accepts(&*c, known, Look).await && accepts(&*c, known, Record).await, "{known}");
    }
    let c = bench.worker("worker-3").await;
    assert!(!accepts(&*c, "three", Look).await && !accepts(&*c, "three", Record).await);
}

#[rstest]
#[tokio::test]
async fn a_reset_forgets_it(#[values(Embedded, Redis, RabbitMq, Model)] backend: Backend) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    assert!(accepts(&*bench.worker("worker-1").await, "one", Record).await);
    bench.onlooker().await.reset().await.expect("resets");
    let (bench, _) = bench.with_sweep(1).await;
    let b = bench.worker("worker-2").await;
    assert!(accepts(&*b, "two", Look).await && accepts(&*b, "two", Record).await);
    assert!(!accepts(&*bench.worker("worker-1").await, "one", Look).await);
}

#[rstest]
#[tokio::test]
async fn of_those_who_race_one_is_the_first(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let mut racers = Vec::new();
    for number in 0..6 {
        racers.push((bench.worker(&format!("worker-{number}")).await, format!("{number}")));
    }
    let race =
        async |(broker, own): &(Rc<dyn Broker>, String)| accepts(&**broker, own, Record).await;
    let first: Vec<bool> = join_all(racers.iter().map(race)).await;
    assert_eq!(first.iter().filter(|is_first| **is_first).count(), 1, "{first:?}");
    // However many look at the same moment, everybody sees it.
    let look = async |(broker, own): &(Rc<dyn Broker>, String)| accepts(&**broker, own, Look).await;
    for _ in 0..5 {
        assert_eq!(join_all(racers.iter().map(look)).await, first);
    }
}

async fn claim(broker: &dyn Broker, chunks: usize) -> Vec<Delivery> {
    let mut claimed = Vec::new();
    while claimed.len() < chunks {
        claimed.extend(broker.claim(chunks - claimed.len(), PATIENCE).await.expect("claims"));
    }
    claimed
}

/// As a worker does that has a result: what with, then the result.
async fn store(broker: &dyn Broker, own: &str, deliveries: &[Delivery]) -> Result<(), QueueError> {
    broker.compute_with(&kernel(own), Record).await?;
    let done: Vec<_> = deliveries.iter().map(|it| computed(it, "worker-1")).collect();
    broker.commit(&done).await.map(drop)
}

/// Whoever lives through a reset was the first of one sweep and is not of the other.
#[rstest]
#[tokio::test]
async fn what_another_sweeps_kernel_computed_is_stored_nowhere(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[values(1, 3)] chunks: usize,
) {
    let (bench, _) = Bench::start(backend).with_sweep(chunks as u64).await;
    let a = bench.worker("worker-1").await;
    let before = claim(&*a, chunks).await;
    store(&*a, "one", &before).await.expect("is the first");
    bench.onlooker().await.reset().await.expect("resets");
    let (bench, sweep) = bench.with_sweep(chunks as u64).await;
    let b = bench.worker("worker-2").await;
    assert!(accepts(&*b, "two", Record).await);
    let its = claim(&*a, chunks).await;
    for _ in 0..2 {
        let refused = store(&*a, "one", &its).await.expect_err("is another's");
        assert!(matches!(refused, QueueError::OtherKernel { .. }), "{refused}");
    }
    let tokens: Vec<_> = its.into_iter().map(|it| it.token).collect();
    a.release(&tokens).await.expect("gives back");
    for _ in 0..chunks {
        store(&*b, "two", &[claim_one(&*b).await]).await.expect("goes on");
    }
    bench.assert_exact(&sweep).await;
}

/// Who comes too late with what it computed has computed nothing of the sweep that is there now.
#[rstest]
#[tokio::test]
async fn a_result_of_a_discarded_sweep_binds_nobody(
    #[values(Embedded, Redis, Model)] backend: Backend,
    #[values(1, 3)] chunks: usize,
) {
    let (bench, _) = Bench::start(backend).with_sweep(2 * chunks as u64).await;
    let a = bench.worker("worker-1").await;
    let before = claim(&*a, chunks).await;
    store(&*a, "one", &before).await.expect("is the first");
    let late = claim(&*a, chunks).await;
    bench.onlooker().await.reset().await.expect("resets");
    let (bench, _) = bench.with_sweep(chunks as u64).await;
    let done: Vec<_> = late.iter().map(|it| computed(it, "worker-1")).collect();
    let stored = a.commit(&done).await.expect("is heard");
    assert_eq!(stored, vec![Commit::AlreadySettled; chunks]);
    assert_eq!(bench.report().await.chunks, 0);
    assert!(accepts(&*bench.worker("worker-2").await, "two", Record).await);
}

/// RabbitMQ: of whoever is killed while he reads the kernels, the lock may be free before they are back.
#[tokio::test]
async fn what_a_dead_reader_had_is_waited_for() {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(1).await;
    let (a, b) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    assert!(accepts(&*a, "one", Record).await);
    let connection = bench.rabbitmq().connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let tasks = &bench.rabbitmq().queues().tasks;
    let kernels = format!("{tasks}.kernels");
    let got = channel.basic_get(kernels.into(), Default::default()).await.expect("answers");
    let held = got.expect("the kernel is written down").delivery;
    let lock = format!("{tasks}.lock");
    let comes_back = async {
        // He who has read and believes it has given up the lock by then.
        let mut times = 0;
        until("the other looks again and again", async || {
            times = if is_locked(&connection, &lock).await { times + 1 } else { 0 };
            times == 10
        })
        .await;
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        held.nack(requeue).await.expect("goes back");
    };
    let (is_accepted, ()) = tokio::join!(accepts(&*b, "two", Record), comes_back);
    assert!(!is_accepted, "nobody else has written anything down");
}

async fn is_locked(connection: &Connection, lock: &str) -> bool {
    let channel = connection.create_channel().await.expect("a channel");
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let told = channel.queue_declare(lock.into(), passive, FieldTable::default()).await;
    told.is_err_and(|error| error.to_string().contains("RESOURCE_LOCKED"))
}
