//! Faults: one file each, with how it is carried out, how it is proved, and how it is healed.

mod broker;
mod kill;
mod pause;
mod restart;
mod strike;
mod target;
mod terminate;
mod trigger;

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::environment::{Exit, Process};
use crate::plan::FaultKind;
use crate::run::Stage;

pub use strike::carry_out;

/// How long the operating system may take to carry out a signal.
const SIGNAL: Duration = Duration::from_secs(5);

/// Whether a fault took effect, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// It did.
    pub bit: bool,
    /// What was seen: one lower-case fragment.
    pub seen: String,
}

impl Proof {
    fn bit(seen: impl Into<String>) -> Self {
        Self { bit: true, seen: seen.into() }
    }

    fn missed(seen: impl Into<String>) -> Self {
        Self { bit: false, seen: seen.into() }
    }
}

/// What goes wrong. The victim is stopped already when it is carried out, so that what it held at
/// that moment is known.
#[async_trait(?Send)]
pub trait Fault {
    /// Carries it out, and proves that it took.
    async fn inject(&self, stage: &Rc<Stage>, victim: &Process) -> Proof;

    /// Ends it, where it lasts for a time.
    async fn heal(&self, _stage: &Rc<Stage>, _victim: &Process) {}
}

/// The fault of this kind.
pub fn of(kind: FaultKind) -> &'static dyn Fault {
    match kind {
        FaultKind::Kill => &kill::Kill,
        FaultKind::Terminate => &terminate::Terminate,
        FaultKind::Pause => &pause::Pause,
        FaultKind::Restart => &restart::Restart,
    }
}

/// Waits until the kernel says that a process is stopped, or is not. False where it ended.
async fn becomes_stopped(process: &Process, stopped: bool) -> bool {
    let deadline = Instant::now() + SIGNAL;
    // The kernel tells only a parent that is waiting for it, which is busy waiting for the end.
    while Instant::now() < deadline && process.exit().is_none() {
        match process.state() {
            Some('T') if stopped => return true,
            Some('T' | 'Z' | 'X') | None => {}
            Some(_) if !stopped => return true,
            Some(_) => {}
        }
        sleep(Duration::from_millis(1)).await;
    }
    false
}

fn describe(exit: Exit) -> String {
    match exit {
        Exit { signal: Some(signal), .. } => format!("ended by signal {signal}"),
        Exit { code, .. } => format!("ended with exit code {}", code.unwrap_or_default()),
    }
}
