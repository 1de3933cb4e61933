//! The real program, in processes of its own.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use ttg_system::queue::{Address, Settings};

use super::bench::PATIENCE;

/// How often the state of a process is looked at: there is no event to wait for.
const LOOK: Duration = Duration::from_millis(2);

/// `ttg` with these arguments and nothing of this process's environment that it would heed.
pub(crate) fn ttg(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ttg"));
    command.args(arguments).env_clear();
    for kept in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command.env("NO_COLOR", "1").env("COLUMNS", "100").env("USE_QUEUE", "true");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The environment that leads to a broker.
pub(crate) fn broker_environment(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut environment = settings.address.environment();
    if let Address::RabbitMq(server) = &settings.address {
        environment.extend([
            ("RABBITMQ_QUEUE_TYPE", format!("{:?}", server.queues.kind).to_lowercase()),
            ("RABBITMQ_TASK_QUEUE", server.queues.tasks.clone()),
            ("RABBITMQ_RESULT_QUEUE", server.queues.results.clone()),
            ("RABBITMQ_RETRY_QUEUE", server.queues.retry.clone()),
            ("RABBITMQ_DLQ_QUEUE", server.queues.letters.clone()),
        ]);
    }
    environment.extend([
        ("STALE_THRESHOLD_MS", settings.lease.as_millis().to_string()),
        ("STALE_CHECK_INTERVAL_SECONDS", settings.takeover_interval.as_secs_f64().to_string()),
        ("MAX_RETRIES", settings.max_retries.to_string()),
        ("RETRY_DELAY_MS", settings.retry_delay.as_millis().to_string()),
    ]);
    environment
}

/// A process that is killed when it is dropped.
pub(crate) struct Process(Child);

pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The last line of standard output, which must be JSON.
    pub(crate) fn summary(&self) -> serde_json::Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, stdout, stderr } = self;
        write!(f, "{status}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program starts"))
    }

    /// A worker on the broker of the settings.
    pub(crate) fn worker(settings: &Settings, number: u32, work_ms: f64) -> Self {
        Self::start(
            ttg(&["worker"])
                .envs(broker_environment(settings))
                .env("WORKER_ID", number.to_string())
                .env("SIMULATE_WORK_MS", work_ms.to_string()),
        )
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// As `kill -9`, and gone when this returns.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("a child of ours");
    }

    /// Waits for its end. What it writes must fit into a pipe.
    pub(crate) fn end(mut self) -> Ended {
        let status = wait_for(2 * PATIENCE, "the program's end", || {
            self.0.try_wait().expect("a child of ours")
        });
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.0.stdout.take().map(|mut out| out.read_to_string(&mut stdout));
        self.0.stderr.take().map(|mut err| err.read_to_string(&mut stderr));
        Ended { status, stdout, stderr }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("a process of ours");
}

/// Looks again and again until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "it never came about that {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits, on this thread, until something is there.
pub(crate) fn wait_for<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(LOOK);
    }
}

/// How long this thread has had a processor: other programs make no difference.
pub(crate) fn worked() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanoseconds = told.split(' ').next().and_then(|told| told.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}
