//! Whom a fault strikes. A victim is stopped first (SIGSTOP): what it holds cannot change any
//! more, and a busy one is surely struck in the middle of its chunk. Faults of the network leave it
//! running: a process that is stopped has nothing to say.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep, timeout};

use super::{Ends, becomes_stopped, entry, of};
use crate::environment::Process;
use crate::history::HeldChunk;
use crate::plan::{Backend, Environment, FaultKind, PlannedFault, Target};
use crate::run::{Stage, Standing};

/// How often to look for a busy worker.
const LOOK: Duration = Duration::from_millis(2);

/// How long a worker that is to end may be without a chunk, as the broker says, until it is struck without one.
const AT_WORK: Duration = Duration::from_secs(1);

/// A broker that answers only after so long was away.
const SILENT: Duration = Duration::from_millis(100);

/// From the moment at which it is seen to have one, a worker is struck within this share of a chunk.
const WITHIN: f64 = 0.25;

/// How often a worker is let go again that was stopped between two chunks.
const CHANCES: u32 = 3;

/// How long the end of a process may take that cannot be stopped any more.
const END: Duration = Duration::from_millis(200);

/// A process that is stopped, or has ended.
pub(super) struct Victim {
    pub(super) process: Process,
    /// What it holds uncommitted.
    pub(super) held: Vec<HeldChunk>,
    /// When it was stopped, or found.
    pub(super) since: Instant,
}

/// The victims of a fault, or why there are none. A victim that has ended already is none, except
/// for a restart.
pub(super) async fn choose(
    stage: &Stage,
    fault: &PlannedFault,
) -> Result<Vec<Victim>, (String, String)> {
    match fault.target {
        Target::Worker(number) => Ok(vec![named(stage, fault, &format!("worker-{number}")).await?]),
        Target::Coordinator => Ok(vec![named(stage, fault, "coordinator").await?]),
        Target::Aggregator => Ok(vec![named(stage, fault, "aggregator").await?]),
        Target::Broker | Target::Sweep | Target::Node(_) => {
            unreachable!("it is no process of the fleet")
        }
        Target::Busy => Ok(vec![busy(stage, fault).await?]),
        Target::Random => {
            let awake = |worker: &Process| worker.state() != Some('T');
            let awake = stage.fleet.workers().into_iter().filter(awake).collect();
            let drawn = stage.draw(awake).ok_or_else(|| nobody("random"))?;
            Ok(vec![take(stage, fault, drawn).await?])
        }
        Target::All => {
            let mut victims = Vec::new();
            for worker in stage.fleet.workers() {
                // One that ends by itself just now must not leave the others stopped for ever.
                victims.extend(take(stage, fault, worker).await.ok());
            }
            if victims.is_empty() { Err(nobody("all")) } else { Ok(victims) }
        }
    }
}

/// The process of this name as a victim, or why it is none.
pub(super) async fn named(
    stage: &Stage,
    fault: &PlannedFault,
    name: &str,
) -> Result<Victim, (String, String)> {
    let ended_too = fault.kind == FaultKind::Restart;
    let ended = |process| Victim { process, held: Vec::new(), since: Instant::now() };
    let process =
        stage.fleet.get(name).ok_or_else(|| (name.to_owned(), format!("{name} never started")))?;
    match process.exit() {
        Some(exit) if !ended_too => {
            return Err((
                name.to_owned(),
                format!("{name} had left: it {}", super::describe(exit)),
            ));
        }
        Some(_) => return Ok(ended(process)),
        None => {}
    }
    if of(fault.kind).arrests() {
        until_awake(stage, &process).await;
    }
    match take(stage, fault, process.clone()).await {
        // It ended by itself meanwhile: for a restart that is as if it had before.
        Err(_) if ended_too && timeout(END, process.ended()).await.is_ok() => Ok(ended(process)),
        taken => taken,
    }
}

async fn take(
    stage: &Stage,
    fault: &PlannedFault,
    process: Process,
) -> Result<Victim, (String, String)> {
    match of(fault.kind).arrests() {
        true if is_to_end_at_work(stage, fault, &process) => arrest_at_work(stage, process).await,
        true => arrest(stage, process).await,
        false => find(stage, process).await,
    }
}

/// Waits while another fault keeps the one that is to be struck stopped.
async fn until_awake(stage: &Stage, process: &Process) {
    while process.state() == Some('T') && !stage.standing().is_over() {
        sleep(LOOK).await;
    }
}

fn nobody(target: &str) -> (String, String) {
    (target.to_owned(), "no worker was alive".to_owned())
}

fn is_over(target: &str) -> (String, String) {
    (target.to_owned(), "the sweep was over".to_owned())
}

/// A process as it is, with what it holds at the moment.
async fn find(stage: &Stage, process: Process) -> Result<Victim, (String, String)> {
    let held = stage.held_by(&process.name).await;
    if stage.standing().is_over() {
        return Err(is_over(&process.name));
    }
    Ok(Victim { process, held, since: Instant::now() })
}

