//! RabbitMQ: results that a worker stores together, and the one record of the journal that tells of them.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::timeout;
use ttg_system::queue::{Commit, Cursor, Delivery, Queue, Settings};
use ttg_system::wire;

use support::bench::Backend::RabbitMq;
use support::bench::{Bench, PATIENCE, claim_one, computed};
use support::detour::{Detour, Passage};

/// The frame of `tx.commit`, behind its type and channel: length, class, method, end.
const COMMIT: [u8; 9] = [0, 0, 0, 4, 0, 90, 0, 20, 0xce];

/// Leads to the server of a bench. The first connection over which a transaction is to be committed breaks
/// when all of that has come but the word for it.
async fn way_that_breaks_at_a_commit(bench: &Bench) -> (Settings, Arc<AtomicBool>) {
    let (settings, detour) = Detour::to(bench).await;
    let has_broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&has_broken);
    tokio::spawn(async move {
        loop {
            tokio::spawn(carry(detour.next().await, Arc::clone(&breaks)));
        }
    });
    (settings, has_broken)
}

async fn carry(mut passage: Passage, has_broken: Arc<AtomicBool>) {
    let (mut said, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
    while let Ok(length @ 1..) = passage.client.read(&mut bytes).await {
        said.extend_from_slice(&bytes[..length]);
        let commit = said.windows(COMMIT.len()).position(|window| window == COMMIT);
        let breaks = commit.filter(|_| !has_broken.swap(true, Ordering::Relaxed));
        // The beginning of one, whose rest is on its way, is kept until that is there.
        let is_begun = |length: &usize| said.ends_with(&COMMIT[..*length]);
        let begun = (1..COMMIT.len()).rev().find(is_begun).unwrap_or(0);
        let ready = breaks.unwrap_or(said.len() - begun);
        if passage.server.write_all(&said[..ready]).await.is_err() || breaks.is_some() {
            break;
        }
        said.drain(..ready);
    }
}

async fn claim(worker: &dyn Queue, count: usize) -> Vec<Delivery> {
    let mut claimed = Vec::new();
    while claimed.len() < count {
        claimed.extend(worker.claim(count, PATIENCE).await.expect("claims"));
    }
    claimed
}

async fn stored(bench: &Bench) -> Vec<String> {
    let results = &bench.rabbitmq().queues().results;
    let chunk = |fields: &wire::Fields| wire::get(fields, "chunk_id").expect("a chunk").to_owned();
    let mut stored = bench.rabbitmq().take_all(results, chunk).await;
    stored.sort();
    stored
}

#[tokio::test]
async fn a_connection_that_breaks_before_all_is_sent_leaves_nothing_and_each_result_is_stored_once()
{
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(3).await;
    let (way, has_broken) = way_that_breaks_at_a_commit(&bench).await;
    let worker = bench.worker_with(&way, "worker-1").await;
    let claimed = claim(&*worker, 3).await;
    let done: Vec<_> = claimed.iter().map(|delivery| computed(delivery, "worker-1")).collect();
    assert_eq!(worker.commit(&done).await.expect("commits"), [Commit::Committed; 3]);
    assert!(has_broken.load(Ordering::Relaxed));
    bench.assert_exact(&sweep).await;
    assert_eq!(stored(&bench).await, ["00000", "00001", "00002"]);
}

#[tokio::test]
async fn what_was_published_and_not_stored_is_with_whoever_has_it_next() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(1).await;
    let onlooker = bench.onlooker().await;
    assert_eq!(onlooker.held().await.expect("looks"), []);
    let (way, has_broken) = way_that_breaks_at_a_commit(&bench).await;
    let worker = bench.worker_with(&way, "worker-1").await;
    let done = [computed(&claim_one(&*worker).await, "worker-1")];
    let other = bench.worker("worker-2").await;
    // The first dies with its connection.
    let again = tokio::select! {
        delivery = claim_one(&*other) => delivery,
        committed = worker.commit(&done) => panic!("{committed:?}"),
    };
    drop(worker);
    assert!(has_broken.load(Ordering::Relaxed));
    let held = onlooker.held().await.expect("looks");
    let held: Vec<_> =
        held.iter().map(|it| (it.chunk_index, it.worker.as_str(), it.begun)).collect();
    assert_eq!(held, [(Some(0), "worker-2", true)]);
    support::bench::commit(&*other, &again, "worker-2").await;
    assert_eq!(onlooker.held().await.expect("looks"), []);
    bench.assert_exact(&sweep).await;
}

