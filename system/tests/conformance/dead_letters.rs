//! A dead letter is kept, replayed or dropped, and each chunk still counts once.

use rstest::rstest;
use tokio::join;
use ttg_system::queue::{Broker, Commit, Cursor, Decision, Delivery, Failure};
use ttg_system::wire::{DeadLetter, get};

use crate::support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use crate::support::bench::{Bench, PATIENCE, assert_nothing_to_claim, claim_one, commit};

/// Makes the next chunk a dead letter.
async fn kill_one(worker: &dyn Broker, bench: &Bench) -> Delivery {
    let mut delivery = claim_one(worker).await;
    delivery.task.retry_count = bench.settings.max_retries;
    assert_eq!(worker.fail(&delivery, "enough").await.expect("fails"), Failure::DeadLettered);
    delivery
}

/// Decides so of all dead letters; their reasons, in the order in which they were shown.
async fn sift(broker: &dyn Broker, decision: Decision) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut decide = |letter: &DeadLetter| {
        reasons.push(letter.last_error.clone());
        decision
    };
    broker.sift(&mut decide).await.expect("sifts");
    reasons
}

/// Chunks committed and chunks dead, and whether that is all.
async fn standing(broker: &dyn Broker) -> (u64, u64, bool) {
    let standing = broker.standing().await.expect("reads");
    (standing.committed, standing.dead, standing.is_complete())
}

async fn letters(broker: &dyn Broker) -> Vec<DeadLetter> {
    let mut there = Vec::new();
    let mut look = |letter: &DeadLetter| {
        there.push(letter.clone());
        Decision::Keep
    };
    broker.sift(&mut look).await.expect("sifts");
    there
}