/// Stops a process and sees what it holds. Where the broker does not say that at once, nobody is
/// kept stopped for it: once it does, it is begun again.
pub(super) async fn arrest(stage: &Stage, process: Process) -> Result<Victim, (String, String)> {
    loop {
        let since = Instant::now();
        stop(&process).await?;
        // What it sent before it stopped may still be on its way: the first answer came after the
        // broker had begun to read, the second after it had carried out what it read.
        let held = match stage.held_now(&process.name).await {
            Ok(_) => stage.held_now(&process.name).await,
            unknown => unknown,
        };
        if let Ok(held) = held {
            return Ok(Victim { process, held, since });
        }
        process.signal(Signal::CONT).await;
        stage.held_by(&process.name).await;
        until_awake(stage, &process).await;
        if stage.standing().is_over() {
            return Err(is_over(&process.name));
        }
    }
}

/// Whether a worker is to be struck that ends or freezes of it, and it can be known what it holds.
fn is_to_end_at_work(stage: &Stage, fault: &PlannedFault, process: &Process) -> bool {
    let plan = &stage.plan;
    let is_known = match plan.backend {
        Backend::Static => false,
        Backend::Embedded | Backend::Redis => true,
        Backend::RabbitMq => {
            plan.environment != Environment::External && plan.foreign(&process.name).is_none()
        }
    };
    let is_one = matches!(fault.target, Target::Worker(_) | Target::Random);
    is_one && is_known && (entry(fault.kind).ends != Ends::No || fault.kind == FaultKind::Pause)
}

/// Stops a worker somewhere in a chunk: the end of one that has none tests nothing. Between two chunks
/// it is waited for; where it gets none, it is struck as it is. A worker that acknowledges what it has
/// not computed yet holds each chunk for a moment only: it must not be struck in just that, always, so
/// that one that was stopped without a chunk is given a few chances and no more.
async fn arrest_at_work(stage: &Stage, mut process: Process) -> Result<Victim, (String, String)> {
    let (mut waited_since, mut chances) = (Instant::now(), CHANCES);
    loop {
        let (asked, holders) = (Instant::now(), stage.holders().await);
        // While the broker is away, it is not known to be without one, and once it is back needs a moment to get one.
        if holders.is_err() || asked.elapsed() >= SILENT {
            waited_since = Instant::now();
        }
        let has_none = waited_since.elapsed() >= AT_WORK;
        // Another fault may have put somebody else in its place, or be about to.
        process = stage.fleet.get(&process.name).unwrap_or(process);
        if process.exit().is_some() && !has_none && !stage.standing().is_over() {
            sleep(LOOK).await;
            continue;
        }
        let is_late = has_none || stage.standing().complete || chances == 0;
        if is_late || holders.is_ok_and(|holders| holders.contains(&process.name)) {
            let share = if is_late { 0.0 } else { stage.draw_share() * WITHIN };
            let within = stage.plan.sweep.chunk_time().mul_f64(share);
            let _ = timeout(within, stage.until(Standing::is_over)).await;
            if stage.standing().is_over() {
                return Err(is_over(&process.name));
            }
            until_awake(stage, &process).await;
            let victim = match arrest(stage, process.clone()).await {
                Err(_) if !is_late => continue,
                arrested => arrested?,
            };
            if is_late || !victim.held.is_empty() {
                return Ok(victim);
            }
            victim.process.signal(Signal::CONT).await;
            chances -= 1;
        }
        if stage.standing().is_over() {
            return Err(is_over(&process.name));
        }
        sleep(LOOK).await;
    }
}

/// Stops a process. One that is stopped already is another fault's, which will wake it up when it
/// sees fit.
async fn stop(process: &Process) -> Result<(), (String, String)> {
    if process.state() == Some('T') {
        let name = process.name.clone();
        return Err((name.clone(), format!("{name} was frozen by another fault already")));
    }
    process.signal(Signal::STOP).await;
    if !becomes_stopped(process, true).await {
        process.signal(Signal::CONT).await;
        let name = process.name.clone();
        let why = match process.container() {
            Some(_) if process.exit().is_none() => "could not be stopped before it was struck",
            _ => "ended by itself before it could be struck",
        };
        return Err((name.clone(), format!("{name} {why}")));
    }
    Ok(())
}

/// A worker that holds an uncommitted chunk. One that stays stopped must not be in the middle of
/// its commit: the others would wait for it, and none would take anything over.
async fn busy(stage: &Stage, fault: &PlannedFault) -> Result<Victim, (String, String)> {
    let arrests = of(fault.kind).arrests();
    let stays = arrests && fault.hold.is_some();
    loop {
        let workers = stage.fleet.workers();
        if workers.is_empty() {
            return Err(nobody("busy"));
        }
        if stage.standing().is_over() {
            return Err(is_over("busy"));
        }
        let holders = stage.holders().await.unwrap_or_default();
        let candidates: Vec<_> = workers
            .into_iter()
            .filter(|worker| holders.contains(&worker.name) && worker.state() != Some('T'))
            .collect();
        if let Some(candidate) = stage.draw(candidates) {
            if !arrests {
                return find(stage, candidate).await;
            }
            if let Ok(victim) = arrest(stage, candidate).await {
                let in_the_way = stays && stage.waits_for(&victim.process);
                if !victim.held.is_empty() && !in_the_way {
                    return Ok(victim);
                }
                // It committed just then, or is about to: not busy any more.
                victim.process.signal(Signal::CONT).await;
            }
        }
        sleep(LOOK).await;
    }
}
