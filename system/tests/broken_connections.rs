//! Connections that break at any moment: whatever a worker waits for then, it goes on.

mod support;

use std::time::Duration;

use tokio::io::copy;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, interval, sleep, timeout};
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::{self, Address, Decision, QueueError, Settings};
use ttg_system::worker::{self, Batch, Options, Status};

use support::bench::Backend::{RabbitMq, Redis};
use support::bench::{Bench, PATIENCE, claim_one, commit, computed};
use support::cable::Cable;
use support::detour::Detour;
use support::graveyard::graveyard;
use support::kernels::Steady;
use support::process::until;
use support::rabbitmq_server::RabbitMqServer;

const CHUNKS: u64 = 16;

/// How long a worker may take to notice that a connection is gone, to make another and to look
/// what became of its chunk.
const RECOVERY: Duration = Duration::from_secs(4);

/// How often a connection is reset before a question: few of the resets are found in the moment that matters.
const RESETS: u32 = 40;

/// Longest time to another connection, which takes some 50 ms; a goodbye that is not answered takes a second.
const AT_ONCE: Duration = Duration::from_millis(900);

#[tokio::test]
async fn a_commit_comes_to_an_end_whenever_its_connection_breaks() {
    LocalSet::new().run_until(commits_over_breaking_connections()).await;
}

async fn commits_over_breaking_connections() {
    let server = RabbitMqServer::start();
    let Address::RabbitMq(mut address) = server.address() else { unreachable!() };
    let direct = Settings::new(server.address());
    let sweep = Sweep { start: 0, params: CHUNKS, chunk_size: 1 };
    let onlooker = queue::connect(&direct, None).await.expect("connects");
    coordinator::run(&*onlooker, &sweep, None).await.expect("submits");

    let cable = Cable::to(server.port).await;
    address.port = cable.port;
    // A chunk whose connection breaks again and again is no poison here.
    let settings = Settings { max_deliveries: 1000, ..Settings::new(Address::RabbitMq(address)) };
    let worker = queue::connect(&settings, Some("worker-1")).await.expect("connects");
    // From before the result is sent to after its task is acknowledged.
    let mut moments = fastrand::Rng::with_seed(1);
    while !onlooker.standing().await.expect("reads").is_complete() {
        let claimed = timeout(PATIENCE, worker.claim(1, Duration::from_millis(250))).await;
        for delivery in claimed.expect("a claim ends").expect("claims") {
            let moment = Duration::from_micros(moments.u64(0..4000));
            let done = [computed(&delivery, "worker-1")];
            let commit = timeout(RECOVERY, worker.commit(&done));
            let cut = async {
                sleep(moment).await;
                cable.cut();
            };
            let (committed, ()) = tokio::join!(commit, cut);
            let chunk = delivery.task.chunk.index;
            let committed = committed.unwrap_or_else(|_| {
                panic!("chunk {chunk}: the commit never ends where it is cut after {moment:?}")
            });
            committed.expect("commits");
        }
    }
}

/// Where the client library finds the connection broken as it sends something, it says so to whoever sends a moment
/// before its status does: a goodbye that is said in between is never answered.
#[tokio::test]
async fn a_question_that_finds_its_connection_broken_is_asked_again_at_once() {
    LocalSet::new().run_until(asks_over_broken_connections()).await;
}

async fn asks_over_broken_connections() {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(3).await;
    let (settings, detour) = Detour::to(&bench).await;
    let (breaks, is_to_break) = watch::channel(0);
    let (tell, mut is_broken) = mpsc::unbounded_channel();
    let (report, mut pauses) = mpsc::unbounded_channel();
    spawn_local(async move {
        let mut passage = detour.next().await;
        loop {
            let mut breaks = is_to_break.clone();
            breaks.mark_unchanged();
            passage.client.as_ref().set_zero_linger().expect("it is a socket");
            tokio::select! {
                _ = copy(&mut passage.client, &mut passage.server) => {}
                _ = breaks.changed() => {}
            }
            drop(passage);
            let broken = Instant::now();
            tell.send(()).expect("the test waits");
            passage = detour.next().await;
            report.send(broken.elapsed()).expect("the test waits");
        }
    });
    let onlooker = queue::connect(&settings, None).await.expect("connects");
    onlooker.standing().await.expect("reads");
    for time in 1..=RESETS {
        breaks.send(time).expect("the way is there");
        is_broken.recv().await.expect("the way breaks");
        onlooker.standing().await.expect("reads");
        let pause = pauses.recv().await.expect("the way goes on");
        assert!(pause < AT_ONCE, "reset {time}: the next connection came after {pause:?}");
    }
}

