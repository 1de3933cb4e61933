//! `poison`: a chunk that kills every worker that touches it. Whoever has it delivered is killed, and
//! replaced as a deployment would; after the last attempt it must be a dead letter.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::time::sleep;

use super::restart::Restart;
use super::strike::{self, numbered};
use super::target::{Victim, arrest};
use super::{Ends, Entry, Fault, Lasts, Role, Site};
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

/// How often to look who has the chunk.
const LOOK: Duration = Duration::from_millis(3);

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Poison,
    name: "poison",
    does: "whoever has the chunk with the index `chunk` is killed and replaced",
    proof: "it held the chunk when it ended by signal 9",
    did: "poisoned and replaced",
    on: &[Role::Sweep],
    lasts: Lasts::No,
    needs: &["chunk"],
    takes: &[],
    ends: Ends::Replaced,
    orphans: false,
    refuse: Site::anywhere,
};

/// See the file.
pub(super) struct Poison;

#[async_trait(?Send)]
impl Fault for Poison {
    async fn pervade(&self, stage: Rc<Stage>, fault: PlannedFault) {
        let poison = fault.settings.chunk;
        let mut strikes = 0;
        while !stage.standing().is_over() {
            for holder in stage.holders_of(poison).await {
                let Some(process) = stage.fleet.get(&holder) else { continue };
                let Ok(victim) = arrest(&stage, process).await else { continue };
                if !stage.holders_of(poison).await.contains(&holder) {
                    victim.process.signal(Signal::CONT).await;
                    continue;
                }
                strikes += 1;
                // What it held besides finds its worker as after any death; the chunk itself is
                // with the dead in the end.
                let Victim { process, since, .. } = victim;
                let one = numbered(&fault, strikes);
                stage.change(|standing| standing.in_flight += 1);
                let proof = Restart.inject(&stage, &one, &process).await;
                strike::tell(&stage, &one, process.name, since, proof, Vec::new());
                stage.fault_is_over(&fault.name);
            }
            sleep(LOOK).await;
        }
    }
}
