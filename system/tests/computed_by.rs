//! A sweep knows what computed it: whoever corrects a program and runs everything again is not answered with
//! the results of the one before, and no two that differ are added up.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use rstest::rstest;
use tempfile::TempDir;
use tokio::join;
use tokio::sync::watch;
use ttg_system::coordinator;
use ttg_system::kernel::Identity;
use ttg_system::queue::{Broker, Cursor, KernelCheck, Queue, QueueError};
use ttg_system::worker::{self, Batch, Options, Status, Summary, WorkerError};

use support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use support::bench::{Bench, claim_one};
use support::kernels::Steady;
use support::process::{Ended, Process, broker_environment, ttg, until};

/// A program of the user's, with the value that it gives to every parameter.
struct Program(TempDir);

impl Program {
    fn with(value: &str) -> Self {
        let program = Self(tempfile::tempdir().expect("a directory"));
        program.becomes(value);
        program
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("f.py")
    }

    fn becomes(&self, value: &str) {
        let text = format!(
            "import json, sys\n\
             for line in sys.stdin:\n    \
                 c = json.loads(line)\n    \
                 values = [{value} for k in range(c['start_param'], c['end_param'])]\n    \
                 print(json.dumps({{'values': values}}), flush=True)\n"
        );
        fs::write(self.path(), text).expect("writes");
    }

    /// A worker with it, and with these flags.
    fn worker(&self, bench: &Bench, number: u32, flags: &[&str]) -> Process {
        let number = number.to_string();
        let path = self.path().display().to_string();
        let words = ["worker", "--kernel", "exec", "--worker-id", &number];
        let program = ["--", "python3", &path];
        Process::start(&mut run(bench, &[&words[..], flags, &program].concat()))
    }
}

fn run(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = ttg(arguments);
    command.envs(broker_environment(&bench.settings));
    command
}

fn coordinator(bench: &Bench, flags: &[&str]) -> Ended {
    let sweep = ["coordinator", "--total-parameters", "40", "--chunk-size", "10"];
    Process::start(&mut run(bench, &[&sweep[..], flags].concat())).end()
}

fn assert_finished(ended: &Ended, chunks: u64) {
    assert!(ended.status.success(), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], chunks, "{ended}");
}

