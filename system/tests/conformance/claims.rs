//! Each chunk is with one worker, and its first commit is its only one.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rstest::rstest;
use tokio::join;
use tokio::time::Instant;
use ttg_system::coordinator;
use ttg_system::queue::{Commit, Progress};

use crate::support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use crate::support::bench::{
    Bench, PATIENCE, assert_nothing_to_claim, claim_one, commit, computed,
};

#[rstest]
#[tokio::test]
async fn each_chunk_is_handed_to_one_worker(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(40).await;
    let take_all = async |name| {
        let worker = bench.worker(name).await;
        let mut mine = Vec::new();
        loop {
            let claimed = worker.claim(3, Duration::from_millis(60)).await.expect("claims");
            assert!(claimed.len() <= 3);
            if claimed.is_empty() {
                return (worker, mine);
            }
            mine.extend(claimed);
        }
    };
    let (a, b, c) = join!(take_all("worker-1"), take_all("worker-2"), take_all("worker-3"));
    let all: Vec<_> =
        [&a, &b, &c].iter().flat_map(|(_, mine)| mine.iter().map(|d| d.task.chunk.index)).collect();
    assert_eq!(all.len(), 40, "none is handed out twice");
    assert_eq!(all.iter().copied().collect::<BTreeSet<_>>().len() as u64, sweep.chunks());
    assert!([&a, &b, &c].iter().all(|(_, mine)| mine.iter().all(|d| d.token.number == 1)));
}

