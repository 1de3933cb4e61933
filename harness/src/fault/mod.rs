//! Faults: one file each, with what it does, how it is carried out, how it is proved, and how it is
//! healed.

mod bandwidth;
mod chaos;
mod cordon;
mod disk_full;
mod drain;
mod drop;
mod entry;
mod half_open;
mod kill;
mod latency;
mod network;
mod node;
mod out_of_memory;
mod partition;
mod pause;
mod poison;
mod reset;
mod restart;
mod slice;
mod slow;
mod slow_chunks;
mod strike;
mod table;
mod target;
mod terminate;
mod trigger;
mod wipe;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::environment::{Exit, Process, Seen, Server, Unavailable};
use crate::plan::{Consequences, FaultKind, PlannedFault, with_drawn};
use crate::run::Stage;

pub use crate::plan::Ends;
pub use entry::{Entry, Lasts, Role, Site};
pub use strike::carry_out;
pub use table::markdown;

/// Every fault. A new one is one line here.
static ALL: &[(&Entry, &dyn Fault)] = &[
    (&kill::ENTRY, &kill::Kill),
    (&terminate::ENTRY, &terminate::Terminate),
    (&pause::ENTRY, &pause::Pause),
    (&restart::ENTRY, &restart::Restart),
    (&slow::ENTRY, &slow::Slow),
    (&out_of_memory::ENTRY, &out_of_memory::OutOfMemory),
    (&wipe::ENTRY, &wipe::Wipe),
    (&disk_full::ENTRY, &disk_full::DiskFull),
    (&partition::ENTRY, &partition::Partition),
    (&latency::ENTRY, &latency::Latency),
    (&bandwidth::ENTRY, &bandwidth::Bandwidth),
    (&reset::ENTRY, &reset::Reset),
    (&drop::ENTRY, &drop::Drop),
    (&half_open::ENTRY, &half_open::HalfOpen),
    (&slice::ENTRY, &slice::Slice),
    (&poison::ENTRY, &poison::Poison),
    (&slow_chunks::ENTRY, &slow_chunks::SlowChunks),
    (&chaos::ENTRY, &chaos::Chaos),
    (&cordon::ENTRY, &cordon::Cordon),
    (&drain::ENTRY, &drain::Drain),
];

/// How long the operating system may take to carry out a signal.
const SIGNAL: Duration = Duration::from_secs(5);

/// Whether a fault took effect, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// It did.
    pub bit: bool,
    /// What was seen: one lower-case fragment.
    pub seen: String,
    /// Another fault replaced the victim just then: nothing is proved, and who took its place is to
    /// be struck.
    is_overtaken: bool,
}

impl Proof {
    fn bit(seen: impl Into<String>) -> Self {
        Self { bit: true, seen: seen.into(), is_overtaken: false }
    }

    fn missed(seen: impl Into<String>) -> Self {
        Self { bit: false, seen: seen.into(), is_overtaken: false }
    }

    fn overtaken(seen: impl Into<String>) -> Self {
        Self { is_overtaken: true, ..Self::missed(seen) }
    }

    fn of(seen: Result<String, impl ToString>) -> Self {
        seen.map_or_else(|error| Self::missed(error.to_string()), Self::bit)
    }
}

/// What goes wrong. A kind implements what it can strike: a process, the broker's server, or the
/// sweep as a whole.
#[async_trait(?Send)]
pub trait Fault: Sync {
    /// Whether a process is stopped (SIGSTOP) before it is struck, so that what it held at that
    /// moment is known.
    fn arrests(&self) -> bool {
        true
    }

    /// Strikes a process, and proves that it took.
    async fn inject(&self, _: &Rc<Stage>, _: &PlannedFault, _: &Process) -> Proof {
        Proof::missed("this fault strikes no process")
    }

    /// Ends it, where it lasts for a time.
    async fn heal(&self, _: &Rc<Stage>, _: &PlannedFault, _: &Process) {}

    /// Strikes the broker's server, and proves that it took.
    async fn inject_broker(&self, _: &PlannedFault, _: &dyn Server) -> Proof {
        Proof::missed("this fault strikes no broker")
    }

    /// Puts the server right again, and says what was seen of that where it belongs to the proof;
    /// or why it cannot be put right.
    async fn heal_broker(&self, _: &PlannedFault, _: &dyn Server) -> Seen {
        Err(Unavailable("this fault strikes no broker".to_owned()))
    }

    /// Strikes a node of the cluster, and proves that it took.
    async fn inject_node(&self, _: &Rc<Stage>, _: &PlannedFault, _: &str) -> Proof {
        Proof::missed("this fault strikes no node")
    }

    /// Ends that. What could not be ended is said.
    async fn heal_node(&self, _: &Rc<Stage>, _: &PlannedFault, _: &str) -> Result<(), String> {
        Ok(())
    }

    /// Strikes the sweep for as long as it takes; every strike is told with this name and a
    /// number.
    async fn pervade(&self, _: Rc<Stage>, _: PlannedFault) {}
}

/// The fault of this kind.
pub fn of(kind: FaultKind) -> &'static dyn Fault {
    find(|entry| entry.kind == kind).1
}

/// What is known of this kind.
pub fn entry(kind: FaultKind) -> &'static Entry {
    find(|entry| entry.kind == kind).0
}

/// What a verdict has to know of the kinds of these faults, and of those that they may draw.
pub fn consequences(faults: &[PlannedFault]) -> BTreeMap<String, Consequences> {
    let known = with_drawn(faults).map(|fault| entry(fault.kind));
    known.map(|entry| (entry.name.to_owned(), entry.consequences())).collect()
}

/// What is known of every kind, in the order of the documents.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    ALL.iter().map(|(entry, _)| *entry)
}

fn find(is_it: impl Fn(&Entry) -> bool) -> (&'static Entry, &'static dyn Fault) {
    *ALL.iter().find(|(entry, _)| is_it(entry)).expect("every kind of fault is in the list")
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
        Exit { code: Some(code), .. } => format!("ended with exit code {code}"),
        Exit { code: None, .. } => "ended, and nobody saw how".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_entry_and_one_name() {
        for entry in entries() {
            assert_eq!(FaultKind::named(entry.name), Some(entry.kind));
            assert_eq!(entry.kind.name(), entry.name);
            assert_eq!(entries().filter(|other| other.kind == entry.kind).count(), 1);
        }
        assert_eq!(FaultKind::named("murder"), None);
    }
}
