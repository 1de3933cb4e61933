//! The worker's loops on simulated time and a model of a broker: minutes in milliseconds, and the
//! same every time.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::join;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use ttg_system::chunk::Chunk;
use ttg_system::kernel::{Identity, Kernel, KernelError};
use ttg_system::queue::{
    Asker, Broker, Commit, ComputedBy, Delivery, Failure, KernelCheck, Queue, Reconcile, Result,
    Token,
};
use ttg_system::stats::Stats;
use ttg_system::wire::TaskResult;
use ttg_system::worker::{self, Status, Summary, WorkerError};

use support::bench::Backend::Model;
use support::bench::{Bench, stats};

const CHUNK: Duration = Duration::from_millis(100);
const LEASE: Duration = Duration::from_secs(1);

/// A worker, kernel and all, that stands still while its gate is shut.
struct Freezing {
    broker: Rc<dyn Broker>,
    gate: watch::Receiver<bool>,
    /// How many results each commit had.
    commits: Rc<RefCell<Vec<usize>>>,
}

impl Freezing {
    async fn thawed(&self) {
        pass(&self.gate).await;
    }
}

async fn pass(gate: &watch::Receiver<bool>) {
    gate.clone().wait_for(|open| *open).await.expect("the gate's keeper lives");
}

#[async_trait(?Send)]
impl Reconcile for Freezing {}

#[async_trait(?Send)]
impl ComputedBy for Freezing {
    async fn compute_with(&self, own: &Identity, check: KernelCheck) -> Result<()> {
        self.thawed().await;
        self.broker.compute_with(own, check).await
    }
}

#[async_trait(?Send)]
impl Queue for Freezing {
    async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.thawed().await;
        self.broker.claim(max, wait).await
    }
    async fn claim_ahead(&self, max: usize) -> Result<Vec<Delivery>> {
        self.thawed().await;
        self.broker.claim_ahead(max).await
    }
    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        self.thawed().await;
        self.commits.borrow_mut().push(done.len());
        self.broker.commit(done).await
    }
    async fn renew(&self, held: &[Token]) -> Result<Vec<Token>> {
        self.thawed().await;
        self.broker.renew(held).await
    }
    async fn take_over(&self, max: usize, held: &[Token], asker: Asker) -> Result<Vec<Delivery>> {
        self.thawed().await;
        self.broker.take_over(max, held, asker).await
    }
    async fn fail(&self, delivery: &Delivery, reason: &str) -> Result<Failure> {
        self.thawed().await;
        self.broker.fail(delivery, reason).await
    }
    async fn release(&self, held: &[Token]) -> Result<()> {
        self.thawed().await;
        self.broker.release(held).await
    }
    async fn has_peers(&self) -> Result<bool> {
        self.thawed().await;
        self.broker.has_peers().await
    }
    async fn is_complete(&self) -> Result<bool> {
        self.thawed().await;
        self.broker.is_complete().await
    }
    async fn leave(&self) -> Result<()> {
        self.thawed().await;
        self.broker.leave().await
    }
}

struct Paced {
    work: Duration,
    gate: watch::Receiver<bool>,
}

#[async_trait(?Send)]
impl Kernel for Paced {
    async fn run(&mut self, chunk: &Chunk) -> std::result::Result<Stats, KernelError> {
        sleep(self.work).await;
        pass(&self.gate).await;
        Ok(stats(chunk))
    }
}

struct Scene {
    bench: Bench,
    work: Duration,
    commits: Rc<RefCell<Vec<usize>>>,
    gate: watch::Receiver<bool>,
    stop: watch::Receiver<bool>,
    /// Held, for a worker to whom nobody can say anything any more takes no heed.
    _keepers: [watch::Sender<bool>; 2],
}

impl Scene {
    fn new(bench: Bench, work: Duration) -> Self {
        let ((open, gate), (asked, stop)) = (watch::channel(true), watch::channel(false));
        Self { bench, work, commits: Rc::default(), gate, stop, _keepers: [open, asked] }
    }

    async fn run(&self, name: &str) -> (Summary, std::result::Result<(), WorkerError>) {
        self.run_behind(name, &self.gate, &self.stop).await
    }

