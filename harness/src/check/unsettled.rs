//! Causes that were seen for a commit that was left half done. AMQP has no step that both stores a result
//! and acknowledges its task: whoever loses the broker, or its life, between the two cannot say what it
//! has kept. Each cause excuses one leftover of that one chunk: a result that is stored again, a task
//! that comes back.

use crate::facts::{Duplicates, Exit, Facts, Strike};
use crate::plan::Plan;

/// How long before a strike a worker may have stored what it had not acknowledged yet, in seconds; or for
/// two chunks.
const UNACKNOWLEDGED_S: f64 = 2.0;

/// The end of a process, or a strike, may be recorded a little after what it has led to, in seconds.
pub(super) const OUT_OF_ORDER_S: f64 = 1.0;

/// How long a worker may take to be back at the broker, and to send again what was not confirmed, in
/// seconds.
pub(super) const BACK_S: f64 = 10.0;

/// The results of a chunk: whose they are, and when the first and the last of them came, in seconds.
struct ChunkResults<'a> {
    index: u64,
    workers: Vec<&'a str>,
    between_s: (f64, f64),
}

/// How many causes there were for the one commit of this chunk.
pub(super) fn of_commit(plan: &Plan, facts: &Facts, index: u64) -> u64 {
    let Some((worker, at_s)) = facts.ledger.commit(index) else { return 0 };
    // It would have been acknowledged by then.
    let between_s = (at_s, at_s + unacknowledged_s(plan));
    causes(plan, facts, &ChunkResults { index, workers: vec![worker], between_s })
}

/// How many causes there were for results of this chunk beyond the first.
pub(super) fn of_duplicates(plan: &Plan, facts: &Facts, index: u64, it: &Duplicates) -> u64 {
    causes(plan, facts, &ChunkResults::of(index, it))
}

/// Whether the broker itself was ended meanwhile: then it may not know how often it delivered what it
/// had.
pub(super) fn broker_was_ended(plan: &Plan, facts: &Facts, index: u64, it: &Duplicates) -> bool {
    let results = ChunkResults::of(index, it);
    let ended_it = |strike: &Strike| {
        strike.ends_broker()
            && strike.t_s <= it.between_s.1
            && is_cause(plan, facts, &results, strike)
    };
    facts.strikes.iter().any(ended_it)
}

impl<'a> ChunkResults<'a> {
    fn of(index: u64, it: &'a Duplicates) -> Self {
        let workers = it.workers.iter().map(String::as_str).collect();
        Self { index, workers, between_s: it.between_s }
    }

    /// Whether something that began and ended then may have come between the first of them and its
    /// acknowledgement.
    fn are_about(&self, plan: &Plan, begun_s: f64, over_s: f64) -> bool {
        let (first_s, last_s) = self.between_s;
        begun_s <= last_s + OUT_OF_ORDER_S
            && first_s <= over_s + OUT_OF_ORDER_S
            && first_s >= begun_s - unacknowledged_s(plan) - OUT_OF_ORDER_S
    }
}

fn unacknowledged_s(plan: &Plan) -> f64 {
    UNACKNOWLEDGED_S.max(2.0 * plan.sweep.chunk_time().as_secs_f64())
}

fn causes(plan: &Plan, facts: &Facts, results: &ChunkResults<'_>) -> u64 {
    let lost = facts.lost_deliveries.get(&results.index).copied().unwrap_or(0);
    let strikes = facts.strikes.iter().filter(|strike| is_cause(plan, facts, results, strike));
    lost.max(strikes.count() as u64).max(ends(plan, facts, results))
}

/// How many of the workers ended just then, whatever ended them.
fn ends(plan: &Plan, facts: &Facts, results: &ChunkResults<'_>) -> u64 {
    let is_one = |exit: &&Exit| {
        results.workers.contains(&exit.process.as_str())
            && results.are_about(plan, exit.t_s, exit.t_s)
            // One that leaves in good order has settled what it had.
            && !exit.is_clean()
    };
    facts.exits.iter().filter(is_one).count() as u64
}

