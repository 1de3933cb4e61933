//! `kill`: SIGKILL. Nobody gets a chance to say anything. A broker comes back, on the same port and
//! with its data, at once or after a time (`for`).

use std::rc::Rc;

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::time::timeout;

use super::entry::PROCESSES_AND_BROKER;
use super::{Ends, Entry, Fault, Lasts, Proof, SIGNAL, Site, describe};
use crate::environment::{Process, Seen, Server};
use crate::plan::{FaultKind, KillBy, PlannedFault};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Kill,
    name: "kill",
    does: "SIGKILL, or for a worker's Pod `by: delete` with no grace; a broker starts again on the same port with its data, after `for`",
    proof: "it ended by signal 9; a deleted Pod is gone",
    did: "killed",
    on: PROCESSES_AND_BROKER,
    lasts: Lasts::May,
    needs: &[],
    takes: &["by"],
    ends: Ends::Killed,
    orphans: true,
    refuse: Site::anywhere,
};

/// Sends SIGKILL to a process or to the broker.
pub(super) struct Kill;

#[async_trait(?Send)]
impl Fault for Kill {
    async fn inject(&self, _: &Rc<Stage>, fault: &PlannedFault, victim: &Process) -> Proof {
        if fault.settings.by == KillBy::Delete {
            return delete(victim).await;
        }
        let sent = victim.signal(Signal::KILL).await;
        if !sent && timeout(SIGNAL, victim.ended()).await.is_err() {
            return Proof::missed(format!("{} cannot be sent a signal", victim.describe()));
        }
        let exit = victim.ended().await;
        let seen = format!("{} {}", victim.describe(), describe(exit));
        if exit.signal == Some(Signal::KILL.as_raw()) {
            Proof::bit(seen)
        } else {
            Proof::missed(seen)
        }
    }

    async fn inject_broker(&self, _: &PlannedFault, server: &dyn Server) -> Proof {
        Proof::of(server.kill().await)
    }

    async fn heal_broker(&self, _: &PlannedFault, server: &dyn Server) -> Seen {
        server.start_again().await
    }
}

/// Deletes a Pod. The kubelet ends its processes as it likes; a victim is stopped by then, so that it
/// does nothing more.
async fn delete(victim: &Process) -> Proof {
    let Some(container) = victim.container() else { return Proof::missed("it is in no Pod") };
    let deleted = container.delete().await;
    if deleted.is_ok() {
        victim.ended().await;
    }
    Proof::of(deleted)
}