#[rstest]
#[tokio::test]
async fn what_is_claimed_during_a_commit_is_a_delivery_like_any_other(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[values(1, 4)] max: usize,
) {
    let mut bench = Bench::start(backend);
    // A look for the dead goes before.
    bench.settings.takeover_interval = PATIENCE;
    let (bench, sweep) = bench.with_sweep(12).await;
    let (mine, others) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    let mut at_hand = VecDeque::from([claim_one(&*mine).await]);
    let mut seen = BTreeSet::from([at_hand[0].task.chunk.index]);
    let mut came_ahead = 0;
    for _ in 0..4 {
        let delivery = at_hand.pop_front().expect("one at least");
        let (outcome, ahead) = join!(commit(&*mine, &delivery, "worker-1"), mine.claim_ahead(max));
        assert_eq!(outcome, Commit::Committed);
        let ahead = ahead.expect("claims");
        assert!(ahead.len() <= max, "{ahead:?}");
        came_ahead += ahead.len();
        let next = if at_hand.is_empty() && ahead.is_empty() {
            vec![claim_one(&*mine).await]
        } else {
            ahead
        };
        for delivery in &next {
            assert_eq!(delivery.token.number, 1);
            assert!(seen.insert(delivery.task.chunk.index), "it was not handed out before");
        }
        at_hand.extend(next);
        let held: Vec<_> = at_hand.iter().map(|it| it.token.clone()).collect();
        assert_eq!(mine.renew(&held).await.expect("renews"), []);
    }
    let comes_ahead = match backend {
        Redis | Model => true,
        RabbitMq => max > 1,
        Embedded => false,
    };
    assert_eq!(came_ahead > 0, comes_ahead, "{came_ahead} came ahead");
    for delivery in &at_hand {
        seen.remove(&delivery.task.chunk.index);
    }
    mine.release(&at_hand.iter().map(|it| it.token.clone()).collect::<Vec<_>>())
        .await
        .expect("releases");
    mine.leave().await.expect("leaves");
    while seen.len() < 12 {
        let delivery = claim_one(&*others).await;
        assert!(seen.insert(delivery.task.chunk.index), "it was not handed out before");
        assert_eq!(commit(&*others, &delivery, "worker-2").await, Commit::Committed);
    }
    let begun = Instant::now();
    assert_eq!(others.claim_ahead(1).await.expect("claims"), [], "there is nothing more");
    assert!(begun.elapsed() < PATIENCE / 2, "it did not wait");
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn whoever_always_claims_ahead_comes_to_what_the_dead_left_behind(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let mut bench = Bench::start(backend);
    bench.settings.takeover_interval = Duration::from_millis(10);
    let (bench, sweep) = bench.with_sweep(3_000).await;
    let (mine, dying) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    let lost = claim_one(&*dying).await.task.chunk.index;
    drop(dying);
    let mut came = 0;
    while came < sweep.chunks() - 2 {
        let ahead = mine.claim_ahead(4).await.expect("claims");
        let claimed = if ahead.is_empty() { vec![claim_one(&*mine).await] } else { ahead };
        if claimed.iter().any(|delivery| delivery.task.chunk.index == lost) {
            return;
        }
        came += claimed.len() as u64;
    }
    panic!("it came to everything else before");
}

#[rstest]
#[tokio::test]
async fn a_claim_waits_for_the_first_task(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let (worker, broker) = (bench.worker("worker-1").await, bench.onlooker().await);
    let begun = Instant::now();
    assert_nothing_to_claim(&*worker).await;
    assert!(begun.elapsed() >= Duration::from_millis(50), "it waited");
    let sweep = ttg_system::chunk::Sweep { start: 0, params: 10, chunk_size: 10 };
    let (claimed, summary) =
        join!(worker.claim(5, PATIENCE), coordinator::run(&*broker, &sweep, None));
    summary.expect("submits");
    assert_eq!(claimed.expect("claims").len(), 1);
    assert!(begun.elapsed() < PATIENCE / 2, "it came before the wait was over");
}

#[rstest]
#[tokio::test]
async fn a_claim_returns_early_when_the_sweep_becomes_complete(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let (busy, idle) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    let delivery = claim_one(&*busy).await;
    let begun = Instant::now();
    let (claimed, outcome) = join!(idle.claim(1, PATIENCE), commit(&*busy, &delivery, "worker-1"));
    assert_eq!((claimed.expect("claims"), outcome), (Vec::new(), Commit::Committed));
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[rstest]
#[tokio::test]
async fn a_second_commit_changes_nothing(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    let (first, second) = (claim_one(&*worker).await, claim_one(&*worker).await);
    let twice = [computed(&first, "worker-1"), computed(&first, "worker-1")];
    let outcomes = worker.commit(&twice).await.expect("commits");
    assert_eq!(outcomes, [Commit::Committed, Commit::AlreadySettled]);
    assert_eq!(commit(&*worker, &first, "worker-1").await, Commit::AlreadySettled);
    assert_eq!(commit(&*worker, &second, "worker-1").await, Commit::Committed);
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_commit_acknowledges_its_delivery(#[values(Embedded, Redis, Model)] backend: Backend) {
    let lease = Duration::from_millis(40);
    let (bench, _) = Bench::start(backend).with_lease(lease).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    let delivery = claim_one(&*worker).await;
    commit(&*worker, &delivery, "worker-1").await;
    let held = worker.held().await.expect("reads");
    assert_eq!(held, [], "nothing is left with it");
    let other = bench.worker("worker-2").await;
    let rest = claim_one(&*other).await;
    assert_ne!(rest.task.chunk, delivery.task.chunk);
}

#[rstest]
#[tokio::test]
async fn progress_counts_what_is_submitted_and_settled(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let worker = bench.worker("worker-1").await;
    assert_eq!(worker.standing().await.expect("reads"), Progress::default());
    let (bench, sweep) = bench.with_sweep(2).await;
    let mut wanted = Progress { total: Some(2), submitted: 2, committed: 0, dead: 0 };
    assert_eq!(worker.standing().await.expect("reads"), wanted);
    for committed in 1..=sweep.chunks() {
        assert!(!wanted.is_complete() && !worker.is_complete().await.expect("reads"));
        let delivery = claim_one(&*worker).await;
        commit(&*worker, &delivery, "worker-1").await;
        wanted.committed = committed;
        assert_eq!(worker.standing().await.expect("reads"), wanted);
    }
    assert!(wanted.is_complete() && worker.is_complete().await.expect("reads"));
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_delivery_that_is_renewed_stays_with_its_worker(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let lease = Duration::from_millis(400);
    let (bench, _) = Bench::start(backend).with_lease(lease).with_sweep(1).await;
    let (worker, other) = (bench.worker("worker-1").await, bench.worker("worker-2").await);
    let delivery = claim_one(&*worker).await;
    let renew = async {
        for _ in 0..12 {
            tokio::time::sleep(lease / 8).await;
            let lost = worker.renew(std::slice::from_ref(&delivery.token)).await.expect("renews");
            assert_eq!(lost, []);
        }
    };
    let watch = other.claim(1, lease * 12 / 8);
    let (claimed, ()) = join!(watch, renew);
    assert_eq!(claimed.expect("claims"), []);
}

#[rstest]
#[tokio::test]
async fn of_chunks_that_are_committed_together_in_any_order_each_counts_once(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(100).await;
    let worker = bench.worker("worker-1").await;
    let mut held = Vec::new();
    while held.len() < 100 {
        held.extend(worker.claim(100, PATIENCE).await.expect("claims"));
    }
    fastrand::shuffle(&mut held);
    let all: Vec<_> = held.iter().map(|delivery| computed(delivery, "worker-1")).collect();
    let mut done = 0;
    while done < all.len() {
        let until = (done + fastrand::usize(1..20)).min(all.len());
        // Some of those before come again.
        let again = fastrand::usize(0..=done.min(5));
        let outcomes = worker.commit(&all[done - again..until]).await.expect("commits");
        let (before, new) = outcomes.split_at(again);
        assert!(before.iter().all(|it| *it == Commit::AlreadySettled), "{outcomes:?}");
        assert!(new.iter().all(|it| *it == Commit::Committed), "{outcomes:?}");
        done = until;
    }
    bench.assert_exact(&sweep).await;
}
