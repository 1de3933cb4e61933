//! `kill`: SIGKILL. Nobody gets a chance to say anything. A broker comes back, on the same port and
//! with its data, at once or after a time (`for`).

use std::rc::Rc;

use async_trait::async_trait;
use rustix::process::Signal;

use super::entry::PROCESSES_AND_BROKER;
use super::{Ends, Entry, Fault, Lasts, Proof, Site, describe};
use crate::environment::{Process, Seen, Server};
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Kill,
    name: "kill",
    does: "SIGKILL; a broker starts again on the same port with its data, after `for`",
    proof: "it ended by signal 9",
    did: "killed",
    on: PROCESSES_AND_BROKER,
    lasts: Lasts::May,
    needs: &[],
    takes: &[],
    ends: Ends::Killed,
    orphans: true,
    refuse: Site::anywhere,
};

/// See the file.
pub(super) struct Kill;

#[async_trait(?Send)]
impl Fault for Kill {
    async fn inject(&self, _: &Rc<Stage>, _: &PlannedFault, victim: &Process) -> Proof {
        victim.signal(Signal::KILL).await;
        let exit = victim.ended().await;
        let seen = format!("process {} {}", victim.pid, describe(exit));
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
