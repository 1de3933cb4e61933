//! `pause`: SIGSTOP for a while, then SIGCONT. The process, or the broker, loses time without
//! knowing.

use std::rc::Rc;

use async_trait::async_trait;
use rustix::process::Signal;

use super::entry::PROCESSES_AND_BROKER;
use super::{Ends, Entry, Fault, Lasts, Proof, Site, becomes_stopped};
use crate::environment::{Process, Seen, Server};
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Pause,
    name: "pause",
    does: "SIGSTOP for a time, then SIGCONT; a broker in a container is frozen by the engine",
    proof: "the kernel (or the engine) says that it is stopped",
    did: "paused",
    on: PROCESSES_AND_BROKER,
    lasts: Lasts::Must,
    needs: &[],
    takes: &[],
    ends: Ends::No,
    orphans: true,
    refuse: Site::anywhere,
};

/// Stops a process or the broker with SIGSTOP, and continues it after a time.
pub(super) struct Pause;

#[async_trait(?Send)]
impl Fault for Pause {
    async fn inject(&self, _: &Rc<Stage>, _: &PlannedFault, victim: &Process) -> Proof {
        if becomes_stopped(victim, true).await {
            Proof::bit(format!("{} is stopped (state T)", victim.describe()))
        } else {
            Proof::missed(format!("{} did not stop", victim.describe()))
        }
    }

    async fn heal(&self, _: &Rc<Stage>, _: &PlannedFault, victim: &Process) {
        victim.signal(Signal::CONT).await;
        becomes_stopped(victim, false).await;
    }

    async fn inject_broker(&self, _: &PlannedFault, server: &dyn Server) -> Proof {
        Proof::of(server.pause().await)
    }

    async fn heal_broker(&self, _: &PlannedFault, server: &dyn Server) -> Seen {
        server.resume().await
    }
}
