//! What all faults of the network have in common: they are imposed on the proxy between a process
//! and its broker, they bite when they touch a byte or a connection, and they are lifted there.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::Proof;
use crate::environment::Process;
use crate::plan::{self, PlannedFault};
use crate::run::Stage;
use ttg_proxy::{Direction, Toxic};

/// How long a fault waits for a byte that it can harm: a process that has nothing to say to its
/// broker for so long can't be harmed by a network.
const BITE: Duration = Duration::from_secs(5);

/// Imposes a toxic on the way of a process to its broker, and waits until it has touched something.
pub(super) async fn impose(
    stage: &Rc<Stage>,
    fault: &PlannedFault,
    victim: &Process,
    toxic: Toxic,
) -> Proof {
    let Some(link) = stage.link(&victim.name) else {
        return Proof::missed(format!("{} has no way to the broker", victim.name));
    };
    let imposed = link.impose(toxic).await;
    let patience = fault.hold.unwrap_or(BITE).min(BITE);
    let bite = timeout(patience, imposed.until(ttg_proxy::Effect::took_effect)).await;
    let seen = imposed.effect().to_string();
    match fault.hold {
        Some(_) => stage.keep(fault, &victim.name, Box::new(imposed)),
        None => drop(imposed.lift().await),
    }
    match bite {
        Ok(_) => Proof::bit(seen),
        Err(_) => Proof::missed(format!("nothing came by within {patience:?}")),
    }
}

/// Lifts what was imposed; what it held goes on its way, in order.
pub(super) fn lift(stage: &Rc<Stage>, fault: &PlannedFault, victim: &Process) {
    drop(stage.take_kept(fault, &victim.name));
}

/// The direction that a fault is told.
pub(super) fn direction(fault: &PlannedFault) -> Direction {
    match fault.settings.direction {
        plan::Direction::ToBroker => Direction::ToBroker,
        plan::Direction::FromBroker => Direction::FromBroker,
        plan::Direction::Both => Direction::Both,
    }
}

/// Implements a fault of the network by the toxic that it is.
macro_rules! toxic {
    ($name:ident, $entry:expr, |$fault:ident, $stage:ident| $toxic:expr) => {
        /// Imposes this toxic on the link between a process and its broker.
        pub(super) struct $name;

        pub(super) static ENTRY: crate::fault::Entry = $entry;

        #[async_trait::async_trait(?Send)]
        impl crate::fault::Fault for $name {
            fn arrests(&self) -> bool {
                false
            }

            async fn inject(
                &self,
                $stage: &std::rc::Rc<crate::run::Stage>,
                $fault: &crate::plan::PlannedFault,
                victim: &crate::environment::Process,
            ) -> crate::fault::Proof {
                let toxic = $toxic;
                crate::fault::network::impose($stage, $fault, victim, toxic).await
            }

            async fn heal(
                &self,
                stage: &std::rc::Rc<crate::run::Stage>,
                fault: &crate::plan::PlannedFault,
                victim: &crate::environment::Process,
            ) {
                crate::fault::network::lift(stage, fault, victim);
            }
        }
    };
}
pub(super) use toxic;
