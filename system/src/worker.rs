//! The worker: claims chunks, computes them, commits their results.
//!
//! Two loops share one task: one computes, the other keeps the leases alive and takes over what
//! dead workers left behind. Neither knows the wall clock, the broker or the kernel, so both can
//! run on simulated time and a model of a broker.

mod batch;
mod computed_by;
mod desk;
mod fitness;
mod summary;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout, timeout_at};
use ttg_contract::builtin;

pub use self::batch::Batch;
use self::computed_by::Certainty;
use self::desk::Desk;
use self::fitness::{Fitness, HEAD_START};
pub use self::summary::{QueueStats, Status, Summary, WorkerError};
use crate::kernel::{self, Identity, Kernel, KernelError};
use crate::queue::{Asker, Commit, Delivery, Queue, RECONCILE_EVERY, Reconciled, Result, Token};
use crate::so_far::SoFar;
use crate::stats::Stats;
use crate::wire::{self, Task, TaskResult};

/// How long a claim waits before the worker looks around.
const CLAIM_WAIT: Duration = Duration::from_millis(250);

/// A chunk is handed back no more often: somebody has to compute it.
const HAND_BACKS: u64 = 2;

/// However long the lease, deliveries are renewed this often: after a broker's restart, peers see
/// by a worker's connection that it lives.
const RENEW: Duration = Duration::from_secs(1);

/// How long a worker that was asked to stop, and has no chunk in hand, waits for the broker's answer to
/// what it has asked: a request for tasks that nobody waits for any more would be answered to nobody.
const ANSWER: Duration = Duration::from_millis(400);

/// How long after the request, and the grace for a chunk in hand, everything is to be over.
const FAREWELL: Duration = Duration::from_millis(900);

/// What a worker comes to.
type Outcome<T> = std::result::Result<T, WorkerError>;

/// How a worker behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// `worker-1`.
    pub name: String,
    /// Leave after this long without a chunk, if the sweep does not end before and nothing is open.
    pub idle_timeout: Duration,
    /// A lease's length; it is renewed at least three times as often.
    pub lease: Duration,
    /// How often to look for what the dead left behind.
    pub takeover_interval: Duration,
    /// How long a chunk that is being computed may take on after a request to stop.
    pub stop_grace: Duration,
    /// Work per claim, where chunks are so small that the broker would be the bottleneck.
    pub batch: Batch,
    /// Chance of a chunk to fail on purpose, to exercise retries.
    pub fault_rate: f64,
    /// Seed of those failures.
    pub seed: u64,
    /// What its kernel is.
    pub identity: Identity,
    /// Whether it computes the same as those that the sweep was computed by, whatever they are.
    pub same_kernel: bool,
    /// Where it says what it has come to.
    pub so_far: Rc<SoFar>,
}

/// Runs until the sweep is complete, nothing came for the idle timeout, or `stop` becomes true:
/// then the chunk at hand is finished if that takes no longer than the grace, and everything else
/// is given back.
///
/// # Errors
/// Where the broker cannot be reached any more, no chunk can be computed here, or the sweep is another
/// kernel's. The summary says what was done until then.
pub async fn run(
    queue: Rc<dyn Queue>,
    kernel: Box<dyn Kernel>,
    options: Options,
    stop: watch::Receiver<bool>,
) -> (Summary, Outcome<()>) {
    let begun = Instant::now();
    let worker = Worker {
        desk: RefCell::new(Desk {
            summary: Summary::new(&options.name),
            batch: options.batch.clone(),
            ..Desk::default()
        }),
        queue,
        options,
        stop,
        flushing: tokio::sync::Mutex::default(),
        taking: tokio::sync::Mutex::default(),
        reconciled: Cell::new(None),
        fitness: RefCell::default(),
        farewell: Cell::default(),
        certainty: Certainty::default(),
    };
    let ended = tokio::select! {
        ended = worker.compute(kernel) => ended,
        Err(error) = worker.keep() => Err(error.into()),
        () = worker.stop_and_grace() => Ok(Status::Interrupted),
    };
    let (status, outcome) = match ended {
        Ok(Status::Interrupted) => (Status::Interrupted, worker.sign_off_in_time().await),
        Ok(status) => (status, worker.sign_off_unless_asked().await),
        Err(WorkerError::Queue(error)) if !computed_by::still_answers(&error) => {
            (Status::Failed, Err(error.into()))
        }
        Err(error) => {
            let _ = worker.sign_off_unless_asked().await;
            (Status::Failed, Err(error))
        }
    };
    let Desk { mut summary, stats, mut aggregates, .. } = worker.desk.into_inner();
    summary.aggregates = aggregates.stats();
    summary.queue_stats = Some(stats);
    (summary.end(status, begun.elapsed()), outcome)
}

