//! Causes that were seen for a commit of which something is left over. AMQP has no step that both stores a
//! result and acknowledges its task: whoever loses the broker between the two cannot know what it has
//! kept. Such a cause excuses one leftover of that one chunk.

use crate::facts::{Facts, Strike};

/// How long before its death a server may have left a message in one of its two queues alone, in seconds.
pub(super) const UNWRITTEN_S: f64 = 2.0;

/// The proof of a strike may be recorded a little after it, in seconds.
pub(super) const OUT_OF_ORDER_S: f64 = 1.0;

/// How long a worker may take to be back at the broker, and to send again what was not confirmed, in
/// seconds.
const BACK_S: f64 = 10.0;

/// How many causes there were for this chunk's commit to be left half done: deliveries that were lost, and
/// faults that struck whoever had it, cut off who committed it, or ended the broker at that time.
pub(super) fn causes(facts: &Facts, index: u64) -> u64 {
    let lost = facts.lost_deliveries.get(&index).copied().unwrap_or(0);
    let strikes = facts.strikes.iter().filter(|strike| is_cause(facts, index, strike));
    lost + strikes.count() as u64
}

fn is_cause(facts: &Facts, index: u64, strike: &Strike) -> bool {
    let holds = |id: &str| facts.ledger.index(id) == Some(index);
    let held = strike.bit && strike.held.iter().any(|held| holds(&held.chunk_id));
    held || facts
        .ledger
        .commit(index)
        .is_some_and(|(worker, at_s)| strike.cuts_off(worker, at_s - BACK_S, at_s + UNWRITTEN_S))
}
