//! `slice`: what passes is cut into tiny packets.

use super::entry::PROCESSES;
use super::network::{self, toxic};
use super::{Ends, Entry, Lasts, Site};
use crate::plan::FaultKind;
use ttg_proxy::Toxic;

toxic!(
    Slice,
    Entry {
        kind: FaultKind::Slice,
        name: "slice",
        does: "what passes is cut into pieces of at most `bytes`, with `delay` between them",
        proof: "bytes that could have gone together were cut apart",
        did: "fed in slices",
        on: PROCESSES,
        lasts: Lasts::Must,
        needs: &["bytes"],
        takes: &["delay", "direction"],
        ends: Ends::No,
        orphans: false,
        refuse: Site::no_proxy,
    },
    |fault, _stage| Toxic::Slice {
        bytes: fault.settings.bytes.map_or(1, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        pause: fault.settings.delay.unwrap_or_default(),
        direction: network::direction(fault),
    }
);
