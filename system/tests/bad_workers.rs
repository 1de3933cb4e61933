//! Workers on which chunks fail that others can compute, and what becomes of the chunks.

mod support;

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rstest::rstest;
use tokio::join;
use tokio::sync::watch;
use tokio::time::Instant;
use ttg_system::chunk::Chunk;
use ttg_system::kernel::{Kernel, KernelError};
use ttg_system::queue::{Cursor, Queue};
use ttg_system::stats::Stats;
use ttg_system::worker::{self, Status, Summary, WorkerError};

use support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use support::bench::Bench;
use support::kernels::Steady;
use support::process::{Ended, Process, broker_environment, ttg, until};

/// Every chunk fails on it, at once.
struct Broken;

#[async_trait(?Send)]
impl Kernel for Broken {
    async fn run(&mut self, _: &Chunk) -> Result<Stats, KernelError> {
        Err("no such file: weights.bin".to_owned().into())
    }
}

async fn run(
    bench: &Bench,
    name: &str,
    kernel: impl Kernel + 'static,
) -> (Summary, Result<(), WorkerError>) {
    let (_keep, stop) = watch::channel(false);
    let queue: Rc<dyn Queue> = bench.worker(name).await;
    worker::run(queue, Box::new(kernel), bench.options(name), stop).await
}

async fn letters(bench: &Bench) -> usize {
    let onlooker = bench.onlooker().await;
    onlooker.dead_letters(&mut Cursor::default(), 1000).await.expect("reads").len()
}

fn exec(bench: &Bench, arguments: &[&str]) -> Ended {
    let mut command = ttg(&["worker", "--kernel", "exec", "--worker-id", "3"]);
    let command = command.args(arguments).envs(broker_environment(&bench.settings));
    Process::start(command).end()
}

#[rstest]
#[tokio::test]
async fn a_worker_whose_program_cannot_be_started_counts_for_no_chunk(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[values("./not-deployed-here", "false")] program: &str,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(3).await;
    // More often than a chunk may kill its worker, or fail.
    for _ in 0..=bench.settings.max_deliveries.max(bench.settings.max_retries) {
        let ended = exec(&bench, &["--", program]);
        assert_eq!(ended.status.code(), Some(1), "{ended}");
        let reason = "error: worker-3 cannot compute anything, and gave its chunk back: ";
        assert!(ended.stderr.contains(reason), "{ended}");
        assert!(
            ended.stderr.contains(program) || ended.stderr.contains("exit status: 1"),
            "{ended}"
        );
        assert_eq!(ended.summary()["status"], "failed", "{ended}");
    }
    let (summary, outcome) = run(&bench, "worker-1", Steady::new(Duration::ZERO)).await;
    outcome.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, 3));
    bench.assert_exact(&sweep).await;
    assert_eq!(letters(&bench).await, 0);
}

