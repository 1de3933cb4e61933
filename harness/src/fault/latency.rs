//! `latency`: what passes is late, by a delay with jitter. The order stays.

use super::entry::PROCESSES;
use super::network::{self, toxic};
use super::{Ends, Entry, Lasts, Site};
use crate::plan::FaultKind;
use ttg_proxy::Toxic;

toxic!(
    Latency,
    Entry {
        kind: FaultKind::Latency,
        name: "latency",
        does: "what passes is late by `delay`, more or less by `jitter`; the order stays",
        proof: "bytes waited for the delay",
        did: "slowed down on its way to the broker",
        on: PROCESSES,
        lasts: Lasts::Must,
        needs: &["delay"],
        takes: &["jitter", "direction"],
        ends: Ends::No,
        orphans: false,
        refuse: Site::no_proxy,
    },
    |fault, stage| Toxic::Latency {
        delay: fault.settings.delay.unwrap_or_default(),
        jitter: fault.settings.jitter.unwrap_or_default(),
        seed: stage.draw_number(),
        direction: network::direction(fault),
    }
);
