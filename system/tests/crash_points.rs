//! A worker, and a coordinator, that stop right before or right after each thing that they ask of
//! the broker: it may have been done, and nobody heard of it. Whoever comes next completes the
//! sweep, each chunk once.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rstest::rstest;
use tokio::sync::watch;
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::kernel::Identity;
use ttg_system::queue::{
    Address, Asker, Broker, Commit, ComputedBy, Delivery, Failure, KernelCheck, Queue, QueueError,
    Reconcile, Result, Submit, Token,
};
use ttg_system::wire::TaskResult;
use ttg_system::worker::{self, Status};

use support::bench::Backend::{self, Embedded, Model, RabbitMq, Redis};
use support::bench::Bench;
use support::kernels::Steady;

use Moment::{After, Before};
use Step::{Claim, ClaimAhead, Commits, Fail, Kernel, Leave, Open, Release, Renew, Submits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Claim,
    ClaimAhead,
    Kernel,
    Commits,
    Fail,
    Release,
    Renew,
    Leave,
    Open,
    Submits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

/// Stops whoever uses it at one point: from then on, every call fails.
struct Stopping {
    broker: Rc<dyn Broker>,
    step: Step,
    moment: Moment,
    /// Steps of this kind that are let through first.
    spared: Cell<u32>,
    /// Until then all are let through.
    armed: Cell<bool>,
    stopped: Cell<bool>,
}

impl Stopping {
    fn new(broker: Rc<dyn Broker>, step: Step, moment: Moment, spared: u32) -> Rc<Self> {
        let (spared, armed, stopped) = (Cell::new(spared), Cell::new(true), Cell::new(false));
        Rc::new(Self { broker, step, moment, spared, armed, stopped })
    }

    async fn pass<T>(
        &self,
        step: Step,
        call: impl std::future::Future<Output = Result<T>>,
    ) -> Result<T> {
        self.still_running()?;
        let stops = step == self.step
            && self.armed.get()
            && self.spared.replace(self.spared.get().saturating_sub(1)) == 0;
        if stops && self.moment == Before {
            self.stopped.set(true);
        }
        self.still_running()?;
        let outcome = call.await?;
        if stops {
            self.stopped.set(true);
        }
        self.still_running().map(|()| outcome)
    }

    fn still_running(&self) -> Result<()> {
        let cause = format!("stopped {:?} {:?}", self.moment, self.step);
        let address = Address::Embedded("nowhere".into());
        if self.stopped.get() { Err(QueueError::Unreachable { address, cause }) } else { Ok(()) }
    }
}

#[async_trait(?Send)]
impl Reconcile for Stopping {}

#[async_trait(?Send)]
impl ComputedBy for Stopping {
    async fn compute_with(&self, own: &Identity, check: KernelCheck) -> Result<()> {
        self.pass(Kernel, self.broker.compute_with(own, check)).await
    }
}

#[async_trait(?Send)]
impl Queue for Stopping {
    async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.pass(Claim, self.broker.claim(max, wait)).await
    }
    async fn claim_ahead(&self, max: usize) -> Result<Vec<Delivery>> {
        self.pass(ClaimAhead, self.broker.claim_ahead(max)).await
    }
    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        self.pass(Commits, self.broker.commit(done)).await
    }
    async fn renew(&self, held: &[Token]) -> Result<Vec<Token>> {
        self.pass(Renew, self.broker.renew(held)).await
    }
    async fn take_over(&self, max: usize, held: &[Token], asker: Asker) -> Result<Vec<Delivery>> {
        self.still_running()?;
        self.broker.take_over(max, held, asker).await
    }
    async fn fail(&self, delivery: &Delivery, reason: &str) -> Result<Failure> {
        self.pass(Fail, self.broker.fail(delivery, reason)).await
    }
    async fn release(&self, held: &[Token]) -> Result<()> {
        self.pass(Release, self.broker.release(held)).await
    }
    async fn is_complete(&self) -> Result<bool> {
        self.still_running()?;
        self.broker.is_complete().await
    }
    async fn leave(&self) -> Result<()> {
        self.pass(Leave, self.broker.leave()).await
    }
}

