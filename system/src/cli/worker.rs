//! `ttg worker`.

use std::rc::Rc;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use tokio::sync::watch;

use super::args::{BrokerArgs, LogArgs, SweepArgs};
use super::mode::BrokerIsSaid;
use super::progress::Shown;
use super::values::{seconds, seconds_above_0, switch};
use super::{Ended, Failed, Hooks, Signals, print_json};
use crate::chunk::Sweep;
use crate::kernel::{Distinct, Exec, Identity, Kernel, Reference, Slow};
use crate::limit::DeadLetterLimit;
use crate::queue::{self, Broker, Settings};
use crate::worker::{Batch, Options, Status, Summary, WorkerError};
use crate::{coordinator, static_mode, worker};

/// Work per claim where chunks are small, and most chunks of one.
const BATCH: (Duration, usize) = (Duration::from_millis(20), Batch::MOST);

/// Most times the simulated work that a slow chunk may take.
const SLOW_BOUND: f64 = 1e6;

/// Numbers that a worker may have.
const WORKER_BOUND: u64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KernelName {
    /// The wire contract's: its values come again every 1000 parameters.
    Reference,
    /// One of which no two parameters have the same value.
    Distinct,
    /// A program of yours.
    Exec,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The exec kernel keeps a program of yours running and gives it one JSON line per chunk:
  {\"chunk_id\":\"00042\",\"start_param\":4200,\"end_param\":4300}
It answers with one line: {\"values\":[…]}, {\"sum\":…,\"count\":…,\"min\":…,\"max\":…}
or {\"error\":\"…\"}. Example:
  ttg worker --backend redis --kernel exec -- python3 my_function.py")]
pub(super) struct Args {
    // First: it looks at the flags that follow before they are taken out.
    #[command(flatten)]
    broker_is_said: BrokerIsSaid,
    /// true: take chunks from the broker; false: compute a fixed share of the range [default: false,
    /// but true where a flag or EMBEDDED_PATH names a broker].
    #[arg(long, env = "USE_QUEUE", value_parser = switch, value_name = "BOOL")]
    use_queue: Option<bool>,
    /// Number of this worker [env: WORKER_ID, JOB_COMPLETION_INDEX, or the end of WORKER_NAME]
    /// [default: 0]
    #[arg(long, env = "WORKER_ID", hide_env = true)]
    worker_id: Option<u64>,
    #[arg(long, env = "JOB_COMPLETION_INDEX", hide = true)]
    job_completion_index: Option<u64>,
    /// A name that ends in the worker's number, where that is all there is: a StatefulSet's Pod's.
    #[arg(long, env = "WORKER_NAME", hide = true)]
    worker_name: Option<String>,
    /// Worker 0 submits the sweep before it works, where there is no coordinator.
    #[arg(long, env = "COORDINATE", default_value = "false", value_parser = switch,
        num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    coordinate: bool,
    /// Leave after this many seconds without a chunk, if none is open anywhere.
    #[arg(long, env = "IDLE_TIMEOUT_SECONDS", default_value = "30", value_parser = seconds)]
    idle_timeout_seconds: Duration,
    /// How long a chunk may take on after a request to stop, before it is given back.
    #[arg(long, env = "STOP_GRACE_SECONDS", default_value = "2", value_parser = seconds)]
    stop_grace_seconds: Duration,
    /// Give the sweep up, and fail, once more of its chunks than this are dead: so many, or a share such
    /// as 5%.
    #[arg(long, env = "MAX_DEAD_LETTERS", value_name = "N|P%")]
    max_dead_letters: Option<DeadLetterLimit>,
    /// Static mode: how many workers share the range.
    #[arg(long, env = "TOTAL_WORKERS", default_value_t = 3)]
    total_workers: u64,
    /// Static mode: parameters per batch.
    #[arg(long, env = "BATCH_SIZE", default_value_t = 100)]
    batch_size: u64,
    /// Pod that this worker is in, for its summary.
    #[arg(long, env = "POD_NAME")]
    pod_name: Option<String>,
    /// Node that its Pod is on, for its summary.
    #[arg(long, env = "NODE_NAME")]
    node_name: Option<String>,
    #[command(flatten)]
    kernel: KernelArgs,
    #[command(flatten)]
    sweep: SweepArgs,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, clap::Args)]
struct KernelArgs {
    /// What is applied to every parameter.
    #[arg(long, env = "KERNEL", default_value = "reference", help_heading = "Kernel")]
    kernel: KernelName,
    /// Milliseconds of simulated work per parameter of a built-in kernel.
    #[arg(long, env = "SIMULATE_WORK_MS", default_value_t = 1.0, help_heading = "Kernel")]
    simulate_work_ms: f64,
    /// Share of the chunks that take longer, from 0 to 1; which ones follows from --seed.
    #[arg(long, env = "SIMULATE_SLOW_SHARE", default_value_t = 0.0, help_heading = "Kernel")]
    simulate_slow_share: f64,
    /// How many times the simulated work those take.
    #[arg(long, env = "SIMULATE_SLOW_FACTOR", default_value_t = 10.0, help_heading = "Kernel")]
    simulate_slow_factor: f64,
    /// Chance of a chunk to fail, to exercise retries and dead letters.
    #[arg(long, env = "SIMULATE_FAULT_RATE", default_value_t = 0.0, help_heading = "Kernel")]
    simulate_fault_rate: f64,
    /// Seed of those failures, which without one differ from run to run, and of the slow chunks,
    /// which without one are those of seed 0, so that all workers agree on them.
    #[arg(long, env = "SEED", help_heading = "Kernel")]
    seed: Option<u64>,
    /// The exec kernel's program and arguments as a JSON array, instead of the ones after --.
    #[arg(long, env = "KERNEL_COMMAND", help_heading = "Kernel", value_name = "JSON")]
    kernel_command: Option<String>,
    /// Seconds after which a chunk of the exec kernel fails; without, it may take for ever.
    #[arg(long, env = "KERNEL_TIMEOUT_SECONDS", value_parser = seconds_above_0, help_heading = "Kernel")]
    kernel_timeout_seconds: Option<Duration>,
    /// Take part in a sweep that another program has computed, which is refused otherwise: say it where
    /// both compute the same, as after a change of a comment. In queue mode; see the runbook.
    #[arg(long, env = "SAME_KERNEL", default_value = "false", value_parser = switch, num_args = 0..=1,
        default_missing_value = "true", require_equals = true, value_name = "BOOL", help_heading = "Kernel")]
    same_kernel: bool,
    /// The exec kernel's program and arguments.
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

impl KernelArgs {
    fn build(&self) -> Result<Box<dyn Kernel>, Failed> {
        if !(0.0..=1.0).contains(&self.simulate_fault_rate) {
            let rate = self.simulate_fault_rate;
            return usage(format!("--simulate-fault-rate is {rate}, not between 0 and 1"));
        }
        let slow = self.slow()?;
        match self.kernel {
            KernelName::Reference => Ok(Box::new(Reference { work: self.work()?, slow })),
            KernelName::Distinct => Ok(Box::new(Distinct { work: self.work()?, slow })),
            KernelName::Exec => {
                Ok(Box::new(Exec::new(self.command()?, self.kernel_timeout_seconds).tied()))
            }
        }
    }

    /// The exec kernel's program and arguments.
    fn command(&self) -> Result<Vec<String>, Failed> {
        let command = match &self.kernel_command {
            Some(json) => serde_json::from_str(json).map_err(|error| {
                Failed::Usage(format!("--kernel-command is not a JSON array: {error}"))
            })?,
            None => self.program.clone(),
        };
        if command.is_empty() {
            return usage("the exec kernel needs a program after --".to_owned());
        }
        Ok(command)
    }

    /// What is built. Files are read beside the runtime's thread: a request to stop does not wait for them.
    async fn identity(&self) -> Result<Identity, Failed> {
        match self.kernel {
            KernelName::Reference => Ok(Identity::built_in("reference")),
            KernelName::Distinct => Ok(Identity::built_in("distinct")),
            KernelName::Exec => {
                let command = self.command()?;
                let read = tokio::task::spawn_blocking(move || Identity::of_program(&command));
                read.await.map_err(|error| Failed::Other(error.to_string()))
            }
        }
    }
}

impl KernelArgs {
    fn work(&self) -> Result<Duration, Failed> {
        let work = self.simulate_work_ms;
        Duration::try_from_secs_f64(work / 1000.0)
            .or_else(|_| usage(format!("--simulate-work-ms is {work}, not a time")))
    }

    fn slow(&self) -> Result<Slow, Failed> {
        let (share, factor) = (self.simulate_slow_share, self.simulate_slow_factor);
        if !(0.0..=1.0).contains(&share) {
            return usage(format!("--simulate-slow-share is {share}, not between 0 and 1"));
        }
        if !(1.0..=SLOW_BOUND).contains(&factor) {
            return usage(format!(
                "--simulate-slow-factor is {factor}, not between 1 and {SLOW_BOUND}"
            ));
        }
        Ok(Slow { seed: self.seed.unwrap_or(0), share, factor })
    }
}

impl Args {
    fn number(&self) -> Result<u64, Failed> {
        if let Some(number) = self.worker_id.or(self.job_completion_index) {
            return Ok(number);
        }
        let Some(name) = &self.worker_name else { return Ok(0) };
        let number = name.rsplit('-').next().and_then(|end| end.parse().ok());
        number.ok_or_else(|| {
            Failed::Usage(format!("--worker-name is {name:?}, not a name with -NUMBER at its end"))
        })
    }
}

fn usage<T>(message: String) -> Result<T, Failed> {
    Err(Failed::Usage(message))
}

pub(super) async fn run(args: Args, hooks: &Hooks) -> Result<Ended, Failed> {
    args.log.start();
    let uses_queue = args.broker_is_said.uses_queue(args.use_queue)?;
    let number = args.number()?;
    if number >= WORKER_BOUND {
        return usage(format!("--worker-id is {number}, not below {WORKER_BOUND}"));
    }
    let submits = args.coordinate && uses_queue && number == 0;
    let sweep = if submits { args.sweep.submittable()? } else { args.sweep.sweep()? };
    let kernel = args.kernel.build()?;
    let signals = Signals::listen(args.stop_grace_seconds)?;
    let (summary, failure) = if uses_queue {
        run_queue(&args, number, &sweep, kernel, (hooks, &signals)).await?
    } else {
        run_static(&args, number, &sweep, kernel, &signals).await?
    };
    let printed = print_json(&printed(&args, uses_queue, number, &sweep, &summary));
    match (failure, summary.status) {
        (Some(failure), _) => Err(failure),
        (None, Status::Interrupted) => Ok(Ended::Interrupted(signals.number())),
        (None, _) => printed.map(|()| Ended::Finished),
    }
}

/// The summary with what it is about.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_backend: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range_end: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_name: Option<&'a str>,
}

fn printed<'a>(
    args: &'a Args,
    uses_queue: bool,
    number: u64,
    sweep: &Sweep,
    summary: &'a Summary,
) -> Printed<'a> {
    let share = (!uses_queue).then(|| sweep.share(number, args.total_workers));
    let backend = uses_queue.then(|| args.broker.backend_name());
    Printed {
        summary,
        mode: if uses_queue { "queue" } else { "static" },
        queue_backend: backend.flatten(),
        range_start: share.map(|(start, _)| start),
        range_end: share.map(|(_, end)| end),
        pod_name: args.pod_name.as_deref().filter(|name| !name.is_empty()),
        node_name: args.node_name.as_deref().filter(|name| !name.is_empty()),
    }
}

