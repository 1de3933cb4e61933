//! Computes chunks of a user's own program again, on the cores that the sweep has left idle, to compare
//! them with what was reported.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use ttg_contract::chunk::Chunk;
use ttg_contract::stats::Stats;
use ttg_system::kernel::{Exec, Kernel as _};

use super::Stage;
use super::programs::program;
use crate::environment::guard;
use crate::history::{Event, SeenResult};
use crate::plan::{Afterwards, Backend, Kernel, Recompute};
use crate::words::bounded;

/// A sweep may have been shorter than its program takes to start.
const LEAST: Duration = Duration::from_secs(2);

/// So many failures before anything was computed: the program does not work here.
const FAILURES: u64 = 100;

/// Computes as many chunks as the plan asks for, or as fit into the time that the sweep took, in an order
/// drawn from the seed. Dropped, it ends the programs that it has started.
pub(super) async fn recompute(stage: &Rc<Stage>, sweep_took: Duration) {
    let Kernel::Exec { command } = &stage.plan.sweep.kernel else { return };
    let pieces = stage.plan.recomputed();
    let (command, environment) = match (guard::tied(command), environment(stage)) {
        (Ok(command), Ok(environment)) => (command, environment),
        (Err(error), _) | (_, Err(error)) => {
            return not_recomputed(stage, pieces.first(), format!("it cannot be started: {error}"));
        }
    };
    let all = pieces.len() as u64;
    let bounds = Bounds::of(stage, sweep_took, all);
    let work = Rc::new(Work {
        stage: Rc::clone(stage),
        bounds,
        pieces: RefCell::new(pieces.into_iter()),
        computed: Cell::new(0),
        failed: Cell::new(0),
    });
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut programs = JoinSet::new();
    for _ in 0..cores.min(usize::try_from(bounds.chunks).unwrap_or(usize::MAX)) {
        let kernel = Exec::new(command.clone(), None).in_environment(environment.clone());
        programs.spawn_local(compute(Rc::clone(&work), kernel));
    }
    while let Some(ended) = programs.join_next().await {
        if let Err(panic) = ended {
            stage.has_crashed("computing again", &panic.to_string());
        }
    }
}

/// How much is computed again at most.
#[derive(Clone, Copy)]
struct Bounds {
    chunks: u64,
    /// No chunk is begun after this, but the first.
    begin: Instant,
    /// And none is waited for.
    end: Instant,
}

impl Bounds {
    fn of(stage: &Stage, sweep_took: Duration, all: u64) -> Self {
        let (now, plan) = (Instant::now(), &stage.plan);
        match plan.expect.recompute {
            // Those that are dead cannot be compared: others take their place.
            Some(wanted) => {
                let chunks = wanted.of(all).saturating_add(plan.expect.dead_letters);
                let end = now + plan.timeout;
                Self { chunks: chunks.min(all), begin: end, end }
            }
            None => {
                let budget = sweep_took.max(LEAST);
                let chunks = Recompute::All.of(all);
                Self { chunks, begin: now + budget, end: now + 2 * budget }
            }
        }
    }
}

/// What the programs share.
struct Work {
    stage: Rc<Stage>,
    bounds: Bounds,
    pieces: RefCell<std::vec::IntoIter<Chunk>>,
    computed: Cell<u64>,
    failed: Cell<u64>,
}

impl Work {
    fn next(&self) -> Option<Chunk> {
        let computed = self.computed.get();
        let late = computed > 0 && Instant::now() >= self.bounds.begin;
        let hopeless = computed == 0 && self.failed.get() >= FAILURES;
        if late || hopeless || computed >= self.bounds.chunks {
            return None;
        }
        self.pieces.borrow_mut().next()
    }
}

async fn compute(work: Rc<Work>, mut kernel: Exec) {
    while let Some(chunk) = work.next() {
        let Ok(computed) = timeout_at(work.bounds.end, kernel.run(&chunk)).await else { return };
        match computed {
            Ok(Stats { sum, count, min, max, avg }) => {
                work.computed.set(work.computed.get() + 1);
                let worker = "harness".to_owned();
                let duration_s = 0.0;
                work.stage.emit(Event::Recomputed(SeenResult {
                    chunk_id: chunk.id().to_string(),
                    range: range(&work.stage, &chunk),
                    worker,
                    duration_s,
                    sum,
                    count,
                    min,
                    max,
                    avg,
                }));
            }
            Err(reason) => {
                work.failed.set(work.failed.get() + 1);
                not_recomputed(&work.stage, Some(&chunk), reason.to_string());
            }
        }
    }
}

fn not_recomputed(stage: &Stage, chunk: Option<&Chunk>, reason: String) {
    let Some(chunk) = chunk else { return };
    let (chunk_id, range) = (chunk.id().to_string(), range(stage, chunk));
    stage.emit(Event::NotRecomputed { chunk_id, range, reason: bounded(reason) });
}

/// What tells a static worker's piece from others.
fn range(stage: &Stage, chunk: &Chunk) -> Option<(u64, u64)> {
    (stage.plan.backend == Backend::Static).then_some((chunk.start, chunk.end))
}

/// That of the worker that computed last: the program may need what it was told.
fn environment(stage: &Stage) -> std::io::Result<Vec<(std::ffi::OsString, std::ffi::OsString)>> {
    let replayed = match &stage.plan.afterwards {
        Some(Afterwards::Replay { env }) => env.clone(),
        None => BTreeMap::new(),
    };
    let broker = stage.broker_process.as_ref();
    let worker = program(&stage.plan, broker, None, "worker-0", &replayed)?;
    Ok(stage.fleet.marked_environment(&worker))
}