#[async_trait(?Send)]
impl Submit for Stopping {
    async fn open(&self, sweep: &Sweep, job_id: Option<&str>) -> Result<u64> {
        self.pass(Open, self.broker.open(sweep, job_id)).await
    }
    async fn submit(&self, sweep: &Sweep, from: u64, to: u64) -> Result<u64> {
        self.pass(Submits, self.broker.submit(sweep, from, to)).await
    }
    async fn reset(&self) -> Result<()> {
        unreachable!("no coordinator resets unasked")
    }
}

#[rstest]
#[case::claim(Claim, 0)]
#[case::second_claim(Claim, 1)]
#[case::claim_ahead(ClaimAhead, 0)]
#[case::second_claim_ahead(ClaimAhead, 1)]
#[case::look_at_the_kernel(Kernel, 0)]
#[case::second_look_at_the_kernel(Kernel, 1)]
#[case::record_of_the_kernel(Kernel, 2)]
#[case::commit(Commits, 0)]
#[case::second_commit(Commits, 1)]
#[case::fail(Fail, 0)]
#[case::renew(Renew, 0)]
#[case::release(Release, 0)]
#[case::leave(Leave, 0)]
#[tokio::test]
async fn a_worker_may_stop_anywhere(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[case] step: Step,
    #[case] spared: u32,
    #[values(Before, After)] moment: Moment,
) {
    let (mut bench, sweep) = Bench::start(backend).with_sweep(6).await;
    bench.settings.lease = Duration::from_millis(120);
    let stopping = Stopping::new(bench.worker("worker-1").await, step, moment, spared);
    let mut kernel = Steady::new(Duration::ZERO).failing_once([1]);
    let mut options = bench.options("worker-1");
    options.stop_grace = Duration::from_millis(20);
    if matches!(step, Renew | Release) {
        kernel = kernel.stuck_at(3);
    }
    let mut begun = kernel.begun();
    let (stop, stopped) = watch::channel(false);
    // Where a commit takes long it renews too, and would be stopped within the commit.
    stopping.armed.set(step != Renew);
    let asking = async {
        if matches!(step, Renew | Release) {
            begun.wait_for(|begun| *begun == 3).await.expect("it gets there");
            stopping.armed.set(true);
        }
        if step == Release {
            stop.send(true).expect("it listens");
        }
        std::future::pending::<()>().await;
    };
    let worker = worker::run(Rc::clone(&stopping) as _, Box::new(kernel), options, stopped);
    let (_, ended) = tokio::select! {
        ended = worker => ended,
        () = asking => unreachable!("it waits for ever"),
    };
    assert!(ended.is_err() && stopping.stopped.get(), "it came to the point");
    drop(stopping);

    let other = bench.worker("worker-2").await;
    let (_keep, stop) = watch::channel(false);
    let kernel = Box::new(Steady::new(Duration::ZERO));
    let (summary, ended) = worker::run(other, kernel, bench.options("worker-2"), stop).await;
    ended.expect("it ends well");
    assert_eq!(summary.status, Status::Completed);
    bench.assert_exact(&sweep).await;
    let held = bench.onlooker().await.held().await.expect("reads");
    assert_eq!(held, [], "nothing is left over");
}

#[rstest]
#[case::open(Open, 0)]
#[case::first_step(Submits, 0)]
#[case::second_step(Submits, 1)]
#[case::last_step(Submits, 2)]
#[tokio::test]
async fn a_coordinator_may_stop_anywhere(
    #[values(Embedded, Redis, RabbitMq, Model)] backend: Backend,
    #[case] step: Step,
    #[case] spared: u32,
    #[values(Before, After)] moment: Moment,
) {
    let bench = Bench::start(backend);
    let sweep = Sweep { start: 0, params: 12_340, chunk_size: 10 };
    let stopping = Stopping::new(bench.worker("coordinator").await, step, moment, spared);
    let ended = coordinator::run(&*stopping, &sweep, None).await;
    assert!(ended.is_err() && stopping.stopped.get());
    drop(stopping);

    let worker = bench.worker("worker-1").await;
    let (_keep, stop) = watch::channel(false);
    let kernel = Box::new(Steady::new(Duration::ZERO));
    let onlooker = bench.onlooker().await;
    let next = coordinator::run(&*onlooker, &sweep, None);
    let options = bench.options("worker-1");
    let ((summary, ended), next) = tokio::join!(worker::run(worker, kernel, options, stop), next);
    ended.expect("it ends well");
    assert_eq!(next.expect("submits").total_chunks, 1234);
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, 1234));
    bench.assert_exact(&sweep).await;
}
