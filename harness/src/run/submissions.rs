//! Every task that the broker has at the end, against the plan: its range, and how often its chunk was
//! submitted.

use std::collections::{BTreeMap, BTreeSet};

use ttg_contract::chunk::ChunkId;
use ttg_contract::wire::Task;
use ttg_system::queue::{Broker, Cursor, QueueError, Stamped};

use super::Stage;
use super::observed::Observed;
use crate::history::Event;
use crate::plan::{Backend, Sweep};
use crate::words::bounded;

/// Messages per read, and chunks per line of the history.
const PAGE: usize = 1000;

/// Chunks that are named one by one.
const NAMED: usize = 100;

/// Counts how often each chunk of a sweep was submitted, and with which range.
pub(super) struct Submissions {
    sweep: Sweep,
    backend: Backend,
    /// How often each chunk was submitted.
    times: Vec<u16>,
    /// The first tasks that ask for something else than the plan, and how many there are.
    wrong: Vec<Task>,
    wrong_count: u64,
    /// The first messages that are no tasks, and how many there are.
    unreadable: Vec<String>,
    unreadable_count: u64,
    /// Whether anybody was to replay letters.
    replays: bool,
    attempts: u64,
    /// Retries and replays that were seen: the chunk, how often it was replayed, and its failures since.
    attempted: BTreeSet<(u64, u32, u32)>,
    /// Failures before the last attempt of each chunk.
    failures: BTreeMap<u64, u32>,
    /// Deliveries of tasks that are not among these.
    bypassed: u64,
}

impl Submissions {
    /// Reads all tasks.
    pub(super) async fn read(
        stage: &Stage,
        observed: &Observed,
        broker: &dyn Broker,
    ) -> Result<Self, QueueError> {
        let sweep = stage.plan.sweep.clone();
        let times = vec![0; usize::try_from(sweep.chunks()).unwrap_or(0)];
        let mut all = Self {
            sweep,
            backend: stage.plan.backend,
            times,
            wrong: Vec::new(),
            wrong_count: 0,
            unreadable: Vec::new(),
            unreadable_count: 0,
            replays: stage.plan.afterwards.is_some(),
            attempts: 0,
            attempted: BTreeSet::new(),
            failures: BTreeMap::new(),
            bypassed: broker.bypassed().await?,
        };
        let mut cursor = Cursor::default();
        loop {
            let from = cursor.clone();
            for Stamped { at_ms, what } in broker.tasks(&mut cursor, PAGE).await? {
                match what {
                    Ok(task) => all.take_in(observed, at_ms, &task),
                    Err(reason) => all.unreadable(reason),
                }
            }
            if cursor == from {
                return Ok(all);
            }
        }
    }

    fn unreadable(&mut self, reason: String) {
        self.unreadable_count += 1;
        if self.unreadable.len() < NAMED {
            self.unreadable.push(bounded(reason));
        }
    }

    fn take_in(&mut self, observed: &Observed, at_ms: i64, task: &Task) {
        let index = task.chunk.index;
        let totals = (self.sweep.params(), self.sweep.chunks());
        let is_of_plan = index < self.sweep.chunks()
            && self.sweep.chunk(index) == (task.chunk.start, task.chunk.end)
            && totals == (task.total_params, task.total_chunks);
        if !is_of_plan {
            self.wrong_count += 1;
            if self.wrong.len() < NAMED {
                self.wrong.push(task.clone());
            }
        }
        if task.retry_count > 0 {
            self.attempts += 1;
            let most = self.failures.entry(index).or_default();
            *most = task.retry_count.max(*most);
        }
        // What nobody was to replay is submitted again, whatever it calls itself.
        let is_submission = task.is_first() || (task.replays > 0 && !self.replays);
        // Nobody attempts again what has its result, nor twice after as many failures. RabbitMQ does
        // not say when a task came, and of a server that is killed one may come twice.
        let is_told = self.backend != Backend::RabbitMq;
        let is_late = observed.first(index).is_some_and(|result| result.at_ms < at_ms);
        let attempt = (index, task.replays, task.retry_count);
        let is_late = is_told && !is_submission && (!self.attempted.insert(attempt) || is_late);
        if let Some(times) = self.times.get_mut(usize::try_from(index).unwrap_or(usize::MAX)) {
            match *times {
                0 if is_late => *times = 2,
                _ if is_submission || is_late => *times = times.saturating_add(1),
                _ => {}
            }
        }
    }

    /// What there is to tell.
    pub(super) fn events(self) -> Vec<Event> {
        let id = |index: u64| ChunkId(index).to_string();
        let chunks = self.times.iter().filter(|times| **times > 0).count() as u64;
        let (wrong, unreadable) = (self.wrong_count, self.unreadable_count);
        let again = || (0..).zip(&self.times).filter(|(_, times)| **times > 1);
        let mut events = vec![Event::Submitted {
            chunks,
            wrong,
            unreadable,
            again: again().count() as u64,
            bypassed: self.bypassed,
        }];
        let reasons = self.unreadable.iter().cloned();
        events.extend(reasons.map(|reason| Event::UnreadableTask { reason }));
        events.extend(self.wrong.iter().map(|task| Event::WrongTask {
            chunk_id: id(task.chunk.index),
            range: (task.chunk.start, task.chunk.end),
            totals: (task.total_params, task.total_chunks),
        }));
        events.extend(again().take(NAMED).map(|(index, times)| Event::Resubmitted {
            chunk_id: id(index),
            times: u64::from(*times),
        }));
        events.extend(retried(self.attempts, &self.failures));
        events
    }
}

/// What is told of attempts that failed, in lines that can be read back: the first has the number.
fn retried(attempts: u64, failures: &BTreeMap<u64, u32>) -> Vec<Event> {
    let failures: Vec<_> = failures.iter().collect();
    let mut attempts = Some(attempts);
    let mut event = |page: &[(&u64, &u32)]| Event::Retried {
        attempts: attempts.take().unwrap_or(0),
        chunks: page.iter().map(|(index, most)| (ChunkId(**index).to_string(), **most)).collect(),
    };
    if failures.is_empty() {
        return vec![event(&[])];
    }
    failures.chunks(PAGE).map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_told_once_and_their_chunks_in_lines_that_can_be_read_back() {
        let failures = (0..2500).map(|index| (index, 1)).collect();
        let events = retried(2600, &failures);
        let Event::Retried { attempts: 2600, chunks } = &events[0] else { panic!("{events:?}") };
        assert_eq!((events.len(), chunks.len()), (3, PAGE));
        assert!(matches!(events[2], Event::Retried { attempts: 0, .. }));
        assert_eq!(retried(0, &BTreeMap::new()).len(), 1);
    }
}
