//! A chunk that kills every worker that touches it becomes a dead letter, and takes nobody with it.

mod support;

use std::time::{Duration, Instant};

use rstest::rstest;
use ttg_system::queue::{Broker, Cursor};

use support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use support::bench::{Bench, claim_one, commit};
use support::process::{Process, broker_environment, ttg};

const CHUNKS: u64 = 60;
const POISON: u64 = 20;

/// Kills the worker whose chunk it is, as something would that takes all its memory.
const KERNEL: &str = r#"
import json, os, signal, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if int(asked["chunk_id"]) == 20:
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit()
    time.sleep(float(sys.argv[1]))
    print(json.dumps({"values": [1.0] * (asked["end_param"] - asked["start_param"])}), flush=True)
"#;

fn worker(bench: &Bench, number: u32, seconds: &str) -> Process {
    Process::start(
        ttg(&["worker", "--kernel", "exec", "--", "python3", "-c", KERNEL, seconds])
            .envs(broker_environment(&bench.settings))
            .env("MAX_DELIVERIES", "4")
            .env("WORKER_ID", number.to_string()),
    )
}

async fn letters(broker: &dyn Broker) -> Vec<u64> {
    let letters = broker.dead_letters(&mut Cursor::default(), 1000).await.expect("reads");
    letters
        .iter()
        .filter_map(ttg_system::wire::DeadLetter::task)
        .map(|task| task.chunk.index)
        .collect()
}

#[rstest]
#[tokio::test]
async fn a_chunk_that_kills_its_workers_is_dead_in_the_end_and_no_other_is(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[values("0", "0.05")] seconds: &str,
) {
    let (bench, _) = Bench::start(backend).with_sweep(CHUNKS).await;
    let onlooker = bench.onlooker().await;
    let begun = Instant::now();
    let mut deaths = 0;
    let mut running: Vec<_> = (1..=3).map(|number| worker(&bench, number, seconds)).collect();
    let mut number = 3;
    while let Some(oldest) = running.pop() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come to an end");
        let ended = oldest.end();
        if !ended.status.success() {
            assert_eq!(ended.status.code(), None, "{ended}");
            deaths += 1;
            number += 1;
            running.insert(0, worker(&bench, number, seconds));
        }
    }
    assert_eq!((deaths, letters(&*onlooker).await), (4, vec![POISON]));
    let report = bench.report().await;
    assert_eq!((report.chunks, report.duplicates_removed), (CHUNKS - 1, 0), "{report:?}");
}

#[rstest]
#[tokio::test]
async fn a_chunk_that_is_given_back_again_and_again_does_not_die_of_it(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(1).await;
    for life in 0..8 {
        let worker = bench.worker(&format!("worker-{life}")).await;
        let delivery = claim_one(&*worker).await;
        assert!(!delivery.suspect);
        if life % 2 == 0 {
            worker.release(std::slice::from_ref(&delivery.token)).await.expect("releases");
        }
        worker.leave().await.expect("leaves");
    }
    let worker = bench.worker("worker-9").await;
    let delivery = claim_one(&*worker).await;
    commit(&*worker, &delivery, "worker-9").await;
    bench.assert_exact(&sweep).await;
    assert!(letters(&*worker).await.is_empty());
}