type Outcome = Result<(Summary, Option<Failed>), Failed>;

async fn run_queue(
    args: &Args,
    number: u64,
    sweep: &Sweep,
    kernel: Box<dyn Kernel>,
    (hooks, signals): (&Hooks, &Signals),
) -> Outcome {
    let settings = args.broker.settings(hooks)?;
    let settings = Settings {
        creates: args.coordinate && number == 0,
        // Nobody waits longer for a file than for what is to be in it.
        first_contact: settings.patience.min(args.idle_timeout_seconds),
        ..settings
    };
    let name = format!("worker-{number}");
    let ended = |status| Summary::new(&name).end(status, Duration::ZERO);
    let signed_on = sign_on(args, number, sweep, &settings, hooks);
    let ready = async { Ok::<_, Failed>((args.kernel.identity().await?, signed_on.await?)) };
    let (identity, queue) = match signals.unless_asked(ready).await {
        Ok(ready) => ready,
        Err(Failed::Interrupted(_)) => return Ok((ended(Status::Interrupted), None)),
        Err(error) => return Ok((ended(Status::Failed), Some(error))),
    };
    let options = Options {
        name,
        idle_timeout: args.idle_timeout_seconds,
        lease: settings.lease,
        takeover_interval: settings.takeover_interval,
        stop_grace: args.stop_grace_seconds,
        batch: Batch::new(BATCH.0, BATCH.1),
        fault_rate: args.kernel.simulate_fault_rate,
        seed: args.kernel.seed.unwrap_or_else(|| fastrand::u64(..)),
        identity,
        same_kernel: args.kernel.same_kernel,
        so_far: Rc::default(),
    };
    let shown = Shown::worker(&options.name, &settings.address, &queue, &options.so_far);
    let Some(limit) = args.max_dead_letters else {
        let work = worker::run(queue, kernel, options, signals.stop.clone());
        let (summary, outcome) = shown.beside(work).await;
        return Ok((summary, outcome.err().map(Failed::from)));
    };
    // Whoever gives up ends as one that is asked to stop: its chunk may be finished.
    let (stop, stopped) = watch::channel(false);
    let onlooker: Rc<dyn Broker> = Rc::clone(&queue);
    let watching = async {
        let given_up = tokio::select! {
            () = signals.asked() => None,
            given_up = limit.exceeded(&*onlooker) => Some(given_up),
        };
        let _ = stop.send(true);
        given_up
    };
    let mut work = std::pin::pin!(shown.beside(worker::run(queue, kernel, options, stopped)));
    let (worked, given_up) = tokio::select! {
        worked = &mut work => (worked, None),
        given_up = watching => (work.await, given_up),
    };
    let (mut summary, outcome) = worked;
    let failure = match (outcome, given_up) {
        (Err(error), _) => Some(error.into()),
        (Ok(()), Some(Ok(reason))) => Some(Failed::Other(reason)),
        (Ok(()), Some(Err(error))) => Some(error.into()),
        (Ok(()), None) => None,
    };
    if failure.is_some() {
        summary.status = Status::Failed;
    }
    Ok((summary, failure))
}