struct Worker {
    queue: Rc<dyn Queue>,
    options: Options,
    stop: watch::Receiver<bool>,
    /// Borrowed only between awaits.
    desk: RefCell<Desk>,
    /// One commit at a time.
    flushing: tokio::sync::Mutex<()>,
    /// Nothing is taken over beside the work while tasks are claimed: what comes is held already.
    taking: tokio::sync::Mutex<()>,
    /// When it was last looked whether everything that is open is somewhere.
    reconciled: Cell<Option<Instant>>,
    fitness: RefCell<Fitness>,
    /// When it is to be gone, once it was asked to stop.
    farewell: Cell<Option<Instant>>,
    /// Whether its kernel is the sweep's.
    certainty: Certainty,
}

impl Worker {
    async fn compute(&self, mut kernel: Box<dyn Kernel>) -> Outcome<Status> {
        self.look_whose_it_is().await?;
        let mut idle_since = Instant::now();
        loop {
            if *self.stop.borrow() {
                return Ok(Status::Interrupted);
            }
            self.look_again().await?;
            let next = self.desk.borrow_mut().backlog.pop_front();
            let Some(delivery) = next else {
                let has_done = !self.desk.borrow().done.is_empty();
                if has_done {
                    self.fill_batch_or_flush().await?;
                    idle_since = Instant::now();
                } else if let Some(status) = self.claim(idle_since).await? {
                    return Ok(status);
                }
                continue;
            };
            if self.leaves_to_others(&delivery).await? {
                continue;
            }
            if delivery.suspect {
                self.stake(&delivery).await?;
            }
            let whole = self.attempt(&mut *kernel, delivery).await?;
            if !whole || *self.stop.borrow() {
                return Ok(Status::Interrupted);
            }
            if self.desk.borrow().must_flush() {
                self.flush().await?;
            }
            idle_since = Instant::now();
        }
    }

    /// Claims more for the batch of what is done, where that may wait. Where nothing comes, it is committed, whatever
    /// has become of the claim.
    async fn fill_batch_or_flush(&self) -> Result<()> {
        let room = self.desk.borrow().room();
        let claimed = if room > 0 { self.claim_ahead(room).await } else { Ok(false) };
        if !matches!(claimed, Ok(true)) {
            self.flush_and_claim_ahead().await?;
        }
        claimed.map(drop)
    }

    /// Commits what is done, which waits for nothing that may come, and meanwhile fetches what is there. Neither
    /// is given up for the other's error: what comes is on the desk, to be given back.
    async fn flush_and_claim_ahead(&self) -> Result<()> {
        let max = self.desk.borrow().batch.size;
        let (flushed, claimed) = tokio::join!(self.flush(), self.claim_ahead(max));
        flushed.and(claimed.map(drop))
    }

    /// Takes what is there and nobody had. Whether anything came.
    async fn claim_ahead(&self, max: usize) -> Result<bool> {
        let _alone = self.taking.lock().await;
        let claimed = self.queue.claim_ahead(max).await?;
        let has_come = !claimed.is_empty();
        self.desk.borrow_mut().take_in(claimed);
        Ok(has_come)
    }