#[tokio::test]
async fn a_commit_that_is_cut_off_anywhere_and_made_again_stores_each_result_once() {
    const CHUNKS: u64 = 30;
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(CHUNKS).await;
    let worker = bench.worker("worker-1").await;
    for turns in 0..CHUNKS {
        let done = [computed(&claim_one(&*worker).await, "worker-1")];
        tokio::select! {
            biased;
            committed = worker.commit(&done) => { committed.expect("commits"); }
            () = async { for _ in 0..2 * turns { yield_now().await } } => {
                worker.commit(&done).await.expect("commits");
            }
        }
    }
    bench.assert_exact(&sweep).await;
    let each: Vec<String> = (0..CHUNKS).map(|index| format!("{index:05}")).collect();
    assert_eq!(stored(&bench).await, each);
}

/// Whether a result of our own is told once, whatever leads from the results' exchange.
#[tokio::test]
async fn other_ways_of_the_results_tell_none_twice() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(2).await;
    let queues = bench.rabbitmq().queues();
    let (results, journal) = (queues.results.as_str(), format!("{}.journal", queues.tasks));
    let connection = bench.rabbitmq().connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let bind = |queue: &str| {
        let exchange = "ttg.results.exchange".into();
        channel.queue_bind(
            queue.into(),
            exchange,
            results.into(),
            Default::default(),
            Default::default(),
        )
    };
    // As an earlier version had it, until a worker comes.
    bind(&journal).await.expect("binds");
    let worker = bench.worker("worker-1").await;
    let [first, second] = claim(&*worker, 2).await.try_into().expect("two");
    support::bench::commit(&*worker, &first, "worker-1").await;
    // As a program does that begins anew.
    channel.queue_delete(results.into(), Default::default()).await.expect("deletes");
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(results.into(), durable, Default::default()).await.expect("declares");
    bind(results).await.expect("binds");
    support::bench::commit(&*worker, &second, "worker-1").await;
    bench.assert_exact(&sweep).await;
    assert_eq!(stored(&bench).await, [format!("{:05}", second.task.chunk.index)]);
}

/// So many results at a time, from the cursor on.
async fn pages(bench: &Bench, cursor: &mut Cursor, max: usize) -> Vec<Vec<u64>> {
    let onlooker = bench.onlooker().await;
    let mut pages = Vec::new();
    loop {
        let page = onlooker.results(cursor, max, Duration::ZERO).await.expect("reads");
        if page.is_empty() {
            return pages;
        }
        pages.push(page.into_iter().map(|it| it.what.expect("a result").chunk_index).collect());
    }
}

#[tokio::test]
async fn a_page_may_end_within_a_record_and_the_next_goes_on_there() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(7).await;
    let worker = bench.worker("worker-1").await;
    let done: Vec<_> =
        claim(&*worker, 7).await.iter().map(|delivery| computed(delivery, "worker-1")).collect();
    worker.commit(&done).await.expect("commits");
    let mut cursor = Cursor::default();
    assert_eq!(pages(&bench, &mut cursor, 3).await, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    // Somebody else goes on from within it.
    let mut cursor = Cursor::default();
    let onlooker = bench.onlooker().await;
    let first = timeout(PATIENCE, onlooker.results(&mut cursor, 2, PATIENCE)).await;
    assert_eq!(first.expect("in time").expect("reads").len(), 2);
    assert_eq!(pages(&bench, &mut cursor, 10).await, [[2, 3, 4, 5, 6]]);
    bench.assert_exact(&sweep).await;
}
