//! `restart`. Of a process: SIGKILL, and a new one takes the place, under the same name. Of a
//! broker: it is asked to end, in good order, and starts again on the same port with its data.

use std::rc::Rc;

use async_trait::async_trait;

use super::entry::PROCESSES_AND_BROKER;
use super::kill::Kill;
use super::{Ends, Entry, Fault, Lasts, Proof, Site};
use crate::environment::{Process, Seen, Server};
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Restart,
    name: "restart",
    does: "SIGKILL and a new process in its place; a broker is asked to end and starts again",
    proof: "the old one ended, the new one has another process id",
    did: "killed and restarted",
    on: PROCESSES_AND_BROKER,
    lasts: Lasts::No,
    needs: &[],
    takes: &[],
    ends: Ends::Replaced,
    orphans: true,
    refuse: Site::anywhere,
};

/// Ends the target and starts it again in its place.
pub(super) struct Restart;

#[async_trait(?Send)]
impl Fault for Restart {
    async fn inject(&self, stage: &Rc<Stage>, fault: &PlannedFault, victim: &Process) -> Proof {
        let killed = match victim.exit() {
            // A coordinator leaves when its work is done: there is nothing to kill, but starting
            // it once more is what a restarted deployment does. A worker leaves in good order when
            // the sweep is complete: then there is nothing left to prove.
            Some(exit) if exit.code == Some(0) && victim.name != "coordinator" => {
                return Proof::missed(format!("{} had left", victim.describe()));
            }
            Some(_) => Proof::bit(format!("{} had left", victim.describe())),
            None => Kill.inject(stage, fault, victim).await,
        };
        match stage.replace(victim).await {
            Ok(Some(new)) if killed.bit => {
                Proof::bit(format!("{}, now {}", killed.seen, new.describe()))
            }
            Ok(Some(_)) => killed,
            Ok(None) => Proof::overtaken(format!("{}, and another fault replaced it", killed.seen)),
            Err(error) => {
                Proof::missed(format!("{}, and cannot start again: {error}", killed.seen))
            }
        }
    }

    async fn inject_broker(&self, _: &PlannedFault, server: &dyn Server) -> Proof {
        Proof::of(server.stop().await)
    }

    async fn heal_broker(&self, _: &PlannedFault, server: &dyn Server) -> Seen {
        server.start_again().await
    }
}
