//! `slow`: a process gets a share of a CPU only. In a container the engine's quota sees to it; a process
//! of this machine is stopped and let go in turn, which needs no privileges.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::time::sleep;

use super::entry::PROCESSES;
use super::{Ends, Entry, Fault, Lasts, Proof, Site, becomes_stopped};
use crate::environment::Process;
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

/// How long a process is let go and stopped in turn, together.
const TURN: Duration = Duration::from_millis(50);

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Slow,
    name: "slow",
    does: "it gets `share` of a CPU: by the engine's quota, or stopped and let go in turn",
    proof: "the engine says so, or the kernel that it is stopped",
    did: "slowed down",
    on: PROCESSES,
    lasts: Lasts::Must,
    needs: &["share"],
    takes: &[],
    ends: Ends::No,
    orphans: false,
    refuse: Site::anywhere,
};

/// Limits a process to a share of one CPU.
pub(super) struct Slow;

/// Ends a task with itself.
struct Turns(tokio::task::JoinHandle<()>);

impl Drop for Turns {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait(?Send)]
impl Fault for Slow {
    fn arrests(&self) -> bool {
        false
    }

    async fn inject(&self, stage: &Rc<Stage>, fault: &PlannedFault, victim: &Process) -> Proof {
        let share = fault.settings.share.unwrap_or(1.0);
        if let Some(container) = victim.container().filter(|it| !it.takes_turns()) {
            return Proof::of(container.limit_cpu(Some(share)).await);
        }
        victim.nudge(Signal::STOP).await;
        let stopped = becomes_stopped(victim, true).await;
        let what = format!("fault {}", fault.name);
        let turns = stage.spawn(what, take_turns(victim.clone(), share));
        stage.keep(fault, &victim.name, Box::new(Turns(turns)));
        if stopped {
            let percent = share * 100.0;
            Proof::bit(format!("{} runs {percent:.0} % of the time", victim.describe()))
        } else {
            Proof::missed(format!("{} did not stop", victim.describe()))
        }
    }

    async fn heal(&self, stage: &Rc<Stage>, fault: &PlannedFault, victim: &Process) {
        drop(stage.take_kept(fault, &victim.name));
        match victim.container().filter(|it| !it.takes_turns()) {
            Some(container) => {
                // One that ended meanwhile has no limit any more.
                let _ = container.limit_cpu(None).await;
            }
            None => {
                victim.nudge(Signal::CONT).await;
            }
        }
    }
}

async fn take_turns(process: Process, share: f64) {
    while process.exit().is_none() {
        sleep(TURN.mul_f64(1.0 - share)).await;
        process.nudge(Signal::CONT).await;
        sleep(TURN.mul_f64(share)).await;
        process.nudge(Signal::STOP).await;
    }
}
