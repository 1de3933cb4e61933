//! `bandwidth`: no more than so many bytes a second pass, each way.

use super::entry::PROCESSES;
use super::network::{self, toxic};
use super::{Ends, Entry, Lasts, Site};
use crate::plan::FaultKind;
use ttg_proxy::Toxic;

toxic!(
    Bandwidth,
    Entry {
        kind: FaultKind::Bandwidth,
        name: "bandwidth",
        does: "at most `bytes` a second pass between it and the broker",
        proof: "bytes had to wait for the rate",
        did: "slowed down on its way to the broker",
        on: PROCESSES,
        lasts: Lasts::Must,
        needs: &["bytes"],
        takes: &["direction"],
        ends: Ends::No,
        orphans: false,
        refuse: Site::no_proxy,
    },
    |fault, _stage| Toxic::Bandwidth {
        bytes_per_second: fault.settings.bytes.unwrap_or(1),
        direction: network::direction(fault),
    }
);