/// Whether a strike may have come between a result and its acknowledgement: it struck who had the chunk,
/// or it ended or cut off, at that time, who has stored it, or the broker.
fn is_cause(plan: &Plan, facts: &Facts, results: &ChunkResults<'_>, strike: &Strike) -> bool {
    let Some(consequences) = strike.consequences.as_ref().filter(|_| strike.bit) else {
        return false;
    };
    let ends_broker = strike.ends_broker();
    if !consequences.orphans && !ends_broker {
        return false;
    }
    let holds = |id: &str| facts.ledger.index(id) == Some(results.index);
    if strike.held.iter().any(|held| holds(&held.chunk_id)) {
        return true;
    }
    let is_its_worker = results.workers.contains(&strike.target.as_str())
        && (strike.ends_process() || strike.is_of_network());
    let over_s = strike.healed_s.unwrap_or(strike.t_s);
    let over_s = if ends_broker { over_s + BACK_S } else { over_s };
    (is_its_worker || ends_broker) && results.are_about(plan, strike.t_s, over_s)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{History, plan};
    use super::*;
    use crate::history::Event;
    use crate::plan::BROKER;

    /// The chunk that is stored again, by worker-1, which stored it at 11.5 s; and when.
    const CHUNK: u64 = 31;
    const AGAIN_S: f64 = 13.0;

    fn strike(kind: &str, target: &str) -> Event {
        Event::FaultInjected {
            fault: "it".into(),
            kind: kind.into(),
            target: target.into(),
            bit: true,
            proof: "seen".into(),
            held: Vec::new(),
        }
    }

    /// How many causes this is for it, at that time.
    fn causes(at_s: f64, event: Event) -> u64 {
        let history = History::of(plan());
        let again = history.result_of("00031");
        let history = history.with(AGAIN_S, again).with(at_s, event);
        let facts = history.facts();
        of_duplicates(&history.plan, &facts, CHUNK, &facts.ledger.duplicates_of[&CHUNK])
    }

    #[test]
    fn whoever_stored_it_was_ended_or_cut_off_just_then() {
        for kind in ["kill", "restart", "out-of-memory", "reset", "partition", "drop", "half-open"]
        {
            assert_eq!(causes(11.6, strike(kind, "worker-1")), 1, "{kind}");
            assert_eq!(causes(11.6, strike(kind, "worker-2")), 0, "{kind}: another one's");
            assert_eq!(causes(20.0, strike(kind, "worker-1")), 0, "{kind}: long after");
            assert_eq!(causes(4.0, strike(kind, "worker-1")), 0, "{kind}: long before");
        }
    }

    #[test]
    fn what_loses_no_connection_is_no_cause() {
        for kind in ["latency", "bandwidth", "slice", "slow", "pause", "terminate"] {
            assert_eq!(causes(11.6, strike(kind, "worker-1")), 0, "{kind}");
        }
        assert_eq!(causes(11.6, strike("pause", BROKER)), 0);
    }

    #[test]
    fn a_broker_that_was_ended_is_one_until_workers_are_back() {
        assert_eq!(causes(11.6, strike("kill", BROKER)), 1);
        assert_eq!(causes(4.0, strike("restart", BROKER)), 1, "it was not back for long");
        assert_eq!(causes(0.3, strike("kill", BROKER)), 0);
    }

    #[test]
    fn a_worker_that_ended_badly_is_one_and_one_that_left_is_none() {
        let ended = |code| Event::ProcessExited {
            process: "worker-1".into(),
            pid: 102,
            code: Some(code),
            signal: None,
            said: None,
        };
        assert_eq!(causes(11.7, ended(1)), 1);
        assert_eq!(causes(11.7, ended(0)), 0);
        assert_eq!(causes(30.0, ended(1)), 0);
    }
}
