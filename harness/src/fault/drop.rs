//! `drop`: bytes vanish, the connection stays. A connection that has lost some is broken afterwards,
//! for what comes next would be no part of the same stream.

use super::entry::PROCESSES;
use super::network::{self, toxic};
use super::{Ends, Entry, Lasts, Site};
use crate::plan::FaultKind;
use ttg_proxy::Toxic;

toxic!(
    Drop,
    Entry {
        kind: FaultKind::Drop,
        name: "drop",
        does: "bytes to or from the broker vanish, the connection stays; it is reset afterwards",
        proof: "bytes vanished",
        did: "left with a connection that loses bytes",
        on: PROCESSES,
        lasts: Lasts::Must,
        needs: &[],
        takes: &["direction"],
        ends: Ends::No,
        orphans: true,
        refuse: Site::no_proxy,
    },
    |fault, _stage| Toxic::Drop { direction: network::direction(fault) }
);
