//! The process of a server, which a fault may end and replace.

use std::cell::Cell;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use tokio::process::Child;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::Unavailable;
use super::downtime::Downtime;
use super::process::state_of;
use super::server::Seen;

/// How long a server may take to end in good order.
const GRACE: Duration = Duration::from_secs(60);

/// How long the operating system may take to carry out a signal.
const SIGNAL: Duration = Duration::from_secs(5);

/// A server's process, leader of a group of its own. The group ends when this is dropped.
pub(super) struct Life {
    child: Mutex<Child>,
    pid: Cell<u32>,
    /// A fault has ended it, and is about to replace it.
    down: Downtime,
}

impl Life {
    pub(super) fn of(child: Child) -> Self {
        let pid = child.id().unwrap_or_default();
        Self { child: Mutex::new(child), pid: Cell::new(pid), down: Downtime::default() }
    }

    /// Waits until it has ended though no fault ended it.
    pub(super) async fn ended(&self) -> std::io::Result<ExitStatus> {
        let end = async || {
            let pid = self.pid.get();
            let status = self.child.lock().await.wait().await;
            (self.pid.get() == pid).then_some(status)
        };
        self.down.unmeant(end).await
    }

    /// Kills it (SIGKILL), with all that it started.
    pub(super) async fn kill(&self) -> Seen {
        self.down.begin();
        kill_group(self.pid.get());
        self.its_end().await
    }

    /// Asks it to end (SIGTERM).
    pub(super) async fn stop(&self) -> Seen {
        self.down.begin();
        self.signal(Signal::TERM);
        timeout(GRACE, self.its_end()).await.unwrap_or_else(|_| {
            Err(Unavailable(format!("process {} did not end within {GRACE:?}", self.pid.get())))
        })
    }

    async fn its_end(&self) -> Seen {
        let pid = self.pid.get();
        let ended = self.child.lock().await.wait().await;
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        Ok(format!("process {pid} ended ({how})"))
    }

    /// Puts what `start` starts in its place.
    pub(super) async fn begin_again(
        &self,
        start: impl Future<Output = Result<Child, Unavailable>>,
    ) -> Seen {
        let started = start.await.map(|new| async {
            self.pid.set(new.id().unwrap_or_default());
            *self.child.lock().await = new;
        });
        match started {
            Ok(put) => put.await,
            Err(error) => {
                // Those who watch for its end learn of it.
                self.down.end();
                return Err(error);
            }
        }
        self.down.end();
        Ok(format!("now process {}", self.pid.get()))
    }

    /// Stops it (SIGSTOP).
    pub(super) async fn pause(&self) -> Seen {
        self.signal(Signal::STOP);
        self.becomes(true).await
    }

    /// Lets it go on (SIGCONT).
    pub(super) async fn resume(&self) -> Seen {
        self.signal(Signal::CONT);
        self.becomes(false).await
    }

    async fn becomes(&self, stopped: bool) -> Seen {
        let pid = self.pid.get();
        let deadline = Instant::now() + SIGNAL;
        while Instant::now() < deadline {
            if state_of(pid).is_some_and(|state| (state == 'T') == stopped) {
                let is = if stopped { "is stopped (state T)" } else { "goes on" };
                return Ok(format!("process {pid} {is}"));
            }
            sleep(Duration::from_millis(1)).await;
        }
        Err(Unavailable(format!("process {pid} does not heed the signal")))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid.get()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // The server may have processes of its own.
        kill_group(self.pid.get());
        // The harness is not to be gone before it. Whoever reaps children finds it where it is.
        if let Some(leader) = i32::try_from(self.pid.get()).ok().and_then(Pid::from_raw) {
            let _ = waitid(WaitId::Pid(leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        }
    }
}

fn kill_group(pid: u32) {
    if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Removes what is in a directory below the one that a server has to itself, the directory too.
pub(super) fn remove(data: &Path) -> Seen {
    let removed = std::fs::remove_dir_all(data);
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Unavailable(format!("cannot remove {}: {error}", data.display())))
        }
        _ => Ok("its data removed".to_owned()),
    }
}
