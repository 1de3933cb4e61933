//! Which node a fault strikes, and the striking of it. One thing at a time is done to nodes and to the
//! broker, which may be on one.

use std::rc::Rc;

use tokio::time::Instant;

use super::{Proof, of, strike};
use crate::history::Event;
use crate::kubernetes::PodFleet;
use crate::plan::{Occupant, PlannedFault, Target};
use crate::run::Stage;

/// Strikes a node, and gives it back.
pub(super) async fn strike(stage: &Rc<Stage>, fault: &PlannedFault) {
    let _turn = stage.broker_turn().await;
    let since = Instant::now();
    let Some(name) = choose(stage, fault).await else {
        let proof = Proof::missed("nobody was on a node");
        return strike::tell(stage, fault, "node".to_owned(), since, proof, Vec::new());
    };
    let action = of(fault.kind);
    let proof = action.inject_node(stage, fault, &name).await;
    let bit = proof.bit;
    strike::tell(stage, fault, name.clone(), since, proof, Vec::new());
    strike::over(stage, since + fault.hold.unwrap_or_default()).await;
    let healed = action.heal_node(stage, fault, &name).await;
    let (fault, target) = (fault.name.clone(), name);
    match healed {
        Ok(()) if bit => stage.emit(Event::FaultHealed { fault, target, seen: None }),
        Ok(()) => {}
        Err(error) => {
            let reason = format!("node {target} cannot be put right after {fault}: {error}");
            stage.emit(Event::BrokerLost { reason });
        }
    }
}

async fn choose(stage: &Stage, fault: &PlannedFault) -> Option<String> {
    let Target::Node(occupant) = fault.target else { return None };
    if occupant == Occupant::Broker {
        return stage.server()?.node();
    }
    let holders = stage.holders().await.unwrap_or_default();
    let is_meant = |name: &str| occupant == Occupant::Random || holders.contains(name);
    let nodes: Vec<String> = stage
        .fleet
        .workers()
        .iter()
        .filter(|worker| is_meant(&worker.name))
        .filter_map(|worker| worker.container()?.node())
        .collect();
    stage.draw(nodes)
}

/// The run's Pods.
pub(super) fn pods(stage: &Stage) -> Result<&PodFleet, Proof> {
    let pods = stage.fleet.host().and_then(|host| host.pods());
    let pods = pods.ok_or_else(|| Proof::missed("the run is on no cluster"))?;
    pods.fleet().map_err(|error| Proof::missed(error.to_string()))
}

/// Gives a node back.
pub(super) async fn uncordon(stage: &Stage, name: &str) -> Result<(), String> {
    let pods = pods(stage).map_err(|missed| missed.seen)?;
    pods.uncordon(name).await.map_err(|error| error.to_string())
}
