//! One planned fault from its trigger to its end.

use std::rc::Rc;

use tokio::time::{Instant, sleep};

use super::target::{self, Victim};
use super::{Fault, broker, of, trigger};
use crate::history::{Event, HeldChunk};
use crate::plan::{FaultKind, PlannedFault, Target};
use crate::run::Stage;

/// Waits for the fault's moment, then strikes every target, and heals what lasts.
pub async fn carry_out(stage: Rc<Stage>, fault: PlannedFault) {
    trigger::moment(&stage, &fault.trigger).await;
    stage.change(|standing| standing.in_flight += 1);
    if fault.target == Target::Broker {
        broker::restart(&stage, &fault).await;
        return stage.fault_is_over(&fault.name);
    }
    match target::choose(&stage, &fault, fault.kind == FaultKind::Restart).await {
        Ok(victims) => strike(&stage, &fault, victims).await,
        Err((target, reason)) => {
            stage.emit(Event::FaultInjected {
                fault: fault.name.clone(),
                kind: fault.kind.name().to_owned(),
                target,
                bit: false,
                proof: reason,
                held: Vec::new(),
            });
        }
    }
    stage.fault_is_over(&fault.name);
}

/// All victims at once: none waits, stopped, for what another does.
async fn strike(stage: &Rc<Stage>, fault: &PlannedFault, victims: Vec<Victim>) {
    let strikes: Vec<_> = victims
        .into_iter()
        .map(|victim| tokio::task::spawn_local(strike_one(Rc::clone(stage), fault.clone(), victim)))
        .collect();
    for strike in strikes {
        // It ends with the run at the latest, as this does.
        let _ = strike.await;
    }
}

async fn strike_one(stage: Rc<Stage>, fault: PlannedFault, victim: Victim) {
    let action: &dyn Fault = of(fault.kind);
    let Victim { process, held, since } = victim;
    for chunk in &held {
        tokio::task::spawn_local(watch_takeover(
            Rc::clone(&stage),
            fault.name.clone(),
            process.name.clone(),
            chunk.clone(),
            since,
        ));
    }
    let proof = action.inject(&stage, &process).await;
    stage.emit_at(
        since,
        Event::FaultInjected {
            fault: fault.name.clone(),
            kind: fault.kind.name().to_owned(),
            target: process.name.clone(),
            bit: proof.bit,
            proof: proof.seen,
            held,
        },
    );
    if let Some(hold) = fault.hold {
        sleep((since + hold).saturating_duration_since(Instant::now())).await;
        action.heal(&stage, &process).await;
        stage.emit(Event::FaultHealed { fault: fault.name, target: process.name });
    }
}

/// Watches a chunk that a victim held until another delivery of it exists, or its result. A
/// victim that committed it after all has no successor.
async fn watch_takeover(
    stage: Rc<Stage>,
    fault: String,
    from: String,
    chunk: HeldChunk,
    since: Instant,
) {
    let Some(to) = stage.successor(&from, &chunk).await else { return };
    let after_ms = since.elapsed().as_secs_f64() * 1000.0;
    stage.emit(Event::TakenOver { fault, chunk_id: chunk.chunk_id, from, to, after_ms });
}
