//! What a verdict has to know of a kind of fault. Whoever carries faults out writes it into the plan, so that
//! a verdict leans on no fault's code.

use serde::{Deserialize, Serialize};

/// What a kind of fault may leave behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consequences {
    /// Past participle, as in `which was killed at 3.1 s`.
    pub did: String,
    /// What becomes of a process that it strikes.
    pub ends: Ends,
    /// It goes on until it is healed.
    pub goes_on: bool,
    /// It leaves chunks behind that others have to take over.
    pub orphans: bool,
    /// It may strike workers.
    pub on_workers: bool,
    /// It may strike nodes of a cluster, with all that runs there.
    pub on_nodes: bool,
}

/// What becomes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ends {
    /// It lives on.
    No,
    /// SIGKILL ends it, for good.
    Killed,
    /// SIGKILL ends it, and another takes its place.
    Replaced,
    /// It is asked to end.
    Asked,
}