#[rstest]
#[tokio::test]
async fn a_replayed_chunk_completes_the_sweep_exactly_once(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    kill_one(&*worker, &bench).await;
    let other = claim_one(&*worker).await;
    commit(&*worker, &other, "worker-1").await;
    assert_eq!(standing(&*worker).await, (1, 1, true));
    let onlooker = bench.onlooker().await;
    assert_eq!(sift(&*onlooker, Decision::Replay).await, ["enough"]);
    assert_eq!(standing(&*worker).await, (1, 0, false));
    assert_eq!(letters(&*onlooker).await, []);
    let again = claim_one(&*worker).await;
    assert_eq!((again.task.retry_count, again.task.replays, again.token.number), (0, 1, 1));
    assert_eq!(again.task.chunk, sweep.chunk(0));
    assert_eq!(commit(&*worker, &again, "worker-1").await, Commit::Committed);
    assert_eq!(commit(&*worker, &again, "worker-1").await, Commit::AlreadySettled);
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_replay_is_no_submission(#[values(Embedded, Redis, RabbitMq, Model)] backend: Backend) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    kill_one(&*worker, &bench).await;
    sift(&*worker, Decision::Replay).await;
    let again = claim_one(&*worker).await;
    worker.fail(&again, "once").await.expect("fails");
    let retry = claim_one(&*worker).await;
    assert_eq!((retry.task.retry_count, retry.task.replays), (1, 1));
    let tasks = worker.tasks(&mut Cursor::default(), 10).await.expect("reads");
    assert_eq!(tasks.iter().flat_map(|task| &task.what).filter(|task| task.is_first()).count(), 1);
}

#[rstest]
#[tokio::test]
async fn a_replayed_chunk_may_die_again_and_is_a_letter_anew(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let mut cursor = Cursor::default();
    for life in 0..3 {
        kill_one(&*worker, &bench).await;
        assert_eq!(standing(&*worker).await, (0, 1, true));
        let page = worker.dead_letters(&mut cursor, 10).await.expect("reads");
        assert_eq!(page.len(), 1, "what has read on sees the new letter, and only that");
        let task = page[0].task().expect("readable");
        assert_eq!((task.replays, task.chunk), (life, sweep.chunk(0)));
        sift(&*worker, Decision::Replay).await;
    }
    let last = claim_one(&*worker).await;
    commit(&*worker, &last, "worker-1").await;
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_dropped_letter_leaves_its_chunk_dead(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let lost = kill_one(&*worker, &bench).await;
    assert_eq!(sift(&*worker, Decision::Drop).await, ["enough"]);
    assert_eq!(sift(&*worker, Decision::Replay).await, [""; 0]);
    assert_eq!(letters(&*worker).await, []);
    assert_eq!(standing(&*worker).await, (0, 1, true));
    assert_eq!(commit(&*worker, &lost, "worker-1").await, Commit::AlreadySettled);
    assert_nothing_to_claim(&*worker).await;
    let report = bench.report().await;
    assert_eq!((report.complete, report.chunks, report.dead_lettered), (false, 0, 1));
}

#[rstest]
#[tokio::test]
async fn what_is_kept_stays_as_it_is(#[values(Embedded, Redis, RabbitMq, Model)] backend: Backend) {
    let (bench, _) = Bench::start(backend).with_sweep(3).await;
    let worker = bench.worker("worker-1").await;
    for _ in 0..3 {
        kill_one(&*worker, &bench).await;
    }
    let before = letters(&*worker).await;
    let mut shown = Vec::new();
    let mut decide = |letter: &DeadLetter| {
        shown.push(letter.clone());
        // One decision is of one letter.
        if shown.len() == 2 { Decision::Replay } else { Decision::Keep }
    };
    worker.sift(&mut decide).await.expect("sifts");
    assert_eq!(shown, before);
    assert_eq!(letters(&*worker).await, [before[0].clone(), before[2].clone()]);
    assert_eq!(claim_one(&*worker).await.task.chunk.index, 1);
    assert_eq!(standing(&*worker).await, (0, 2, false));
}

#[rstest]
#[case::garbage(&[("colour", "blue")], "chunk_id is missing")]
#[case::another_sweeps(
    &[("chunk_id", "0"), ("start_param", "0"), ("end_param", "999")],
    "chunk 00000 is 0 to 999 there, and 0 to 10 in the sweep"
)]
#[tokio::test]
async fn what_is_no_task_of_the_sweep_is_never_replayed(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[case] fields: &[(&str, &str)],
    #[case] reason: &str,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    let raw: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    bench.submit_raw(&raw).await;
    let worker = bench.worker("worker-1").await;
    kill_one(&*worker, &bench).await;
    let nothing = std::time::Duration::from_millis(60);
    assert_eq!(worker.claim(1, nothing).await.expect("claims"), []);
    assert_eq!(sift(&*worker, Decision::Replay).await, ["enough", reason]);
    assert_eq!(sift(&*worker, Decision::Keep).await, [reason]);
    let again = claim_one(&*worker).await;
    commit(&*worker, &again, "worker-1").await;
    assert_eq!(sift(&*worker, Decision::Drop).await, [reason]);
    assert_eq!(letters(&*worker).await, []);
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn two_who_replay_at_once_replay_each_letter_once(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(5).await;
    let worker = bench.worker("worker-1").await;
    for _ in 0..5 {
        kill_one(&*worker, &bench).await;
    }
    let (a, b) = (bench.onlooker().await, bench.onlooker().await);
    join!(sift(&*a, Decision::Replay), sift(&*b, Decision::Replay));
    assert_eq!(standing(&*worker).await, (0, 0, false));
    let mut chunks = Vec::new();
    for _ in 0..5 {
        let delivery = claim_one(&*worker).await;
        chunks.push(delivery.task.chunk.index);
        commit(&*worker, &delivery, "worker-1").await;
    }
    chunks.sort_unstable();
    assert_eq!(chunks, [0, 1, 2, 3, 4]);
    assert_nothing_to_claim(&*worker).await;
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_letter_whose_chunk_is_committed_all_the_same_only_goes(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    kill_one(&*worker, &bench).await;
    bench.commit_raw(&sweep.chunk(0)).await;
    sift(&*worker, Decision::Replay).await;
    assert_eq!(letters(&*worker).await, []);
    assert_eq!(standing(&*worker).await, (1, 0, true));
    assert_nothing_to_claim(&*worker).await;
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn what_dies_meanwhile_is_left_for_the_next_time(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    // More letters than are read at once: the first ones die again before the last are read.
    const LETTERS: usize = 120;
    let (mut bench, _) = Bench::start(backend).with_sweep(LETTERS as u64).await;
    bench.settings.max_retries = 0;
    let worker = bench.worker("worker-1").await;
    let kill_all = async || {
        let mut killed = 0;
        while killed < LETTERS {
            // Nothing comes while all are dead.
            for delivery in worker.claim(1, PATIENCE).await.expect("claims") {
                worker.fail(&delivery, "at once").await.expect("fails");
                killed += 1;
            }
        }
    };
    kill_all().await;
    let onlooker = bench.onlooker().await;
    let (shown, ()) = join!(sift(&*onlooker, Decision::Replay), kill_all());
    assert_eq!(shown.len(), LETTERS);
    assert_eq!(letters(&*worker).await.len(), LETTERS);
    assert!(letters(&*worker).await.iter().all(|letter| get(&letter.task, "replays") == Some("1")));
}

#[rstest]
#[tokio::test]
async fn a_reset_forgets_what_was_dropped(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    kill_one(&*worker, &bench).await;
    sift(&*worker, Decision::Drop).await;
    worker.reset().await.expect("resets");
    let (bench, sweep) = bench.with_sweep(1).await;
    let worker = bench.worker("worker-2").await;
    let mut claimed = worker.claim(1, PATIENCE).await.expect("claims");
    commit(&*worker, &claimed.remove(0), "worker-2").await;
    bench.assert_exact(&sweep).await;
}
