//! `partition`: cut from the broker, both ways or one. Nothing passes, nothing is lost: what waits goes
//! on in order once the cut is mended.

use super::entry::PROCESSES;
use super::network::{self, toxic};
use super::{Ends, Entry, Lasts, Site};
use crate::plan::FaultKind;
use crate::proxy::Toxic;

toxic!(
    Partition,
    Entry {
        kind: FaultKind::Partition,
        name: "partition",
        does: "nothing passes between it and the broker, both ways or one; what waits goes on in order afterwards",
        proof: "bytes or new connections waited",
        did: "cut off",
        on: PROCESSES,
        lasts: Lasts::Must,
        needs: &[],
        takes: &["direction"],
        ends: Ends::No,
        orphans: true,
        refuse: Site::no_network,
    },
    |fault, _stage| Toxic::Partition { direction: network::direction(fault) }
);
