//! One planned fault from its trigger to its end.

use std::rc::Rc;

use tokio::time::{Instant, sleep};

use super::target::{self, Victim};
use super::{Fault, Proof, Role, entry, node, of, trigger};
use crate::history::{Event, HeldChunk};
use crate::plan::{BROKER, PlannedFault, Trigger};
use crate::run::{Stage, Standing};

/// Waits for the fault's moment, then strikes every target, and heals what lasts; again and again
/// where the fault says so, until the sweep is over.
pub async fn carry_out(stage: Rc<Stage>, fault: PlannedFault) {
    trigger::moment(&stage, &fault.trigger).await;
    if stage.standing().is_over() {
        return;
    }
    #[cfg(debug_assertions)]
    panics_if_asked_to();
    if Role::of(fault.target) == Role::Sweep {
        return of(fault.kind).pervade(stage, fault).await;
    }
    let Some(every) = fault.every else { return one_of(&stage, &fault, fault.clone()).await };
    let mut strikes = 0;
    loop {
        strikes += 1;
        one_of(&stage, &fault, numbered(&fault, strikes)).await;
        tokio::select! {
            () = sleep(every) => {}
            () = stage.until(|now| now.complete || now.is_over()) => return,
        }
    }
}

/// For a test of what becomes of a run then.
#[cfg(debug_assertions)]
fn panics_if_asked_to() {
    assert!(std::env::var_os("TTG_HARNESS_FAULT_PANICS").is_none(), "as a test asked for");
}

/// A fault's strike with this number.
pub(super) fn numbered(fault: &PlannedFault, number: usize) -> PlannedFault {
    PlannedFault { name: format!("{}.{number}", fault.name), ..fault.clone() }
}

async fn one_of(stage: &Rc<Stage>, fault: &PlannedFault, strike: PlannedFault) {
    stage.fault_begins();
    once(Rc::clone(stage), strike).await;
    stage.fault_is_over(&fault.name);
}

/// Strikes every target once, and heals what lasts.
pub(super) async fn once(stage: Rc<Stage>, fault: PlannedFault) {
    match Role::of(fault.target) {
        Role::Broker => return strike_broker(&stage, &fault).await,
        Role::Node => return node::strike(&stage, &fault).await,
        _ => {}
    }
    match target::choose(&stage, &fault).await {
        Ok(victims) => strike(&stage, &fault, victims).await,
        Err((target, reason)) => {
            tell(&stage, &fault, target, Instant::now(), Proof::missed(reason), Vec::new());
        }
    }
}

/// All victims at once: none waits, stopped, for what another does.
async fn strike(stage: &Rc<Stage>, fault: &PlannedFault, victims: Vec<Victim>) {
    let strikes: Vec<_> = victims
        .into_iter()
        .map(|victim| {
            let what = format!("fault {}", fault.name);
            stage.spawn(what, strike_one(Rc::clone(stage), fault.clone(), victim))
        })
        .collect();
    for strike in strikes {
        // It ends with the run at the latest, as this does.
        let _ = strike.await;
    }
}

async fn strike_one(stage: Rc<Stage>, fault: PlannedFault, mut victim: Victim) {
    let action: &dyn Fault = of(fault.kind);
    let mut held = Vec::new();
    let mut proof = loop {
        watch_held(&stage, &fault, &victim);
        held.append(&mut victim.held);
        let proof = action.inject(&stage, &fault, &victim.process).await;
        if !proof.is_overtaken {
            break proof;
        }
        match target::named(&stage, &fault, &victim.process.name).await {
            Ok(now) => victim = now,
            Err((_, reason)) => break Proof::missed(reason),
        }
    };
    let Victim { process, since, .. } = victim;
    if let Trigger::Submitted(_) = fault.trigger {
        in_the_middle(&stage, &mut proof).await;
    }
    tell(&stage, &fault, process.name.clone(), since, proof, held);
    if let Some(hold) = fault.hold {
        over(&stage, since + hold).await;
        action.heal(&stage, &fault, &process).await;
        let (fault, target) = (fault.name, process.name);
        stage.emit(Event::FaultHealed { fault, target, seen: None });
    }
}

/// Watches who goes on with what the victim of an ending fault held; of other faults, who holds a
/// chunk goes on with it.
fn watch_held(stage: &Rc<Stage>, fault: &PlannedFault, victim: &Victim) {
    for chunk in victim.held.iter().filter(|_| entry(fault.kind).orphans) {
        let (stage_too, name) = (Rc::clone(stage), fault.name.clone());
        let from = victim.process.name.clone();
        let watch = watch_takeover(stage_too, name, from, chunk.clone(), victim.since);
        stage.spawn(format!("the watch after fault {}", fault.name), watch);
    }
}

async fn strike_broker(stage: &Rc<Stage>, fault: &PlannedFault) {
    let action = of(fault.kind);
    let Some(server) = stage.server() else {
        let proof = Proof::missed("no process serves the broker");
        return tell(stage, fault, BROKER.to_owned(), Instant::now(), proof, Vec::new());
    };
    // One thing at a time is done to a server.
    let _turn = stage.broker_turn().await;
    let since = Instant::now();
    let proof = action.inject_broker(fault, server).await;
    let bit = proof.bit;
    tell(stage, fault, BROKER.to_owned(), since, proof, Vec::new());
    if let Some(hold) = fault.hold {
        over(stage, Instant::now() + hold).await;
    }
    // A server that was ended comes back in any case.
    let healed = action.heal_broker(fault, server).await;
    let (fault, target) = (fault.name.clone(), BROKER.to_owned());
    match healed {
        Ok(seen) if bit => stage.emit(Event::FaultHealed { fault, target, seen: Some(seen) }),
        Ok(_) => {}
        Err(error) => {
            let reason = format!("the broker cannot be put right after {fault}: {error}");
            stage.emit(Event::BrokerLost { reason });
        }
    }
}

/// Waits until a fault's time is up, or nobody is left whom it could trouble.
pub(super) async fn over(stage: &Stage, end: Instant) {
    tokio::select! {
        () = sleep(end.saturating_duration_since(Instant::now())) => {}
        () = stage.until(Standing::is_over) => {}
    }
}

/// Of a coordinator that is struck while it submits: how far it had come.
async fn in_the_middle(stage: &Stage, proof: &mut Proof) {
    let (submitted, all) = (stage.submitted().await, stage.plan.sweep.chunks());
    match submitted {
        Some(submitted) => proof.seen += &format!(", with {submitted} of {all} chunks submitted"),
        None => proof.seen += ", and the broker does not say how many chunks were submitted",
    }
    proof.bit &= submitted.is_some_and(|submitted| submitted < all);
}

/// Tells of a strike.
pub(super) fn tell(
    stage: &Stage,
    fault: &PlannedFault,
    target: String,
    since: Instant,
    proof: Proof,
    held: Vec<HeldChunk>,
) {
    stage.emit_at(
        since,
        Event::FaultInjected {
            fault: fault.name.clone(),
            kind: entry(fault.kind).name.to_owned(),
            target,
            bit: proof.bit,
            proof: proof.seen,
            held,
        },
    );
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
