//! `restart` of the broker: SIGKILL, and a new process on the same port, with what the old one
//! kept. Nobody is asked first, as nobody would be.

use std::rc::Rc;

use tokio::time::Instant;

use super::Proof;
use crate::history::Event;
use crate::plan::PlannedFault;
use crate::run::Stage;

/// What the broker is called where processes are named.
const NAME: &str = "broker";

/// Strikes, and returns when the new process can be used.
pub(super) async fn restart(stage: &Rc<Stage>, fault: &PlannedFault) {
    let since = Instant::now();
    let proof = match stage.restart_broker().await {
        Ok(seen) => Proof::bit(seen),
        Err(error) => Proof::missed(error.to_string()),
    };
    let bit = proof.bit;
    stage.emit_at(
        since,
        Event::FaultInjected {
            fault: fault.name.clone(),
            kind: fault.kind.name().to_owned(),
            target: NAME.to_owned(),
            bit,
            proof: proof.seen,
            held: Vec::new(),
        },
    );
    if bit {
        stage.emit(Event::FaultHealed { fault: fault.name.clone(), target: NAME.to_owned() });
    }
}
