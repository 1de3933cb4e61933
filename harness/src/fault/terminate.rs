//! `terminate`: SIGTERM. The process is asked to leave, and may finish or give back its work.

use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use tokio::time::{Instant, timeout};

use super::entry::PROCESSES;
use super::{Ends, Entry, Fault, Lasts, Proof, Site, describe};
use crate::environment::Process;
use crate::plan::{FaultKind, PlannedFault};
use crate::run::Stage;

/// How long a process may take to leave: as long as Kubernetes gives a pod.
const GRACE: Duration = Duration::from_secs(30);

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Terminate,
    name: "terminate",
    does: "SIGTERM; it may finish or give back its work",
    proof: "it ended within 30 s, and not as one that had just finished",
    did: "terminated",
    on: PROCESSES,
    lasts: Lasts::No,
    needs: &[],
    takes: &[],
    ends: Ends::Asked,
    orphans: false,
    refuse: Site::anywhere,
};

/// Sends SIGTERM to a process.
pub(super) struct Terminate;

#[async_trait(?Send)]
impl Fault for Terminate {
    async fn inject(&self, _: &Rc<Stage>, _: &PlannedFault, victim: &Process) -> Proof {
        let asked = Instant::now();
        victim.signal(Signal::TERM).await;
        victim.signal(Signal::CONT).await;
        match timeout(GRACE, victim.ended()).await {
            Ok(exit) => {
                let took = asked.elapsed().as_millis();
                let seen = format!("{} {} after {took} ms", victim.describe(), describe(exit));
                // A process that had just finished leaves with 0: the request came too late.
                if exit.code == Some(0) { Proof::missed(seen) } else { Proof::bit(seen) }
            }
            Err(_) => {
                Proof::missed(format!("{} did not leave within {GRACE:?}", victim.describe()))
            }
        }
    }
}
