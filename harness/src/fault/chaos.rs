//! `chaos`: for a time, faults drawn from a weighted mixture strike one after another, and beside
//! each other where they last. Every draw comes from the seed. At the end all are healed.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::strike::{self, numbered};
use super::{Ends, Entry, Fault, Lasts, Role, Site};
use crate::plan::{Draw, FaultKind, PlannedFault};
use crate::run::Stage;

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Chaos,
    name: "chaos",
    does: "faults drawn from `mix` by their weight strike, every `pace` on average, for `for`",
    proof: "at least one of them bit",
    did: "put into chaos",
    on: &[Role::Sweep],
    lasts: Lasts::Must,
    needs: &["mix"],
    takes: &["pace"],
    ends: Ends::No,
    orphans: true,
    refuse: Site::anywhere,
};

/// How often faults strike where the scenario does not say.
pub(super) const PACE: Duration = Duration::from_millis(500);

/// Draws faults from a mixture and injects them until its time is over.
pub(super) struct Chaos;

#[async_trait(?Send)]
impl Fault for Chaos {
    async fn pervade(&self, stage: Rc<Stage>, fault: PlannedFault) {
        stage.fault_begins();
        let pace = fault.settings.pace.unwrap_or(PACE);
        let end = Instant::now() + fault.hold.unwrap_or_default();
        let mut strikes = Vec::new();
        loop {
            // Between none and twice the pace: faults that come at regular times meet the same
            // moments again and again.
            let next = Instant::now() + pace.mul_f64(2.0 * stage.draw_share());
            if next >= end || !waits(&stage, next).await {
                break;
            }
            let Some(drawn) = draw(&stage, &fault.settings.mix) else { break };
            let name = numbered(&fault, strikes.len() + 1).name;
            let one = PlannedFault { name, ..drawn };
            let what = format!("fault {}", one.name);
            strikes.push(stage.spawn(what, strike::once(Rc::clone(&stage), one)));
        }
        for strike in strikes {
            // Each heals what it has done.
            let _ = strike.await;
        }
        stage.fault_is_over(&fault.name);
    }
}

/// Waits for a moment; false where the sweep is over before it.
async fn waits(stage: &Stage, moment: Instant) -> bool {
    tokio::select! {
        () = sleep_until(moment) => true,
        () = stage.until(|standing| standing.complete || standing.is_over()) => false,
    }
}

/// One of the mixture, by weight.
fn draw(stage: &Stage, mix: &[Draw]) -> Option<PlannedFault> {
    let all: u32 = mix.iter().map(|draw| draw.weight).sum();
    let mut left = stage.draw_below(u64::from(all.max(1)));
    mix.iter().find_map(|draw| match left.checked_sub(u64::from(draw.weight)) {
        Some(rest) => {
            left = rest;
            None
        }
        None => Some(draw.fault.clone()),
    })
}
