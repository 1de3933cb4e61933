//! `out-of-memory`: the kernel ends a worker because its container is at its memory limit.

use std::rc::Rc;

use async_trait::async_trait;

use super::{Ends, Entry, Fault, Lasts, Proof, Role, Site};
use crate::environment::Process;
use crate::plan::{Environment, FaultKind, PlannedFault, WorkersIn};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::OutOfMemory,
    name: "out-of-memory",
    does: "its container comes to its memory limit, and the kernel ends it",
    proof: "the engine says that it was killed for want of memory (OOMKilled)",
    did: "killed for want of memory",
    on: &[Role::Worker],
    lasts: Lasts::No,
    needs: &[],
    takes: &[],
    ends: Ends::Killed,
    orphans: true,
    refuse,
};

fn refuse(site: &Site, _: Role) -> Option<&'static str> {
    if site.environment == Environment::Kubernetes {
        return Some(
            "in a cluster nobody else's memory counts against a worker's container (choose \
             environment container)",
        );
    }
    (site.workers_in != WorkersIn::Container)
        .then_some("only a container has a memory limit of its own (write workers_in: container)")
}

/// Fills the memory of a worker's container until the kernel kills it.
pub(super) struct OutOfMemory;

#[async_trait(?Send)]
impl Fault for OutOfMemory {
    fn arrests(&self) -> bool {
        // One that is stopped takes no memory, and may not be ended for the want of it.
        false
    }

    async fn inject(&self, _: &Rc<Stage>, _: &PlannedFault, victim: &Process) -> Proof {
        match victim.container() {
            Some(container) => Proof::of(container.exhaust_memory().await),
            None => Proof::missed("it is in no container"),
        }
    }
}
