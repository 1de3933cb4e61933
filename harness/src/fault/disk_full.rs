//! `disk-full`: the file system that holds the broker's data is full for a time. It is a small one
//! of the broker's own, so that nobody else is harmed. A server that ends for want of space, as Redis
//! does where it always writes first, is started again once there is some.

use async_trait::async_trait;

use super::{Ends, Entry, Fault, Lasts, Proof, Role, Site};
use crate::environment::{Seen, Server};
use crate::plan::{Environment, FaultKind, PlannedFault};

pub(super) static ENTRY: Entry = Entry {
    kind: FaultKind::DiskFull,
    name: "disk-full",
    does: "the small file system that holds the broker's data is filled, and freed after `for`; a server that \
           ended of it starts again",
    proof: "no space is left; RabbitMQ, which is left 24 MB, says that it takes nothing (`connection.blocked`)",
    did: "left without disk space",
    on: &[Role::Broker],
    lasts: Lasts::Must,
    needs: &[],
    takes: &[],
    ends: Ends::No,
    orphans: false,
    refuse,
};

fn refuse(site: &Site, _: Role) -> Option<&'static str> {
    (site.environment != Environment::Container).then_some(
        "only in a container has the broker a file system of its own that can be filled (choose \
         environment container)",
    )
}

/// Fills the file system that holds the broker's data, and frees it after a time.
pub(super) struct DiskFull;

#[async_trait(?Send)]
impl Fault for DiskFull {
    async fn inject_broker(&self, _: &PlannedFault, server: &dyn Server) -> Proof {
        Proof::of(server.fill_disk().await)
    }

    async fn heal_broker(&self, _: &PlannedFault, server: &dyn Server) -> Seen {
        server.free_disk().await
    }
}
