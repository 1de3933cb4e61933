//! `wipe`: the broker is killed and comes back on the same port with nothing in it. What a sweep
//! can do is to notice and to say so.

use async_trait::async_trait;

use super::{Ends, Entry, Fault, Lasts, Proof, Role, Site};
use crate::environment::{Seen, Server};
use crate::plan::{FaultKind, PlannedFault};

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::Wipe,
    name: "wipe",
    does: "SIGKILL, and it starts again on the same port with its data gone",
    proof: "it ended by signal 9, and its data directory was emptied",
    did: "wiped",
    on: &[Role::Broker],
    lasts: Lasts::No,
    needs: &[],
    takes: &[],
    ends: Ends::No,
    orphans: false,
    refuse: Site::anywhere,
};

/// Kills the broker and starts it again without its data.
pub(super) struct Wipe;

#[async_trait(?Send)]
impl Fault for Wipe {
    async fn inject_broker(&self, _: &PlannedFault, server: &dyn Server) -> Proof {
        Proof::of(server.wipe().await)
    }

    async fn heal_broker(&self, _: &PlannedFault, server: &dyn Server) -> Seen {
        server.start_again().await
    }
}
