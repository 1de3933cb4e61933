//! `partition`: cut from the broker, both ways or one. Nothing passes, nothing is lost: what waits goes
//! on in order once the cut is mended. On a cluster a NetworkPolicy does it, both ways, where the
//! network plugin heeds it.

use std::rc::Rc;

use async_trait::async_trait;

use super::entry::PROCESSES;
use super::network;
use super::{Ends, Entry, Fault, Lasts, Proof, Site};
use crate::environment::Process;
use crate::plan::{Direction, FaultKind, PlannedFault};
use crate::run::Stage;
use ttg_proxy::Toxic;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Partition,
    name: "partition",
    does: "nothing passes between it and the broker, both ways or one; what waits goes on in order afterwards; on a cluster by a NetworkPolicy",
    proof: "bytes or new connections waited; on a cluster no new connection from its Pod gets through, and nothing on those that are open",
    did: "cut off",
    on: PROCESSES,
    lasts: Lasts::Must,
    needs: &[],
    takes: &["direction"],
    ends: Ends::No,
    orphans: true,
    refuse: Site::no_network,
};

/// Cuts a process from its broker, by the proxy or by a NetworkPolicy.
pub(super) struct Partition;

#[async_trait(?Send)]
impl Fault for Partition {
    fn arrests(&self) -> bool {
        false
    }

    async fn inject(&self, stage: &Rc<Stage>, fault: &PlannedFault, victim: &Process) -> Proof {
        if stage.fleet.host().and_then(|host| host.pods()).is_none() {
            let toxic = Toxic::Partition { direction: network::direction(fault) };
            return network::impose(stage, fault, victim, toxic).await;
        }
        if fault.settings.direction != Direction::Both {
            return Proof::missed("a NetworkPolicy cuts off both ways only (remove direction)");
        }
        match (victim.container(), stage.broker_inside()) {
            (Some(container), Some((host, port))) => {
                Proof::of(container.cut_off(&host, port).await)
            }
            _ => Proof::missed(format!("{} has no way to the broker", victim.name)),
        }
    }

    async fn heal(&self, stage: &Rc<Stage>, fault: &PlannedFault, victim: &Process) {
        network::lift(stage, fault, victim);
        if let Some(container) = victim.container()
            && let Err(error) = container.mend().await
        {
            crate::report::tell(format_args!("warning: {error}"));
        }
    }
}
