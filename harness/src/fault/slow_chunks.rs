//! `slow-chunks`: skewed work. A share of the chunks, drawn from the seed, takes some times as long
//! as the others, whoever computes it.

use std::rc::Rc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Ends, Entry, Fault, Lasts, Proof, Role, Site, strike};
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::SlowChunks,
    name: "slow-chunks",
    does: "`share` of the chunks, drawn from the seed, takes `factor` times as long",
    proof: "workers reported that the drawn chunks took at least half as much longer than the others as they should",
    did: "slowed down",
    on: &[Role::Sweep],
    lasts: Lasts::No,
    needs: &["share"],
    takes: &["factor"],
    ends: Ends::No,
    orphans: false,
    refuse,
};

fn refuse(site: &Site, _: Role) -> Option<&'static str> {
    site.foreign.then_some("only our own worker can be told to take longer (let it do the work)")
}

/// Multiplies the work of some chunks.
pub(super) struct SlowChunks;

#[async_trait(?Send)]
impl Fault for SlowChunks {
    async fn pervade(&self, stage: Rc<Stage>, fault: PlannedFault) {
        let slow = stage.plan.slow_chunks();
        stage.fault_begins();
        let proof = match slow.len() {
            0 => Proof::missed("the seed draws no chunk"),
            // Whether they take longer is seen of their results.
            some => Proof::bit(format!("{some} of {} chunks drawn", stage.plan.sweep.chunks())),
        };
        stage.until(|standing| standing.begun || standing.is_over()).await;
        strike::tell(&stage, &fault, "sweep".to_owned(), Instant::now(), proof, Vec::new());
        stage.fault_is_over(&fault.name);
    }
}
