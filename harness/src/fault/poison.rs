//! `poison`: a chunk that kills every worker that touches it. Whoever is at it is killed, and replaced
//! as a deployment would; after the last attempt it must be a dead letter. A worker that has it only
//! sent ahead lives on.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::time::sleep;
use ttg_system::queue::Held;

use super::restart::Restart;
use super::strike::{self, numbered};
use super::target::{Victim, arrest};
use super::{Ends, Entry, Fault, Lasts, Role, Site};
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

/// How often to look who has the chunk.
const LOOK: Duration = Duration::from_millis(3);

/// How long a worker has the chunk until it is taken to be at it, and the share of the chunk's time
/// that this is at most: one that finds too many attempts makes it a dead letter at once.
const AT_IT: (Duration, u32) = (Duration::from_millis(20), 4);

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Poison,
    name: "poison",
    does: "whoever is at the chunk with the index `chunk` is killed and replaced, once for each attempt",
    proof: "it was at the chunk when it ended by signal 9",
    did: "poisoned and replaced",
    on: &[Role::Sweep],
    lasts: Lasts::No,
    needs: &["chunk"],
    takes: &[],
    ends: Ends::Replaced,
    orphans: false,
    refuse: Site::anywhere,
};

/// Kills every worker that begins one chosen chunk.
pub(super) struct Poison;

#[async_trait(?Send)]
impl Fault for Poison {
    async fn pervade(&self, stage: Rc<Stage>, fault: PlannedFault) {
        let poison = fault.settings.chunk;
        let mut strikes = 0;
        // The broker still names the dead one until another has the chunk, and by then a new one
        // may live under that name.
        let mut struck = None;
        while !stage.standing().is_over() {
            let attempt = stage.attempt_of(poison).await.filter(|it| struck.as_ref() != Some(it));
            if let Some(attempt) = attempt
                && let Some(victim) = caught(&stage, poison, &attempt).await
            {
                strikes += 1;
                struck = Some(attempt);
                // What it held besides finds its worker as after any death; the chunk itself is
                // with the dead in the end.
                stage.fault_begins();
                // Meanwhile somebody else may be at the chunk already.
                let replaced = replace(Rc::clone(&stage), fault.clone(), strikes, victim);
                stage.spawn(fault.name.clone(), replaced);
            }
            sleep(LOOK).await;
        }
    }
}

/// Kills the victim, and starts another in its place.
async fn replace(stage: Rc<Stage>, fault: PlannedFault, number: usize, victim: Victim) {
    let Victim { process, since, .. } = victim;
    let one = numbered(&fault, number);
    let proof = Restart.inject(&stage, &one, &process).await;
    strike::tell(&stage, &one, process.name, since, proof, Vec::new());
    stage.fault_is_over(&fault.name);
}

/// Stops the worker of this attempt; none where the attempt is over by then.
async fn caught(stage: &Stage, poison: Option<u64>, attempt: &Held) -> Option<Victim> {
    sleep(AT_IT.0.min(stage.plan.sweep.chunk_time() / AT_IT.1)).await;
    if stage.attempt_of(poison).await.as_ref() != Some(attempt) {
        return None;
    }
    let process = stage.fleet.get(&attempt.worker)?;
    let victim = arrest(stage, process).await.ok()?;
    if stage.attempt_of(poison).await.as_ref() == Some(attempt) {
        return Some(victim);
    }
    victim.process.signal(Signal::CONT).await;
    None
}
