//! `drain`: a node takes no more Pods for a time, and those of the run that are on it are evicted, as
//! before the maintenance of a node. Workers leave for good, as asked; coordinator and aggregator are
//! replaced; the broker comes back on another node, or on this one once it is given back.

use std::rc::Rc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Ends, Entry, Fault, Lasts, Proof, Role, Site, node, strike};
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Drain,
    name: "drain",
    does: "the node takes no more Pods, and the run's Pods on it are evicted; it is given back after `for`",
    proof: "every one of them was evicted and ended",
    did: "evicted",
    on: &[Role::Node],
    lasts: Lasts::Must,
    needs: &[],
    takes: &[],
    ends: Ends::Asked,
    orphans: false,
    refuse: Site::anywhere,
};

/// Evicts the Pods of the run from one node, and gives the node back after a time.
pub(super) struct Drain;

#[async_trait(?Send)]
impl Fault for Drain {
    async fn inject_node(&self, stage: &Rc<Stage>, fault: &PlannedFault, name: &str) -> Proof {
        let pods = match node::pods(stage) {
            Ok(pods) => pods,
            Err(missed) => return missed,
        };
        let cordoned = match pods.cordon(name).await {
            Ok(seen) => seen,
            Err(error) => return Proof::missed(error.to_string()),
        };
        let (mut evicted, mut stayed) = (0, Vec::new());
        for process in stage.fleet.living() {
            let Some(container) = process.container() else { continue };
            if container.node().as_deref() != Some(name) {
                continue;
            }
            let (since, held) = (Instant::now(), stage.held_by(&process.name).await);
            let proof = Proof::of(container.evict().await);
            evicted += usize::from(proof.bit);
            stayed.extend((!proof.bit).then(|| proof.seen.clone()));
            strike::tell(stage, fault, process.name.clone(), since, proof, held);
            // A Job has another Pod take its place; workers are Pods of their own.
            let is_done = process.exit().is_some_and(|exit| exit.code == Some(0));
            if !process.name.starts_with("worker-") && !is_done {
                // Where it cannot be started, its part is missing in the end.
                let _ = stage.start(&process.name).await;
            }
        }
        let mut seen = format!("{cordoned}, {evicted} of the run's processes were evicted");
        if let Some(server) = stage.server().filter(|it| it.node().as_deref() == Some(name)) {
            match server.evict().await {
                Ok(broker) => {
                    evicted += 1;
                    seen += &format!(", {broker}");
                }
                Err(error) => stayed.push(error.to_string()),
            }
        }
        if evicted > 0 && stayed.is_empty() {
            return Proof::bit(seen);
        }
        Proof::missed([&[seen][..], &stayed].concat().join(", "))
    }

    async fn heal_node(
        &self,
        stage: &Rc<Stage>,
        _: &PlannedFault,
        name: &str,
    ) -> Result<(), String> {
        node::uncordon(stage, name).await?;
        match stage.server() {
            Some(server) => server.settle().await.map(drop).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}
