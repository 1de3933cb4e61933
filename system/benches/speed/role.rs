//! The real program in one of its roles: how long it took, and how much memory at most.

use std::cell::Cell;
use std::fs;
use std::process::Stdio;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::try_join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::{MissedTickBehavior, interval, timeout};
use ttg_system::queue::Settings;

use crate::outcome::{Outcome, Unmeasured, failed};
use crate::support::process::{broker_environment, ttg};

/// How often a process is asked for its peak of memory, which is gone with it.
const MEMORY_POLL: Duration = Duration::from_millis(10);

/// How often it is looked whether a killed process is gone.
const EXIT_POLL: Duration = Duration::from_micros(200);

/// After so long a process that was killed is left to the kernel.
const KILLED: Duration = Duration::from_secs(1);

/// What a role that was asked to stop exits with.
const TERMINATED: i32 = 128 + Signal::TERM.as_raw();

/// A process, which is killed when it is dropped.
pub(crate) struct Role {
    child: Child,
    begun: Instant,
    peak_kb: u64,
    is_asked_to_stop: Rc<Cell<bool>>,
}

/// Asks a role to stop, as Kubernetes does.
pub(crate) struct Stopper {
    pid: Option<u32>,
    is_used: Rc<Cell<bool>>,
}

impl Stopper {
    pub(crate) fn stop(&self) {
        self.is_used.set(true);
        if let Some(pid) = self.pid.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// How a role ended.
pub(crate) struct Ended {
    pub(crate) took: Duration,
    /// Since 1970.
    pub(crate) at_ms: f64,
    pub(crate) peak_mb: f64,
}

impl Role {
    pub(crate) fn start(settings: &Settings, words: &[&str]) -> Outcome<Self> {
        let mut command = Command::from(ttg(words));
        command.envs(broker_environment(settings)).env("LOG_LEVEL", "ERROR").stdout(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn().map_err(failed)?;
        Ok(Self { child, begun, peak_kb: 0, is_asked_to_stop: Rc::default() })
    }

    /// A coordinator of a sweep of so many chunks of one parameter, in place of any other sweep.
    pub(crate) fn coordinator(settings: &Settings, chunks: u64) -> Outcome<Self> {
        let chunks = chunks.to_string();
        let sweep = ["--total-parameters", &chunks, "--chunk-size", "1"];
        Self::start(settings, &[&["coordinator", "--reset"], &sweep[..]].concat())
    }

    /// A worker whose chunks take so long.
    pub(crate) fn worker(settings: &Settings, number: u32, work_ms: u64) -> Outcome<Self> {
        let (id, work_ms) = (number.to_string(), work_ms.to_string());
        Self::start(settings, &["worker", "--worker-id", &id, "--simulate-work-ms", &work_ms])
    }

    /// What stops it while its end is awaited.
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper { pid: self.child.id(), is_used: Rc::clone(&self.is_asked_to_stop) }
    }

    async fn end(mut self) -> Outcome<Ended> {
        let mut poll = interval(MEMORY_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let status = loop {
            tokio::select! {
                biased;
                status = self.child.wait() => break status.map_err(failed)?,
                _ = poll.tick() => self.look_at_memory(),
            }
        };
        let took = self.begun.elapsed();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_err(failed)?;
        let has_stopped = self.is_asked_to_stop.get() && status.code() == Some(TERMINATED);
        if !(status.success() || has_stopped) {
            let mut said = String::new();
            if let Some(stderr) = &mut self.child.stderr {
                let _ = stderr.read_to_string(&mut said).await;
            }
            return Err(Unmeasured::Failed(format!("{status}: {}", said.trim())));
        }
        let peak_mb = self.peak_kb as f64 / 1000.0;
        Ok(Ended { took, at_ms: at.as_secs_f64() * 1000.0, peak_mb })
    }

    fn look_at_memory(&mut self) {
        let Some(id) = self.child.id() else { return };
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak: Option<u64> = peak.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok());
        self.peak_kb = peak.unwrap_or_default().max(self.peak_kb);
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // What it has open is removed next.
        let begun = Instant::now();
        let _ = self.child.start_kill();
        while let Ok(None) = self.child.try_wait()
            && begun.elapsed() < KILLED
        {
            thread::sleep(EXIT_POLL);
        }
    }
}

/// Waits for the end of all. After `bound` they are killed.
pub(crate) async fn all_ended(roles: Vec<Role>, bound: Duration) -> Outcome<Vec<Ended>> {
    let ended = timeout(bound, try_join_all(roles.into_iter().map(Role::end))).await;
    ended.map_err(|_| Unmeasured::TimedOut(bound))?
}

/// The same for one.
pub(crate) async fn ended(role: Role, bound: Duration) -> Outcome<Ended> {
    timeout(bound, role.end()).await.map_err(|_| Unmeasured::TimedOut(bound))?
}