impl From<WorkerError> for Failed {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Queue(error) => Self::Queue(error),
            other => Self::Other(other.to_string()),
        }
    }
}

async fn sign_on(
    args: &Args,
    number: u64,
    sweep: &Sweep,
    settings: &Settings,
    hooks: &Hooks,
) -> queue::Result<Rc<dyn Broker>> {
    let queue = hooks.connect(settings, Some(&format!("worker-{number}"))).await?;
    if args.coordinate && number == 0 {
        coordinator::run(&*queue, sweep, None).await?;
    }
    Ok(queue)
}

async fn run_static(
    args: &Args,
    number: u64,
    sweep: &Sweep,
    mut kernel: Box<dyn Kernel>,
    signals: &Signals,
) -> Outcome {
    if number >= args.total_workers {
        let workers = args.total_workers;
        return usage(format!(
            "--worker-id is {number}, but of {workers} workers the last is {}",
            workers.saturating_sub(1)
        ));
    }
    if args.batch_size == 0 {
        return usage("--batch-size is 0, but a batch needs at least 1 parameter".to_owned());
    }
    tracing::info!(
        number,
        of = args.total_workers,
        "static mode: this worker computes a fixed share of the range and asks no broker (it would with \
         USE_QUEUE=true)"
    );
    let sweep = Sweep { chunk_size: args.batch_size, ..*sweep };
    let mut out = std::io::stdout();
    let workers = args.total_workers;
    let stop = (&signals.stop, args.stop_grace_seconds);
    let (summary, outcome) =
        static_mode::run(&sweep, number, workers, &mut *kernel, &mut out, stop).await;
    Ok((summary, outcome.err().map(Failed::Other)))
}
