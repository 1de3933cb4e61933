//! `reset`: its connections to the broker are reset (RST), and with `for` every new one too.

use super::entry::PROCESSES;
use super::network::toxic;
use super::{Ends, Entry, Lasts, Site};
use crate::plan::FaultKind;
use ttg_proxy::Toxic;

toxic!(
    Reset,
    Entry {
        kind: FaultKind::Reset,
        name: "reset",
        does: "its connections to the broker are reset, with `for` every new one too",
        proof: "connections were reset",
        did: "reset",
        on: PROCESSES,
        lasts: Lasts::May,
        needs: &[],
        takes: &[],
        ends: Ends::No,
        orphans: true,
        refuse: Site::no_proxy,
    },
    |fault, _stage| Toxic::Reset
);
