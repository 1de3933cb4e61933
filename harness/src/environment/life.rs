//! The process of a server, which a fault may end and replace.

use std::cell::Cell;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::sync::{Mutex, watch};

use super::Unavailable;

/// A server's process, leader of a group of its own. The group ends when this is dropped.
pub(super) struct Life {
    child: Mutex<Child>,
    pid: Cell<u32>,
    /// A fault has ended it, and is about to replace it.
    is_down: watch::Sender<bool>,
}

impl Life {
    pub(super) fn of(child: Child) -> Self {
        let pid = child.id().unwrap_or_default();
        Self { child: Mutex::new(child), pid: Cell::new(pid), is_down: watch::Sender::new(false) }
    }

    /// Waits until it has ended though no fault ended it.
    pub(super) async fn ended(&self) -> std::io::Result<ExitStatus> {
        loop {
            let _ = self.is_down.subscribe().wait_for(|down| !down).await;
            let pid = self.pid.get();
            let status = self.child.lock().await.wait().await;
            if !*self.is_down.borrow() && self.pid.get() == pid {
                return status;
            }
        }
    }

    /// Kills it (SIGKILL), and puts what `start` starts in its place. Returns what was seen
    /// of both.
    pub(super) async fn replace(
        &self,
        start: impl Future<Output = Result<Child, Unavailable>>,
    ) -> Result<String, Unavailable> {
        self.is_down.send_replace(true);
        let before = self.pid.get();
        kill_group(before);
        let mut child = self.child.lock().await;
        let ended = child.wait().await;
        let started = start.await.map(|new| {
            self.pid.set(new.id().unwrap_or_default());
            *child = new;
        });
        drop(child);
        self.is_down.send_replace(false);
        started?;
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        Ok(format!("process {before} ended ({how}), now process {}", self.pid.get()))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // The server may have processes of its own.
        kill_group(self.pid.get());
    }
}

fn kill_group(pid: u32) {
    if let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}