    /// Fills the backlog, or says why the worker should leave.
    async fn claim(&self, idle_since: Instant) -> Result<Option<Status>> {
        let max = self.desk.borrow().batch.size;
        let claimed = {
            let _alone = self.taking.lock().await;
            self.queue.claim(max, CLAIM_WAIT).await?
        };
        let nothing = claimed.is_empty();
        self.desk.borrow_mut().take_in(claimed);
        if !nothing {
            return Ok(None);
        }
        self.certainty.lose();
        if self.queue.is_complete().await? {
            // What was committed must still be there.
            self.queue.reconcile().await?;
            return Ok(Some(Status::Completed));
        }
        self.wait_on(idle_since).await
    }

    /// Whether to leave, with nothing to do since then. While a chunk is open, with somebody or waiting
    /// for its next attempt, it may yet come here.
    async fn wait_on(&self, idle_since: Instant) -> Result<Option<Status>> {
        let is_over = idle_since.elapsed() >= self.options.idle_timeout;
        let last = self.reconciled.get().unwrap_or(idle_since).max(idle_since);
        let is_first = self.reconciled.get().is_none_or(|at| at < idle_since);
        if last.elapsed() < RECONCILE_EVERY && !(is_over && is_first) {
            return Ok(None);
        }
        let Reconciled { open, resubmitted, .. } = self.queue.reconcile().await?;
        self.reconciled.set(Some(Instant::now()));
        if resubmitted > 0 {
            tracing::warn!(
                resubmitted,
                "chunks were open and in no queue, and are submitted again"
            );
        }
        Ok((is_over && open == 0).then_some(Status::Idle))
    }

    /// Commits what is done before a chunk is begun that may end this worker.
    async fn stake(&self, delivery: &Delivery) -> Result<()> {
        self.desk.borrow_mut().current = Some((Rc::new(delivery.clone()), Instant::now()));
        self.flush().await
    }

    /// Computes a chunk. False where it failed after a request to stop, which may have reached the
    /// kernel too: it stays on the desk, to be given back.
    async fn attempt(&self, kernel: &mut dyn Kernel, delivery: Delivery) -> Outcome<bool> {
        let (delivery, begun) = (Rc::new(delivery), Instant::now());
        self.desk.borrow_mut().current = Some((Rc::clone(&delivery), begun));
        let chunk = delivery.task.chunk;
        let on_purpose = self.fails_on_purpose(&delivery);
        let computed = if on_purpose {
            Err(KernelError::Failed("simulated fault".to_owned()))
        } else {
            kernel.run(&chunk).await.and_then(|stats| kernel::checked(stats, &chunk))
        };
        match computed {
            Ok(stats) => {
                self.fitness.borrow_mut().succeeded();
                self.put_down(delivery, stats, begun.elapsed());
            }
            Err(_) if *self.stop.borrow() => return Ok(false),
            Err(KernelError::Unusable(reason)) => {
                // It stays on the desk too, and no attempt is counted.
                return Err(WorkerError::Unusable { worker: self.options.name.clone(), reason });
            }
            Err(KernelError::Failed(reason)) => {
                self.options.so_far.failed(&reason);
                // What is done must not wait for the broker's answer to a failure.
                self.flush().await?;
                let outcome = self.queue.fail(&delivery, &reason).await?;
                tracing::warn!(chunk = %chunk.id(), reason, ?outcome, "an attempt failed");
                {
                    let mut desk = self.desk.borrow_mut();
                    desk.stats.failed += 1;
                    desk.current = None;
                }
                if !on_purpose {
                    self.has_failed(&delivery, &reason).await?;
                }
            }
        }
        Ok(true)
    }

