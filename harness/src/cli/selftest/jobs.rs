//! Several runs at once. Most of a run is waiting.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::case::Cases;
use super::matrix::Matrix;
use crate::cli::interrupts::{Interrupted, Interrupts};
use crate::cli::problem;
use crate::cli::run::{Judged, carry_out_quietly};
use crate::cli::silence::Silence;
use crate::exit::Exit;
use crate::history::EndReason;
use crate::plan::{Backend, Plan};
use crate::run::RunError;

/// Runs on RabbitMQ at a time: its start takes two processors for seconds.
const ON_RABBITMQ: usize = 3;

/// How long a run may take to hear of an interrupt before it is told again.
const AGAIN: Duration = Duration::from_secs(1);

/// A run that is to be carried out, by its place among the cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Correct(usize),
    Broken(usize),
}

/// What became of a job.
type Outcome = (Job, Result<Judged, RunError>);

/// Carries out all cases, and tells of each as it ends.
pub(super) fn run(cases: &Cases, jobs: usize, out: &Path) -> Exit {
    let mut interrupts = match Interrupts::listen() {
        Ok(interrupts) => interrupts,
        Err(error) => return problem(&error, Exit::Internal),
    };
    let begun = Instant::now();
    let queue = Queue::new(cases, jobs.min(ON_RABBITMQ));
    let mut matrix = Matrix::new(cases);
    let over = Arc::new(AtomicUsize::new(0));
    let (so_far, all) = (Arc::clone(&over), cases.grounds.len() + cases.planted.len());
    let told =
        Silence::broken_by(move || format!("{} of {all} runs are over", so_far.load(Relaxed)));
    let stopped = thread::scope(|scope| {
        let (told, outcomes) = unbounded_channel();
        for _ in 0..jobs {
            let (told, queue) = (told.clone(), &queue);
            // A run stays on its thread: its processes are tied to that.
            scope.spawn(move || work(queue, cases, out, &told));
        }
        drop(told);
        attend(&queue, &mut interrupts, outcomes, &mut matrix, &over)
    });
    drop(told);
    let exit = matrix.conclude(begun.elapsed());
    // That it was stopped does not undo what was seen before.
    if exit == Exit::Fail { exit } else { stopped.unwrap_or(exit) }
}

/// Takes outcomes in until no more come; why they ended early, if they did.
fn attend(
    queue: &Queue,
    interrupts: &mut Interrupts,
    mut outcomes: UnboundedReceiver<Outcome>,
    matrix: &mut Matrix<'_>,
    over: &AtomicUsize,
) -> Option<Exit> {
    let mut stopped = None;
    loop {
        let next = async {
            match stopped {
                None => Ok(outcomes.recv().await),
                Some(_) => timeout(AGAIN, outcomes.recv()).await,
            }
        };
        match interrupts.beside(next) {
            Ok(Ok(None)) => return stopped,
            Ok(Ok(Some((_, Ok(judged))))) if judged.why == EndReason::Interrupted => queue.stop(),
            Ok(Ok(Some((_, Err(RunError::Interrupted))))) => queue.stop(),
            Ok(Ok(Some((job, Ok(judged))))) => {
                over.fetch_add(1, Relaxed);
                take(job, &judged, matrix);
            }
            Ok(Ok(Some((_, Err(error))))) => {
                queue.stop();
                let exit = Exit::from(&error);
                stopped.get_or_insert_with(|| problem(&error.to_string(), exit));
            }
            // A run that began to listen since has not heard of it.
            Ok(Err(_)) => {
                let _ = kill_process(getpid(), Signal::TERM);
            }
            Err(Interrupted) => {
                queue.stop();
                stopped.get_or_insert_with(|| problem("interrupted", Exit::Inconclusive));
            }
        }
    }
}

fn take(job: Job, judged: &Judged, matrix: &mut Matrix<'_>) {
    // Of hundreds of runs, what the broker held is too much to keep; the history says what it was.
    let _ = fs::remove_dir_all(judged.directory.join("broker"));
    match job {
        Job::Correct(at) => matrix.correct(at, judged.results.verdict, judged.directory.clone()),
        Job::Broken(at) => matrix.broken(at, &judged.results, &judged.directory),
    }
}

/// Carries out one job after another.
fn work(queue: &Queue, cases: &Cases, out: &Path, told: &UnboundedSender<Outcome>) {
    while let Some(job) = queue.next() {
        let (plan, whose) = job.of(cases);
        let outcome = carry_out_quietly(plan, &out.join(plan.backend.name()).join(whose));
        queue.done(plan.backend);
        // Nobody listens any more only where there is nothing more to tell.
        let _ = told.send((job, outcome));
    }
}

impl Job {
    /// Its plan, and whose runs it is one of.
    fn of(self, cases: &Cases) -> (&Plan, &'static str) {
        match self {
            Self::Correct(at) => (&cases.grounds[at].plan, "correct"),
            Self::Broken(at) => (&cases.planted[at].plan, cases.planted[at].defect.name),
        }
    }
}

/// The jobs that are still to be done.
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Runs on RabbitMQ at a time.
    most: usize,
}

struct Waiting {
    jobs: VecDeque<(Job, Backend)>,
    on_rabbitmq: usize,
}

impl Queue {
    /// Those on RabbitMQ come first, because they take longest; and of each backend the correct
    /// system, because whether a defect was caught depends on it.
    fn new(cases: &Cases, most: usize) -> Self {
        let correct = cases.grounds.iter().enumerate();
        let correct = correct.map(|(at, ground)| (Job::Correct(at), ground.backend));
        let broken = cases.planted.iter().enumerate();
        let broken = broken.map(|(at, planted)| (Job::Broken(at), planted.backend));
        let mut jobs: Vec<_> = correct.chain(broken).collect();
        jobs.sort_by_key(|(_, backend)| *backend != Backend::RabbitMq);
        let waiting = Waiting { jobs: jobs.into(), on_rabbitmq: 0 };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new(), most }
    }

    /// The next one that has its room; nothing where none is left.
    fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if waiting.jobs.is_empty() {
                return None;
            }
            let full = waiting.on_rabbitmq >= self.most;
            let may_run = |(_, backend): &(Job, Backend)| !full || *backend != Backend::RabbitMq;
            if let Some((job, backend)) =
                waiting.jobs.iter().position(may_run).and_then(|at| waiting.jobs.remove(at))
            {
                waiting.on_rabbitmq += usize::from(backend == Backend::RabbitMq);
                return Some(job);
            }
            waiting = self.changed.wait(waiting).expect("no holder panics");
        }
    }

    fn done(&self, backend: Backend) {
        self.lock().on_rabbitmq -= usize::from(backend == Backend::RabbitMq);
        self.changed.notify_all();
    }

    /// Nothing more is begun.
    fn stop(&self) {
        self.lock().jobs.clear();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no holder panics")
    }
}
