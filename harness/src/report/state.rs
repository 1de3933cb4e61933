//! What is known of a run that goes on, and how far it is in one line.

use std::collections::BTreeSet;

use crate::facts::Facts;
use crate::history::{Event, Record};
use crate::last_words::{masked, telling};
use crate::plan::{Backend, Plan};
use crate::words::counted;

/// Kinds of reasons that are told while a run goes on.
const REASONS: usize = 8;

/// What is known of a run that goes on.
#[derive(Debug)]
pub(super) struct State {
    plan: Plan,
    pub(super) facts: Facts,
    alive: BTreeSet<(String, u32)>,
    broker_is_there: bool,
    /// Failed attempts, and those of them that wait to be made again.
    pub(super) attempts: (u64, u64),
    /// Kinds of reasons for that which are told.
    reasons: BTreeSet<String>,
    /// The last of them is one that was not told before.
    pub(super) reason_is_new: bool,
    pub(super) now_s: f64,
}

impl State {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            facts: Facts::new(plan),
            alive: BTreeSet::new(),
            broker_is_there: plan.backend == Backend::Static,
            attempts: (0, 0),
            reasons: BTreeSet::new(),
            reason_is_new: false,
            now_s: 0.0,
        }
    }

    pub(super) fn observe(&mut self, record: &Record) {
        self.facts.observe(record);
        self.now_s = self.now_s.max(record.t_s);
        match &record.event {
            Event::BrokerReady { .. } => self.broker_is_there = true,
            Event::ProcessStarted { process, pid } => {
                self.alive.insert((process.clone(), *pid));
            }
            Event::ProcessExited { process, pid, .. } => {
                self.alive.remove(&(process.clone(), *pid));
            }
            Event::Attempts { failed, waiting, reason } => {
                self.attempts = (*failed, *waiting);
                let kind = reason.as_deref().map(|reason| masked(&telling(reason)));
                let kind = kind.filter(|_| self.reasons.len() < REASONS);
                self.reason_is_new = kind.is_some_and(|kind| self.reasons.insert(kind));
            }
            _ => {}
        }
    }

    /// How often a process of this name was started.
    pub(super) fn lives(&self, process: &str) -> usize {
        self.facts.starts.iter().filter(|(name, _)| name == process).count()
    }

    pub(super) fn line(&self) -> String {
        let workers = self.alive.iter().filter(|(name, _)| name.starts_with("worker-")).count();
        let alive = counted(workers as u64, "worker");
        if !self.broker_is_there {
            return format!("the {} broker starts", self.plan.backend);
        }
        if self.facts.sweep_started_s.is_none() {
            return format!("the sweep has not begun, {alive}");
        }
        let ledger = &self.facts.ledger;
        let (chunks, of) = (ledger.chunks_committed(), self.plan.sweep.chunks());
        let mut line = format!("{chunks} of {}", counted(of, "chunk"));
        if ledger.recomputed > 0 {
            return format!("{line}, {} computed again", ledger.recomputed);
        }
        let left = self.plan.sweep.params().saturating_sub(ledger.committed().len());
        if let Some(rate) = self.rate().filter(|_| left > 0 || !self.is_leaving()) {
            line += &format!(", {rate:.0} params/s, {:.0} s left", left as f64 / rate);
        }
        match self.attempts {
            (0, _) => {}
            (failed, 0) => line += &format!(", {} failed", counted(failed, "attempt")),
            (failed, waiting) => {
                line += &format!(", {} failed ({waiting} wait)", counted(failed, "attempt"));
            }
        }
        match self.facts.failures.letters {
            0 => {}
            letters => line += &format!(", {}", counted(letters, "dead letter")),
        }
        if self.is_leaving() {
            let left: Vec<String> = self.alive.iter().map(|(name, _)| name.clone()).collect();
            return format!("{line}, {} to leave", crate::words::first_listed(&left));
        }
        format!("{line}, {alive}")
    }

    /// Whether all is computed, and somebody is there still.
    fn is_leaving(&self) -> bool {
        let done = self.facts.ledger.chunks_committed() >= self.plan.sweep.chunks();
        let since = self.facts.last_result_s.unwrap_or(0.0);
        done && !self.alive.is_empty() && self.now_s > since + 1.0
    }

    fn rate(&self) -> Option<f64> {
        let elapsed = self.now_s - self.facts.sweep_started_s?;
        let committed = self.facts.ledger.committed().len();
        (committed > 0 && elapsed > 0.0).then(|| committed as f64 / elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, plan};
    use crate::plan::Kernel;

    #[test]
    fn each_phase_of_a_run_has_its_words() {
        let mut state = State::new(&plan());
        let mut at = |t_s: f64, event: Event| {
            state.observe(&Record { t_s, event });
            state.line()
        };
        assert_eq!(at(0.0, Event::RunStarted { at: String::new() }), "the redis broker starts");
        let ready = Event::BrokerReady { broker: "redis".into() };
        assert_eq!(at(1.0, ready), "the sweep has not begun, 0 workers");
        let started = Event::ProcessStarted { process: "worker-0".into(), pid: 7 };
        assert_eq!(at(1.0, started), "the sweep has not begun, 1 worker");
        assert_eq!(at(2.0, Event::SweepStarted), "0 of 100 chunks, 1 worker");
        let attempts = Event::Attempts { failed: 37, waiting: 3, reason: None };
        assert_eq!(at(9.0, attempts), "0 of 100 chunks, 37 attempts failed (3 wait), 1 worker");
        let letter = Event::DeadLettered {
            chunk_id: Some("00001".into()),
            range: None,
            reason: "no luck".into(),
            attempts: 4,
        };
        assert_eq!(
            at(9.5, letter),
            "0 of 100 chunks, 37 attempts failed (3 wait), 1 dead letter, 1 worker"
        );
    }

    #[test]
    fn what_is_computed_again_is_counted() {
        let mut history = History::of(plan());
        history.plan.sweep.kernel = Kernel::Exec { command: vec!["f".to_owned()] };
        let mut state = State::new(&history.plan);
        history.records.iter().for_each(|record| state.observe(record));
        let Event::Result(result) = history.result_of("00017") else { panic!() };
        state.observe(&Record { t_s: 60.0, event: Event::Recomputed(result) });
        assert_eq!(state.line(), "100 of 100 chunks, 1 computed again");
    }
}
