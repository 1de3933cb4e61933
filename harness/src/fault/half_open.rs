//! `half-open`: the broker sees the connection end, and the process is not told.

use super::entry::PROCESSES;
use super::network::toxic;
use super::{Ends, Entry, Lasts, Site};
use crate::plan::FaultKind;
use ttg_proxy::Toxic;

toxic!(
    HalfOpen,
    Entry {
        kind: FaultKind::HalfOpen,
        name: "half-open",
        does: "the broker sees its connections end, it does not; they are reset afterwards",
        proof: "connections were closed towards the broker alone",
        did: "left half open",
        on: PROCESSES,
        lasts: Lasts::Must,
        needs: &[],
        takes: &[],
        ends: Ends::No,
        orphans: true,
        refuse: Site::no_proxy,
    },
    |fault, _stage| Toxic::HalfOpen
);