    /// Takes account of a failure: where there are others, the chunks are left to them for a while.
    async fn has_failed(&self, delivery: &Delivery, reason: &str) -> Outcome<()> {
        if !self.queue.has_peers().await? {
            // Nobody would do better, nor has anybody been left anything until now.
            self.fitness.take();
            return Ok(());
        }
        self.fitness.borrow_mut().failed(&delivery.task);
        if let Some(chunks) = self.fitness.borrow().enough() {
            let (worker, reason) = (self.options.name.clone(), reason.to_owned());
            return Err(WorkerError::Unfit { worker, chunks, reason });
        }
        let pause = self.fitness.borrow().pause();
        if !pause.is_zero() {
            self.hand_back().await?;
            self.rest(pause).await;
        }
        Ok(())
    }

    /// Gives back a chunk that has failed here and nowhere else, where there are others to try it.
    async fn leaves_to_others(&self, delivery: &Delivery) -> Result<bool> {
        if !self.fitness.borrow().is_for_others(delivery) || !self.queue.has_peers().await? {
            return Ok(false);
        }
        self.flush().await?;
        self.queue.release(std::slice::from_ref(&delivery.token)).await?;
        self.rest(HEAD_START).await;
        Ok(true)
    }

    /// Takes nothing for a while, unless it is asked to stop.
    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.asked_to_stop() => {}
            () = sleep(pause) => {}
        }
    }

    fn put_down(&self, delivery: Rc<Delivery>, stats: Stats, took: Duration) {
        let result = TaskResult {
            chunk_index: delivery.task.chunk.index,
            worker_id: self.options.name.clone(),
            duration_seconds: took.as_secs_f64(),
            completed_at: wire::now(),
            stats,
        };
        let mut desk = self.desk.borrow_mut();
        if desk.done.is_empty() {
            desk.done_since = Instant::now();
        }
        desk.current = None;
        let Delivery { token, .. } = Rc::unwrap_or_clone(delivery);
        Rc::make_mut(&mut desk.done).push((token, result));
        desk.batch.observe(took);
    }

    /// Commits what is done. It stays on the desk, and its leases are renewed, until the broker
    /// has answered.
    async fn flush(&self) -> Result<()> {
        let _alone = self.flushing.lock().await;
        let done = Rc::clone(&self.desk.borrow().done);
        if done.is_empty() || self.certainty.is_refused() {
            return Ok(());
        }
        self.record_whose_it_is().await?;
        let outcomes = self.heed(self.queue.commit(&done).await)?;
        let mut desk = self.desk.borrow_mut();
        // More may have been put down since: at the end.
        desk.done = Rc::new(desk.done[done.len()..].to_vec());
        for ((_, result), outcome) in done.iter().zip(outcomes) {
            match outcome {
                Commit::Committed => {
                    self.options.so_far.committed();
                    desk.summary.chunks_processed += 1;
                    desk.summary.params_processed += result.stats.count;
                    desk.stats.committed += 1;
                    desk.aggregates.merge(&result.stats);
                }
                Commit::AlreadySettled => {
                    self.certainty.lose();
                    desk.stats.already_settled += 1;
                    tracing::info!(chunk = result.chunk_index, "the chunk was settled before");
                }
            }
        }
        Ok(())
    }

    async fn keep(&self) -> Result<Infallible> {
        // However rarely it looks for the dead: without renewals its own leases would run out.
        let renew_every = (self.options.lease / 3).min(RENEW);
        let mut tick = interval(self.options.takeover_interval.min(renew_every / 2));
        let mut renewed = Instant::now();
        loop {
            tick.tick().await;
            let held = self.desk.borrow().held();
            if held.is_empty() {
                // Idle: the claim looks around by itself.
                renewed = Instant::now();
                continue;
            }
            if renewed.elapsed() >= renew_every {
                renewed = Instant::now();
                self.forget(&self.queue.renew(&held).await?);
            }
            if self.desk.borrow().is_held_up() {
                self.flush().await?;
                self.hand_back().await?;
            }
            // What is being claimed is held already, and must not be taken for a former life's. It is not awaited
            // for so long that leases would run out.
            let Ok(_alone) = timeout(renew_every / 2, self.taking.lock()).await else { continue };
            if self.desk.borrow().is_free_soon() && !*self.stop.borrow() {
                let (held, max) = (self.desk.borrow().held(), self.desk.borrow().batch.size);
                let taken = self.queue.take_over(max, &held, Asker::Busy).await?;
                let mut desk = self.desk.borrow_mut();
                desk.stats.taken_over += taken.len() as u64;
                desk.backlog.extend(taken);
            }
        }
    }

    /// Gives others what was claimed on the assumption that it would not take long.
    async fn hand_back(&self) -> Result<()> {
        let mut tokens = Vec::new();
        {
            let mut desk = self.desk.borrow_mut();
            desk.batch.size = 1;
            desk.backlog.retain(|Delivery { token, .. }| {
                let stays = token.number > HAND_BACKS;
                if !stays {
                    tokens.push(token.clone());
                }
                stays
            });
        }
        self.queue.release(&tokens).await
    }

    /// Lost deliveries that were not begun are left to their new workers. One that is being
    /// computed goes on: whoever commits first has the chunk.
    fn forget(&self, lost: &[Token]) {
        let mut desk = self.desk.borrow_mut();
        // What is done may have been acknowledged just before: that is no loss.
        let current = desk.current.as_ref().map(|(delivery, _)| &delivery.token);
        let mut count = usize::from(current.is_some_and(|token| lost.contains(token)));
        desk.backlog.retain(|delivery| {
            let is_lost = lost.contains(&delivery.token);
            count += usize::from(is_lost);
            !is_lost
        });
        if count > 0 {
            self.certainty.lose();
            tracing::warn!(count, "leases were lost");
        }
    }

    async fn stop_and_grace(&self) {
        self.asked_to_stop().await;
        let is_computing = self.desk.borrow().current.is_some();
        let grace = if is_computing { self.options.stop_grace } else { Duration::ZERO };
        self.farewell.set(Some(Instant::now() + grace + FAREWELL));
        sleep(if is_computing { grace } else { ANSWER }).await;
    }

    async fn asked_to_stop(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }

    fn fails_on_purpose(&self, delivery: &Delivery) -> bool {
        let Options { fault_rate, seed, .. } = self.options;
        let Task { chunk, retry_count, .. } = &delivery.task;
        builtin::fails_on_purpose(seed, fault_rate, chunk.index, *retry_count)
    }

    /// Whoever asked to stop does not wait for a broker that is away: the leases will run out.
    async fn sign_off_in_time(&self) -> Outcome<()> {
        let farewell = self.farewell.get().unwrap_or_else(|| Instant::now() + FAREWELL);
        let signed_off = timeout_at(farewell, self.sign_off()).await.unwrap_or_else(|_| {
            tracing::warn!("the broker does not answer, leaving without a word");
            Ok(())
        });
        Ok(signed_off?)
    }

    /// Waits for the broker, but no longer than it may once it is asked to stop.
    async fn sign_off_unless_asked(&self) -> Outcome<()> {
        let overdue = async {
            self.asked_to_stop().await;
            sleep(FAREWELL).await;
        };
        tokio::select! {
            signed_off = self.sign_off() => Ok(signed_off?),
            () = overdue => Ok(()),
        }
    }

    /// Commits what is done, gives back what is not, and says goodbye.
    async fn sign_off(&self) -> Result<()> {
        let flushed = self.flush().await;
        if flushed.as_ref().is_err_and(|error| !computed_by::still_answers(error)) {
            return flushed;
        }
        let held = self.desk.borrow().held();
        if !held.is_empty() {
            self.queue.release(&held).await?;
        }
        self.queue.leave().await?;
        flushed
    }
}
