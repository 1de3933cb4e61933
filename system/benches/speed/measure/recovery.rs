//! Workers that hold a chunk are killed, as by `kill -9`: how long until another worker has begun that
//! chunk, beyond the chunk that it was computing itself.
//!
//! Which chunk a worker holds is seen from outside, on every broker: chunks are delivered in their order,
//! so the survivor skips the one that the other worker has.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use ttg_system::chunk::Chunk;
use ttg_system::kernel::{Identity, Kernel, KernelError};
use ttg_system::queue::{self, Settings};
use ttg_system::stats::Stats;
use ttg_system::worker::{self, Batch, Options};

use super::{Deadline, ms};
use crate::outcome::{Outcome, Unmeasured, failed};
use crate::role::Role;
use crate::support::bench::stats;

/// What a chunk takes the survivor.
const WORK: Duration = Duration::from_millis(20);

/// The same for those before the first kill.
const WARM_UP_WORK: Duration = Duration::from_millis(1);

/// What a chunk takes the workers that are killed: longer than they live.
const ENDLESS_MS: u64 = 3_600_000;

pub(super) const KILLS: u32 = 10;

/// After so long a step is given up.
const STEP: Duration = Duration::from_secs(10);

/// The numbers of the survivor and of the workers that are killed are nobody else's.
const SURVIVOR: &str = "worker-100";
const FIRST_KILLED: u32 = 101;

/// How long each takeover took, in milliseconds. The sweep is submitted already; chunks below `in_order`
/// may have been with workers that were stopped, and come in any order.
pub(super) async fn takeovers(
    settings: &Settings,
    in_order: u64,
    deadline: &Deadline,
) -> Outcome<Vec<f64>> {
    let queue = queue::connect(settings, Some(SURVIVOR)).await.map_err(failed)?;
    let log = Rc::new(ChunkLog::default());
    let (ask, stop) = watch::channel(false);
    let kernel = Box::new(LoggingKernel(Rc::clone(&log)));
    let mut survivor = std::pin::pin!(worker::run(queue, kernel, options(settings), stop));
    let times = tokio::select! {
        (summary, outcome) = &mut survivor => {
            let why = format!("the survivor left ({:?}) {outcome:?}", summary.status);
            return Err(Unmeasured::Failed(why));
        }
        times = kill_workers(settings, &log, in_order, deadline) => times?,
    };
    // It gives back what it holds: nobody is to wait for that.
    ask.send_replace(true);
    let (_, outcome) = timeout(STEP, survivor).await.map_err(|_| Unmeasured::TimedOut(STEP))?;
    outcome.map_err(failed)?;
    Ok(times)
}

fn options(settings: &Settings) -> Options {
    Options {
        name: SURVIVOR.to_owned(),
        idle_timeout: Duration::from_secs(30),
        lease: settings.lease,
        takeover_interval: settings.takeover_interval,
        stop_grace: Duration::from_secs(1),
        batch: Batch::new(Duration::from_millis(20), 64),
        fault_rate: 0.0,
        seed: 0,
        identity: Identity::built_in("reference"),
        same_kernel: false,
        so_far: Rc::default(),
    }
}

async fn kill_workers(
    settings: &Settings,
    log: &ChunkLog,
    in_order: u64,
    deadline: &Deadline,
) -> Outcome<Vec<f64>> {
    log.work.set(WARM_UP_WORK);
    log.wait_until(deadline, |log| (log.next_index() > in_order).then_some(())).await?;
    log.work.set(WORK);
    let mut times = Vec::new();
    for number in FIRST_KILLED..FIRST_KILLED + KILLS {
        let from = log.next_index();
        let worker = Role::worker(settings, number, ENDLESS_MS)?;
        let held = log.wait_until(deadline, |log| log.skipped(from)).await?;
        let killed_at = Instant::now();
        drop(worker);
        let taken_at = log.wait_until(deadline, |log| log.begun_at(held)).await?;
        let free_at = log.end_of_chunk_at(killed_at).unwrap_or(killed_at);
        times.push(ms(taken_at.saturating_duration_since(free_at)));
    }
    Ok(times)
}

/// A chunk of the survivor's.
struct Entry {
    index: u64,
    begun_at: Instant,
    ended_at: Option<Instant>,
}

/// What the survivor computes, and when.
struct ChunkLog {
    entries: RefCell<Vec<Entry>>,
    changed: watch::Sender<()>,
    work: Cell<Duration>,
}

impl Default for ChunkLog {
    fn default() -> Self {
        let changed = watch::channel(()).0;
        Self { entries: RefCell::default(), changed, work: Cell::new(WORK) }
    }
}

impl ChunkLog {
    fn begin(&self, index: u64) {
        let entry = Entry { index, begun_at: Instant::now(), ended_at: None };
        self.entries.borrow_mut().push(entry);
        self.changed.send_replace(());
    }

    fn end(&self) {
        if let Some(last) = self.entries.borrow_mut().last_mut() {
            last.ended_at = Some(Instant::now());
        }
    }

    fn next_index(&self) -> u64 {
        self.entries.borrow().iter().map(|entry| entry.index + 1).max().unwrap_or_default()
    }

    /// The first chunk from this one on that the survivor has skipped.
    fn skipped(&self, from: u64) -> Option<u64> {
        (from..self.next_index()).find(|index| self.begun_at(*index).is_none())
    }

    fn begun_at(&self, index: u64) -> Option<Instant> {
        let entries = self.entries.borrow();
        entries.iter().find(|entry| entry.index == index).map(|entry| entry.begun_at)
    }

    /// When the chunk ended that was being computed then.
    fn end_of_chunk_at(&self, moment: Instant) -> Option<Instant> {
        let entries = self.entries.borrow();
        let mut begun = entries.iter().filter(|entry| entry.begun_at <= moment);
        begun.find_map(|entry| entry.ended_at.filter(|ended_at| *ended_at > moment))
    }

    async fn wait_until<T>(
        &self,
        deadline: &Deadline,
        look: impl Fn(&Self) -> Option<T>,
    ) -> Outcome<T> {
        let bound = deadline.bound(STEP)?;
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(self) {
                    return Ok(found);
                }
                changed.changed().await.map_err(failed)?;
            }
        };
        timeout(bound, found).await.map_err(|_| Unmeasured::TimedOut(bound))?
    }
}

/// The reference kernel, logged.
struct LoggingKernel(Rc<ChunkLog>);

#[async_trait(?Send)]
impl Kernel for LoggingKernel {
    async fn run(&mut self, chunk: &Chunk) -> Result<Stats, KernelError> {
        self.0.begin(chunk.index);
        sleep(self.0.work.get()).await;
        self.0.end();
        Ok(stats(chunk))
    }
}