#[rstest]
#[tokio::test]
async fn what_fails_on_one_worker_alone_is_computed_by_the_others(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(100).await;
    let work = Duration::from_millis(40);
    let ((first, ..), (second, ..), (broken, _)) = join!(
        run(&bench, "worker-1", Steady::new(work)),
        run(&bench, "worker-2", Steady::new(work)),
        run(&bench, "worker-3", Broken),
    );
    assert_eq!((first.status, second.status), (Status::Completed, Status::Completed));
    assert_eq!(broken.chunks_processed, 0);
    bench.assert_exact(&sweep).await;
    assert_eq!(letters(&bench).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_on_which_all_fails_beside_others_gives_up() {
    let (bench, sweep) = Bench::start(Model).with_sweep(300).await;
    let begun = Instant::now();
    let broken = async {
        let ended = run(&bench, "worker-3", Broken).await;
        (ended, begun.elapsed())
    };
    let ((healthy, ..), ((summary, outcome), after)) =
        join!(run(&bench, "worker-1", Steady::new(Duration::from_secs(1))), broken);
    assert_eq!((summary.status, healthy.status), (Status::Failed, Status::Completed));
    let error = outcome.expect_err("it gives up");
    insta::assert_snapshot!(error, @"worker-3 gives up: the last 10 chunks that it tried failed, and there are other workers; the last failure: no such file: weights.bin");
    assert!(after < Duration::from_secs(60), "{after:?}");
    bench.assert_exact(&sweep).await;
}

#[tokio::test(start_paused = true)]
async fn where_everything_fails_everywhere_the_sweep_comes_to_its_end() {
    let (bench, _) = Bench::start(Model).with_sweep(100).await;
    let (one, other) = join!(run(&bench, "worker-1", Broken), run(&bench, "worker-2", Broken));
    // One of them at least is there to the end.
    assert!([one.0.status, other.0.status].contains(&Status::Completed), "{one:?} {other:?}");
    let report = bench.report().await;
    assert_eq!((report.dead_lettered, report.chunks), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_alone_waits_for_nobody_when_chunks_fail() {
    let (mut bench, _) = Bench::start(Model).with_sweep(100).await;
    bench.settings.max_retries = 0;
    let begun = Instant::now();
    let (summary, outcome) = run(&bench, "worker-1", Broken).await;
    outcome.expect("it ends well");
    assert_eq!(summary.status, Status::Completed);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(bench.report().await.dead_lettered, 100);
}

/// Fails each chunk, after a while.
const ALWAYS: &str = "while read -r line; do sleep 0.05; echo '{\"error\":\"no licence\"}'; done";

#[rstest]
#[tokio::test]
async fn a_sweep_in_which_too_much_fails_is_given_up(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (mut bench, _) = Bench::start(backend).with_sweep(1000).await;
    bench.settings.max_retries = 0;
    let aggregator = Process::start(
        ttg(&["aggregate", "--max-dead-letters", "3"]).envs(broker_environment(&bench.settings)),
    );
    let ended = exec(&bench, &["--max-dead-letters", "0.3%", "--", "sh", "-c", ALWAYS]);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    let given_up =
        "of 1000 chunks are in the dead letters, more than --max-dead-letters 0.3% allows";
    assert!(ended.stderr.contains(given_up), "{ended}");
    assert_eq!(ended.summary()["status"], "failed", "{ended}");
    let dead = letters(&bench).await;
    assert!((4..500).contains(&dead), "{dead}");
    let ended = aggregator.end();
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stdout.starts_with("Sweep results: INCOMPLETE\n"), "{ended}");
    assert!(ended.stderr.contains("more than --max-dead-letters 3 allows"), "{ended}");
    assert_eq!(bench.onlooker().await.held().await.expect("reads"), []);
}

#[rstest]
#[tokio::test]
async fn the_death_of_a_worker_ends_all_that_its_program_has_started(
    #[values(true, false)] is_killed: bool,
) {
    let (bench, _) = Bench::start(Embedded).with_sweep(1).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pid");
    // The shell only waits for who does the work.
    let script = format!("read -r line; sleep 600 & echo $! > {}; wait", file.display());
    let mut command = ttg(&["worker", "--kernel", "exec", "--", "sh", "-c", &script]);
    command.envs(broker_environment(&bench.settings)).env("STOP_GRACE_SECONDS", "0.05");
    let mut worker = Process::start(&mut command);
    let begun = || std::fs::read_to_string(&file).ok().filter(|pid| pid.ends_with('\n'));
    until("the program has begun", async || begun().is_some()).await;
    let pid = begun().expect("it has begun");
    if is_killed {
        worker.kill();
    } else {
        worker.signal(rustix::process::Signal::TERM);
        assert_eq!(worker.end().status.code(), Some(143));
    }
    let stat = format!("/proc/{}/stat", pid.trim());
    until("nothing of it lives", async || {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        // Whoever nobody asks for any more is dead for that.
        stat.rsplit_once(')').is_none_or(|(_, state)| state.trim_start().starts_with('Z'))
    })
    .await;
}