/// In one sentence that names both and says what to do; nothing was computed.
fn assert_refused(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert_eq!(ended.summary()["status"], "failed", "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 0, "{ended}");
    let line = ended.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    let (_, said) = line.split_once(": the sweep was computed by exec python3 (").expect(line);
    let (there, said) = said.split_once("), and this is exec python3 (").expect(line);
    let (own, advice) = said.split_once(") (").expect(line);
    assert!(there.contains(", f.py ") && own.contains(", f.py ") && there != own, "{line}");
    assert_eq!(
        advice,
        "discard its results with ttg coordinator --reset, or, where the two compute the same, say \
         --same-kernel)"
    );
}

async fn sum(bench: &Bench) -> (bool, f64) {
    let report = bench.report().await;
    (report.complete, report.result.expect("there are results").sum)
}

#[rstest]
#[tokio::test]
async fn a_program_that_was_corrected_is_refused_until_the_sweep_is_discarded(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let program = Program::with("k * 0.0");
    assert!(coordinator(&bench, &[]).status.success());
    assert_finished(&program.worker(&bench, 1, &[]).end(), 4);
    assert_eq!(sum(&bench).await, (true, 0.0));
    // The same again is no error.
    assert_finished(&program.worker(&bench, 1, &[]).end(), 0);

    program.becomes("1.0");
    assert!(coordinator(&bench, &[]).status.success());
    for number in [1, 2] {
        assert_refused(&program.worker(&bench, number, &[]).end());
    }
    assert_eq!(sum(&bench).await, (true, 0.0));
    assert!(coordinator(&bench, &["--reset"]).status.success());
    assert_finished(&program.worker(&bench, 1, &[]).end(), 4);
    assert_eq!(sum(&bench).await, (true, 40.0));
}

#[rstest]
#[tokio::test]
async fn dead_chunks_are_tried_again_with_what_was_put_right_where_somebody_says_so(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let mut bench = Bench::start(backend);
    bench.settings.max_retries = 0;
    let (right, wrong) = ("1.0 / (k + 1)", "1.0 / (k - 35)");
    let program = Program::with(wrong);
    assert!(coordinator(&bench, &[]).status.success());
    assert_finished(&program.worker(&bench, 1, &[]).end(), 3);
    program.becomes(right);
    let replay = run(&bench, &["dead-letters", "replay", "--all"]).output().expect("runs");
    assert!(replay.status.success());
    assert_refused(&program.worker(&bench, 1, &[]).end());
    assert_finished(&program.worker(&bench, 1, &["--same-kernel"]).end(), 1);
    assert!(bench.report().await.complete);
    // From now on either is the sweep's.
    assert_finished(&program.worker(&bench, 2, &[]).end(), 0);
    program.becomes(wrong);
    assert_finished(&program.worker(&bench, 2, &[]).end(), 0);
    program.becomes("3.0");
    assert_refused(&program.worker(&bench, 2, &[]).end());
}

#[rstest]
#[tokio::test]
async fn of_two_programs_that_begin_at_the_same_moment_one_computes(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(40).await;
    let programs = [Program::with("1.0"), Program::with("2.0")];
    let workers = [1, 2].map(|number| programs[number - 1].worker(&bench, number as u32, &[]));
    let ended = workers.map(Process::end);
    let refused: Vec<_> = ended.iter().filter(|ended| !ended.status.success()).collect();
    assert_eq!(refused.len(), 1, "{} {}", ended[0], ended[1]);
    assert_refused(refused[0]);
    let report = bench.report().await;
    let result = report.result.expect("there are results");
    assert_eq!((report.complete, result.count), (true, sweep.params));
    assert_eq!(result.min, result.max, "all from one");
}

type Worked = (Summary, Result<(), WorkerError>);

async fn work(bench: &Bench, number: u32, own: &str) -> Worked {
    let options = bench.options(&format!("worker-{number}"));
    work_with(bench, options, own, Steady::new(Duration::ZERO)).await
}

async fn work_with(bench: &Bench, mut options: Options, own: &str, kernel: Steady) -> Worked {
    let (_keep, stop) = watch::channel(false);
    let queue: Rc<dyn Queue> = bench.worker(&options.name).await;
    options.identity = Identity::built_in(own);
    worker::run(queue, Box::new(kernel), options, stop).await
}

fn is_refused((summary, ended): &Worked) -> bool {
    assert_eq!(ended.is_err(), summary.status == Status::Failed);
    matches!(ended, Err(WorkerError::Queue(QueueError::OtherKernel { .. })))
}

async fn record(bench: &Bench, own: &str) {
    let broker = bench.worker("worker-9").await;
    let recorded = broker.compute_with(&Identity::built_in(own), KernelCheck::Record).await;
    recorded.expect("it is the first");
}

#[rstest]
#[tokio::test]
async fn a_worker_that_is_refused_with_a_chunk_in_hand_gives_it_back_and_no_attempt_is_counted(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let mut bench = Bench::start(backend);
    // A chunk that had killed anybody would be dead.
    bench.settings.max_deliveries = 1;
    let onlooker = bench.onlooker().await;
    let sweep = ttg_system::chunk::Sweep { start: 0, params: 60, chunk_size: 10 };
    // It has looked when there was nothing.
    let begins = async {
        until("it waits for tasks", async || onlooker.workers().await.expect("reads") > 0).await;
        record(&bench, "one").await;
        coordinator::run(&*onlooker, &sweep, None).await.expect("submits");
    };
    let (refused, ()) = join!(work(&bench, 1, "two"), begins);
    assert!(is_refused(&refused), "{refused:?}");
    let stats = refused.0.queue_stats.expect("it had a queue");
    assert_eq!((stats.claimed, stats.committed, stats.failed), (1, 0, 0));
    assert_eq!(onlooker.held().await.expect("reads"), []);
    let (summary, ended) = work(&bench, 2, "one").await;
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, 6));
    bench.assert_exact(&sweep).await;
    assert_eq!(onlooker.dead_letters(&mut Cursor::default(), 10).await.expect("reads"), []);
}

