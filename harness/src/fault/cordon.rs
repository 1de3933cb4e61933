//! `cordon`: a node takes no more Pods for a time. What is on it goes on.

use std::rc::Rc;

use async_trait::async_trait;

use super::{Ends, Entry, Fault, Lasts, Proof, Role, Site, node};
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Cordon,
    name: "cordon",
    does: "the node takes no more Pods; it is given back after `for`",
    proof: "the API shows it as unschedulable",
    did: "cordoned",
    on: &[Role::Node],
    lasts: Lasts::Must,
    needs: &[],
    takes: &[],
    ends: Ends::No,
    orphans: false,
    refuse: Site::anywhere,
};

/// Makes one node unschedulable for a time.
pub(super) struct Cordon;

#[async_trait(?Send)]
impl Fault for Cordon {
    async fn inject_node(&self, stage: &Rc<Stage>, _: &PlannedFault, name: &str) -> Proof {
        match node::pods(stage) {
            Ok(pods) => Proof::of(pods.cordon(name).await),
            Err(missed) => missed,
        }
    }

    async fn heal_node(
        &self,
        stage: &Rc<Stage>,
        _: &PlannedFault,
        name: &str,
    ) -> Result<(), String> {
        node::uncordon(stage, name).await
    }
}
