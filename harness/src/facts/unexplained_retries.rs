//! Attempts that were made again though nothing had failed. What fails on purpose follows from the seed;
//! whether a user's own program or a foreign worker has failed, nobody can tell from outside.

use ttg_contract::builtin::fails_on_purpose;

use crate::plan::{Kernel, Plan};
use crate::words::{FirstLines, counted, quoted};

/// No sweep makes more attempts at a chunk; a broker may say any number.
const DRAWS: u32 = 1000;

/// Counts the retries that no planned failure accounts for.
#[derive(Debug, Clone)]
pub struct UnexplainedRetries {
    /// The seed and the share of attempts that fail, where nothing else can.
    planned: Option<(u64, f64)>,
    count: u64,
    lines: FirstLines,
}

impl UnexplainedRetries {
    /// None was seen yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let is_known = plan.foreign.is_none() && !matches!(plan.sweep.kernel, Kernel::Exec { .. });
        let rate = plan.env.get("SIMULATE_FAULT_RATE").and_then(|rate| rate.parse().ok());
        let seed = plan.env.get("SEED").and_then(|seed| seed.parse().ok()).unwrap_or(plan.seed);
        let planned = is_known.then(|| (seed, rate.unwrap_or(0.0)));
        Self { planned, count: 0, lines: FirstLines::default() }
    }

    /// Takes in a chunk whose last attempt says that so many before it have failed.
    pub(super) fn observe(&mut self, index: Option<u64>, id: &str, failures: u32) {
        let (Some((seed, rate)), Some(index)) = (self.planned, index) else { return };
        let failed = |attempt: &u32| fails_on_purpose(seed, rate, index, *attempt);
        let explained = (0..failures.min(DRAWS)).take_while(failed).count() as u32;
        if explained < failures {
            self.count += 1;
            let id = quoted(id);
            let (said, known) = (counted(failures.into(), "failure"), explained);
            self.lines.push(|| {
                format!("chunk {id} was attempted again after {said}, of which {known} happened")
            });
        }
    }

    /// How many chunks.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first of them.
    pub fn evidence(&self) -> Vec<String> {
        self.lines.lines()
    }
}