#[rstest]
#[tokio::test]
async fn a_worker_that_is_refused_with_a_result_in_hand_stores_it_nowhere(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let mut bench = Bench::start(backend);
    bench.settings.max_deliveries = 1;
    let (bench, sweep) = bench.with_sweep(6).await;
    let recorded = watch::channel(false).0;
    let kernel = Steady::new(Duration::ZERO).until(recorded.subscribe());
    let mut begun = kernel.begun();
    let meanwhile = async {
        begun.wait_for(|begun| *begun == 1).await.expect("it gets there");
        record(&bench, "one").await;
        recorded.send_replace(true);
    };
    // No result waits for another to be stored with.
    let batch = Batch::new(Duration::ZERO, 1);
    let options = Options { batch, ..bench.options("worker-1") };
    let (refused, ()) = join!(work_with(&bench, options, "two", kernel), meanwhile);
    assert!(is_refused(&refused), "{refused:?}");
    assert_eq!(begun.borrow().to_owned(), 1, "it computes no more");
    assert_eq!(bench.onlooker().await.standing().await.expect("reads").committed, 0);
    work(&bench, 2, "one").await.1.expect("it ends well");
    bench.assert_exact(&sweep).await;
}

/// That it is another's shows only when it is asked to stop: what it has goes back all the same.
#[rstest]
#[tokio::test]
async fn a_worker_that_is_refused_as_it_leaves_gives_everything_back(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let mut bench = Bench::start(backend);
    // A chunk that had killed anybody would be dead.
    bench.settings.max_deliveries = 1;
    let (bench, sweep) = bench.with_sweep(3).await;
    let (stop, stopped) = watch::channel(false);
    let recorded = watch::channel(false).0;
    let kernel = Steady::new(Duration::ZERO).until(recorded.subscribe());
    let mut begun = kernel.begun();
    let leaves = async {
        begun.wait_for(|begun| *begun == 1).await.expect("it gets there");
        record(&bench, "one").await;
        stop.send_replace(true);
        recorded.send_replace(true);
    };
    let queue: Rc<dyn Queue> = bench.worker("worker-1").await;
    let mut options = bench.options("worker-1");
    options.identity = Identity::built_in("two");
    let ((_, ended), ()) = join!(worker::run(queue, Box::new(kernel), options, stopped), leaves);
    let refused = ended.expect_err("it is another's");
    assert!(matches!(refused, WorkerError::Queue(QueueError::OtherKernel { .. })), "{refused}");
    assert_eq!(bench.onlooker().await.held().await.expect("reads"), []);
    work(&bench, 2, "one").await.1.expect("it ends well");
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_program_that_has_computed_nothing_can_be_corrected(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let program = Program::with("1 +");
    assert!(coordinator(&bench, &[]).status.success());
    let ended = program.worker(&bench, 1, &[]).end();
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    program.becomes("1.0");
    assert_finished(&program.worker(&bench, 1, &[]).end(), 4);
    assert_eq!(sum(&bench).await, (true, 40.0));
}

#[rstest]
#[tokio::test]
async fn a_worker_that_outlives_a_reset_is_asked_again(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(2).await;
    let onlooker = bench.onlooker().await;
    let holder = bench.worker("worker-8").await;
    claim_one(&*holder).await;
    // It does what it can, and waits for the other chunk.
    let begins_anew = async {
        let committed = async || onlooker.standing().await.expect("reads").committed;
        until("one chunk is done", async || committed().await == 1).await;
        onlooker.reset().await.expect("resets");
        record(&bench, "two").await;
        coordinator::run(&*onlooker, &sweep, None).await.expect("submits");
    };
    let (refused, ()) = join!(work(&bench, 1, "one"), begins_anew);
    assert!(is_refused(&refused), "{refused:?}");
    drop(holder);
    work(&bench, 2, "two").await.1.expect("it ends well");
    bench.assert_exact(&sweep).await;
}

#[rstest]
#[tokio::test]
async fn whoever_insists_is_let_in_however_many_there_are(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let broker: Rc<dyn Broker> = bench.worker("worker-1").await;
    let ask = async |number: u32, check| {
        broker.compute_with(&Identity::built_in(&format!("{number:03}")), check).await
    };
    for number in 0..101 {
        ask(number, KernelCheck::Same).await.expect("is let in");
    }
    ask(99, KernelCheck::Record).await.expect("is known");
    let refused = ask(100, KernelCheck::Record).await.expect_err("is not kept").to_string();
    let named =
        "by the 000 kernel and the 001 kernel and the 002 kernel and 97 more, and this is the 100";
    assert!(refused.contains(named), "{refused}");
}

#[tokio::test]
async fn a_file_of_an_earlier_version_goes_on() {
    let (bench, sweep) = Bench::start(Embedded).with_sweep(3).await;
    bench.file().execute("DROP TABLE kernels", []).expect("was there");
    work(&bench, 1, "one").await.1.expect("it ends well");
    bench.assert_exact(&sweep).await;
    assert!(is_refused(&work(&bench, 1, "two").await));
}