    async fn run_behind(
        &self,
        name: &str,
        gate: &watch::Receiver<bool>,
        stop: &watch::Receiver<bool>,
    ) -> (Summary, std::result::Result<(), WorkerError>) {
        let broker = self.bench.worker(name).await;
        let queue =
            Rc::new(Freezing { broker, gate: gate.clone(), commits: Rc::clone(&self.commits) });
        let kernel = Box::new(Paced { work: self.work, gate: gate.clone() });
        worker::run(queue, kernel, self.bench.options(name), stop.clone()).await
    }
}

#[tokio::test(start_paused = true)]
async fn two_of_three_workers_complete_a_sweep_while_the_third_is_frozen() {
    let (bench, sweep) = Bench::start(Model).with_lease(LEASE).with_sweep(60).await;
    let scene = Scene::new(bench, CHUNK);
    let (open, gate) = watch::channel(true);
    let begun = Instant::now();
    let freeze = async {
        // In the middle of its third chunk, until long after the end of the others.
        sleep(CHUNK * 5 / 2).await;
        open.send(false).expect("it listens");
        sleep(Duration::from_secs(60)).await;
        open.send(true).expect("it listens");
    };
    let survivors = async {
        let ended = join!(scene.run("worker-1"), scene.run("worker-2"));
        (ended, begun.elapsed())
    };
    let ((((a, _), (b, _)), took), (zombie, ended), ()) =
        join!(survivors, scene.run_behind("worker-3", &gate, &scene.stop), freeze);
    // 58 chunks by two, and a claim now and then.
    assert!(took >= CHUNK * 29 && took <= CHUNK * 31, "{took:?}");
    ended.expect("it ends well");
    assert_eq!([a.status, b.status, zombie.status], [Status::Completed; 3]);
    assert_eq!(zombie.chunks_processed, 2, "its third was another's by then");
    assert_eq!(a.chunks_processed + b.chunks_processed, 58);
    assert!((60.0..61.0).contains(&zombie.duration_seconds), "{zombie:?}");
    scene.bench.assert_exact(&sweep).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_vanishes_costs_little_more_than_its_chunk() {
    let (bench, sweep) = Bench::start(Model).with_lease(LEASE * 60).with_sweep(60).await;
    let scene = Scene::new(bench, CHUNK);
    let begun = Instant::now();
    let vanishing = tokio::time::timeout(CHUNK * 5 / 2, scene.run("worker-3"));
    let ((a, _), (b, _), vanished) = join!(scene.run("worker-1"), scene.run("worker-2"), vanishing);
    assert!(vanished.is_err());
    assert_eq!(a.chunks_processed + b.chunks_processed, 58);
    assert!(begun.elapsed() <= CHUNK * 31, "{:?}", begun.elapsed());
    scene.bench.assert_exact(&sweep).await;
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_however_rarely_the_dead_are_looked_for() {
    let (mut bench, sweep) = Bench::start(Model).with_lease(LEASE).with_sweep(1).await;
    bench.settings.takeover_interval = Duration::from_secs(600);
    let scene = Scene::new(bench, LEASE * 30);
    let other = async {
        sleep(CHUNK).await;
        let mut keen = scene.bench.settings.clone();
        keen.takeover_interval = CHUNK;
        scene.bench.worker_with(&keen, "worker-2").await.claim(1, LEASE * 29).await
    };
    let ((summary, ended), watched) = join!(scene.run("worker-1"), other);
    ended.expect("it ends well");
    assert_eq!(watched.expect("claims"), [], "nothing was to be had");
    assert_eq!(summary.chunks_processed, 1);
    scene.bench.assert_exact(&sweep).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_asked_to_stop_finishes_its_chunk_within_the_grace() {
    let (bench, _) = Bench::start(Model).with_sweep(10).await;
    let scene = Scene::new(bench, CHUNK);
    let (ask, stop) = watch::channel(false);
    let asking = async {
        sleep(CHUNK * 5 / 2).await;
        ask.send(true).expect("it listens");
    };
    let begun = Instant::now();
    let ((summary, ended), ()) = join!(scene.run_behind("worker-1", &scene.gate, &stop), asking);
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Interrupted, 3));
    assert!(begun.elapsed() < CHUNK * 7 / 2, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_takes_longer_than_the_grace_is_given_back() {
    let (bench, _) = Bench::start(Model).with_sweep(1).await;
    let scene = Scene::new(bench, Duration::from_secs(600));
    let (ask, stop) = watch::channel(false);
    let asking = async {
        sleep(CHUNK).await;
        ask.send(true).expect("it listens");
    };
    let begun = Instant::now();
    let ((summary, ended), ()) = join!(scene.run_behind("worker-1", &scene.gate, &stop), asking);
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Interrupted, 0));
    let (took, grace) = (begun.elapsed(), scene.bench.options("worker-1").stop_grace);
    assert!(took >= CHUNK + grace && took < 2 * CHUNK + grace, "{took:?}");
    let other = scene.bench.worker("worker-2").await;
    assert_eq!(other.claim(1, Duration::ZERO).await.expect("claims").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_asked_to_stop_does_not_wait_for_a_broker_that_is_away() {
    let (bench, _) = Bench::start(Model).with_sweep(3).await;
    let scene = Scene::new(bench, Duration::ZERO);
    let ((_open, gate), (ask, stop)) = (watch::channel(false), watch::channel(false));
    let asking = async {
        sleep(CHUNK).await;
        ask.send(true).expect("it listens");
    };
    let begun = Instant::now();
    let ((summary, _), ()) = join!(scene.run_behind("worker-1", &gate, &stop), asking);
    assert_eq!(summary.status, Status::Interrupted);
    let grace = scene.bench.options("worker-1").stop_grace;
    assert!(begun.elapsed() <= grace + Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_chunk_leaves_after_the_idle_timeout() {
    let (bench, _) = Bench::start(Model).with_sweep(1).await;
    let holder = bench.worker("worker-2").await;
    holder.claim(1, Duration::ZERO).await.expect("claims");
    let scene = Scene::new(bench, CHUNK);
    let begun = Instant::now();
    let (summary, ended) = scene.run("worker-1").await;
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Idle, 0));
    let idle_timeout = scene.bench.options("worker-1").idle_timeout;
    assert!(begun.elapsed() >= idle_timeout && begun.elapsed() < idle_timeout + LEASE);
}

#[tokio::test(start_paused = true)]
async fn a_failing_chunk_is_retried_to_its_death_and_the_others_complete() {
    let (bench, _) = Bench::start(Model).with_sweep(5).await;
    let (_keep, stop) = watch::channel(false);
    struct Cursed;
    #[async_trait(?Send)]
    impl Kernel for Cursed {
        async fn run(&mut self, chunk: &Chunk) -> std::result::Result<Stats, KernelError> {
            if chunk.index == 3 { Err("cursed".to_owned().into()) } else { Ok(stats(chunk)) }
        }
    }
    let worker = bench.worker("worker-1").await;
    let (summary, ended) =
        worker::run(worker, Box::new(Cursed), bench.options("worker-1"), stop).await;
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, 4));
    let report = bench.report().await;
    assert_eq!((report.complete, report.chunks, report.dead_lettered), (false, 4, 1));
}

#[tokio::test(start_paused = true)]
async fn the_first_of_very_short_chunks_are_no_commits_of_their_own() {
    let (bench, sweep) = Bench::start(Model).with_sweep(200).await;
    let scene = Scene::new(bench, Duration::ZERO);
    scene.run("worker-1").await.1.expect("it ends well");
    let commits = scene.commits.take();
    let (last, others) = commits.split_last().expect("commits");
    assert!(others.iter().all(|count| *count > 32), "half a batch at least: {commits:?}");
    assert!(others.iter().chain([last]).all(|count| *count <= 64), "a batch: {commits:?}");
    scene.bench.assert_exact(&sweep).await;
}

/// Whenever a worker stops, what it has claimed and not committed is given back.
#[tokio::test(start_paused = true)]
async fn a_worker_may_stop_at_any_moment_of_a_batch() {
    for after in (1..120).map(Duration::from_millis) {
        let (bench, sweep) = Bench::start(Model).with_lease(LEASE * 60).with_sweep(60).await;
        let scene = Scene::new(bench, CHUNK / 50);
        let (ask, stop) = watch::channel(false);
        let asking = async {
            sleep(after).await;
            ask.send(true).expect("it listens");
        };
        let ((summary, ended), ()) =
            join!(scene.run_behind("worker-1", &scene.gate, &stop), asking);
        ended.expect("it ends well");
        assert_eq!(summary.status, Status::Interrupted, "after {after:?}");
        let begun = Instant::now();
        let (rest, ended) = scene.run("worker-2").await;
        ended.expect("it ends well");
        assert!(begun.elapsed() < LEASE, "it waits for no lease, after {after:?}");
        assert_eq!(summary.chunks_processed + rest.chunks_processed, 60, "after {after:?}");
        scene.bench.assert_exact(&sweep).await;
    }
}