/// Its reads and its commits go over connections of their own, and each may be back before the other.
#[tokio::test]
async fn a_worker_that_reads_ahead_goes_on_whenever_its_connections_break() {
    let mut bench = Bench::start(Redis);
    bench.settings.max_deliveries = 1000;
    let (mut bench, sweep) = bench.with_sweep(2_000).await;
    let queue = bench.worker("worker-1").await;
    let batch = Batch::new(Duration::from_millis(20), 8);
    let options = Options { batch, ..bench.options("worker-1") };
    let (_keep, stop) = watch::channel(false);
    let worker = worker::run(queue, Box::new(Steady::new(Duration::ZERO)), options, stop);
    let server = bench.redis();
    let breaking = async {
        let mut next = interval(Duration::from_millis(20));
        loop {
            next.tick().await;
            server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    };
    let (summary, ended) = tokio::select! {
        ended = worker => ended,
        () = breaking => unreachable!("it goes on and on"),
    };
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed > 0), (Status::Completed, true));
    bench.assert_exact(&sweep).await;
    let pending = "return tostring(redis.call('XPENDING', 'ttg:tasks', 'ttg-workers')[1])";
    let pending = bench.redis().ask(&["EVAL", pending, "0"]);
    assert_eq!(pending, "0", "all of it is acknowledged");
}

#[tokio::test]
async fn what_was_read_of_a_sweep_is_not_read_again() {
    LocalSet::new().run_until(reads_of_a_sweep()).await;
}

async fn reads_of_a_sweep() {
    let server = RabbitMqServer::start();
    let direct = Settings::new(server.address());
    let sweep = Sweep { start: 0, params: 4000, chunk_size: 1 };
    let coordinator = queue::connect(&direct, None).await.expect("connects");
    coordinator::run(&*coordinator, &sweep, None).await.expect("submits");

    let cable = Cable::to(server.port).await;
    let Address::RabbitMq(mut address) = server.address() else { unreachable!() };
    address.port = cable.port;
    let settings = Settings::new(Address::RabbitMq(address));
    let onlooker = queue::connect(&settings, None).await.expect("connects");
    let standing = onlooker.standing().await.expect("reads");
    assert_eq!(standing.submitted, 4000);
    let whole = cable.brought.get();

    // Whoever loses the connection goes on where it was.
    cable.cut();
    assert_eq!(onlooker.standing().await.expect("reads"), standing);
    let again = cable.brought.get() - whole;
    assert!(again < whole / 4, "{again} bytes of {whole} after the connection broke");

    // Whoever comes to a task that nobody had before need not know what became of the others.
    let before = cable.brought.get();
    let worker = queue::connect(&settings, Some("worker-1")).await.expect("connects");
    let first = claim_one(&*worker).await;
    let start = cable.brought.get() - before;
    assert!(start < whole / 2, "{start} bytes of {whole} until the first task was there");
    commit(&*worker, &first, "worker-1").await;

    // Another sweep is another journal, however alike its beginning.
    coordinator.reset().await.expect("resets");
    let other = Sweep { start: 0, params: 7, chunk_size: 1 };
    coordinator::run(&*coordinator, &other, None).await.expect("submits");
    cable.cut();
    let standing = onlooker.standing().await.expect("reads");
    assert_eq!((standing.submitted, standing.committed), (7, 0));
}

#[tokio::test]
async fn a_sifting_that_is_cut_off_says_how_far_it_came_and_the_next_does_the_rest() {
    LocalSet::new().run_until(sifts_over_a_breaking_connection()).await;
}

async fn sifts_over_a_breaking_connection() {
    let (bench, _) = graveyard(RabbitMq, 600).await;
    let direct = bench.onlooker().await;
    let cable = Cable::to(bench.rabbitmq().port).await;
    let Address::RabbitMq(mut address) = bench.settings.address.clone() else { unreachable!() };
    address.port = cable.port;
    let settings = Settings { address: Address::RabbitMq(address), ..bench.settings.clone() };
    let broker = queue::connect(&settings, None).await.expect("connects");
    let mut shown = 0;
    let mut decide = |_: &_| {
        shown += 1;
        if shown == 400 {
            cable.cut();
        }
        Decision::Replay
    };
    let broken = broker.sift(&mut decide).await.expect_err("nobody is asked twice");
    // Those that were done with together before.
    let QueueError::HalfSifted { done: 250, left: 350, .. } = broken else { panic!("{broken:?}") };
    until("the others are back", async || direct.depths().await.expect("reads").letters == 350)
        .await;
    let mut rest = 0;
    let mut decide = |_: &_| {
        rest += 1;
        Decision::Replay
    };
    assert_eq!(broker.sift(&mut decide).await.expect("sifts"), 0);
    assert_eq!(rest, 350);
    let depths = direct.depths().await.expect("reads");
    assert_eq!((depths.letters, depths.tasks), (0, 600));
}
