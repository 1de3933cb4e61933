//! Ends what a run would leave behind, however the harness itself ends.
//!
//! The guard ties the harness's own children to it, and the reapers end what those have started. What has no
//! reaper, such as a program that computes chunks again, or a container, may outlive a SIGKILL of the
//! harness. So a process beside the harness waits for the end of the pipe between them, which comes with the end
//! of the run or of the harness, and then kills everything that carries the run's mark.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Unavailable;
use crate::docker::{Engine, Which, sweep};
use crate::kubernetes;
use crate::plan::ClusterChoice;
use rustix::process::{Pid, Signal, kill_process};

/// The hidden subcommand that leads here: `harness janitor <mark>`.
pub const SUBCOMMAND: &str = "janitor";

/// The variable that marks every process of a run, and what they start.
pub const VARIABLE: &str = "TTG_HARNESS_RUN";

/// Says that the run has containers.
pub const CONTAINERS: &str = "--containers";

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to look for more: a process may have started another before it was killed.
const LOOK: Duration = Duration::from_millis(2);

/// The janitor of a run, as the harness has it. Dropping it ends what is left of the run.
pub(super) struct Janitor {
    child: Child,
    mark: OsString,
}

impl Janitor {
    /// Starts the one of the run that has this directory to itself.
    /// `arguments` say where else it has something.
    pub(super) fn start(directory: &Path, arguments: &[String]) -> io::Result<Self> {
        let mark = std::path::absolute(directory)?.into_os_string();
        let child = Command::new(std::env::current_exe()?)
            .arg(SUBCOMMAND)
            .arg(&mark)
            .args(arguments)
            .env_remove(VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the harness.
            .process_group(0)
            .spawn()?;
        Ok(Self { child, mark })
    }

    /// What [`VARIABLE`] is in every process of the run.
    pub(super) fn mark(&self) -> &OsStr {
        &self.mark
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It bounds its own work.
        let _ = self.child.wait();
    }
}

/// Is the janitor of the run with this mark, and of its containers or its Pods, if it has any.
pub fn main(mark: &OsStr, has_containers: bool, on: &ClusterChoice) {
    // An error is an end too.
    let _ = io::stdin().read_to_end(&mut Vec::new());
    if has_containers {
        on_runtime(remove_containers());
    }
    if on.context.is_some() {
        on_runtime(remove_pods(on));
    }
    let mut entry = OsString::from(VARIABLE);
    entry.push("=");
    entry.push(mark);
    let begun = Instant::now();
    loop {
        let left = carrying(entry.as_bytes());
        if left.is_empty() || begun.elapsed() > PATIENCE {
            return;
        }
        for process in left {
            // It may have ended by itself.
            let _ = kill_process(process, Signal::KILL);
        }
        sleep(LOOK);
    }
}

fn on_runtime(work: impl Future<Output = Result<(), Unavailable>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    // Whoever starts next removes what this could not.
    let _ = runtime.block_on(work);
}

/// Removes the containers of harnesses that are dead: the run's, if it was not the run that ended.
async fn remove_containers() -> Result<(), Unavailable> {
    let engine = Engine::connect().await?;
    sweep(&engine, &Which::DeadOwners).await.map(drop)
}

/// The same of what they have on a cluster.
async fn remove_pods(on: &ClusterChoice) -> Result<(), Unavailable> {
    let cluster = kubernetes::Cluster::connect(on.context.as_deref()).await?;
    let place = kubernetes::Where::of(on.namespace.as_deref());
    kubernetes::sweep(&cluster, place, &kubernetes::Which::DeadOwners).await.map(drop)
}

/// Living processes with this entry in the environment that they were started with.
fn carrying(entry: &[u8]) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let carries = |process: &fs::DirEntry| {
        // Others' processes cannot be read, and dead ones have no environment.
        fs::read(process.path().join("environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|it| it == entry))
    };
    processes
        .flatten()
        .filter(carries)
        .filter_map(|process| Pid::from_raw(process.file_name().to_str()?.parse().ok()?))
        .collect()
}
