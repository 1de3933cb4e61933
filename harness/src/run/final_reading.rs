//! What is at the broker once everybody has left: its tasks, all of them, against the plan; what is
//! still open; and every stored result once more, against what was seen while the run went on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use ttg_contract::chunk::ChunkId;
use ttg_contract::wire::TaskResult;
use ttg_system::queue::{Broker, Depths, QueueError, Redelivered, TakenResult};

use super::Stage;
use super::observed::{Observed, SeenKey};
use super::submissions::Submissions;
use crate::history::{Event, Reread};
use crate::plan::Backend;
use crate::words::bounded;

/// Chunks per line of the history, where each is told.
const PAGE: usize = 1000;

/// Chunks that are named one by one, where the first suffice.
const NAMED: usize = 100;

/// Most changed results that are told one by one: a verdict excuses only those that it knows. Workers store some
/// hundreds at once.
const CHANGED: usize = 4_096;

/// How long a server may take to notice that its clients are gone.
const NOTICE: Duration = Duration::from_secs(5);

/// How often it is asked whether it has.
const NOTICE_POLL: Duration = Duration::from_millis(10);

/// Reads all of it, and tells it.
pub(super) async fn read(
    stage: &Stage,
    observed: &mut Observed,
    broker: &dyn Broker,
) -> Result<(), QueueError> {
    until_noticed(stage, broker).await?;
    let submissions = Submissions::read(stage, observed, broker).await?;
    submissions.events().into_iter().for_each(|event| stage.emit(event));
    // RabbitMQ tells of what was taken and never settled only as something that is held.
    observed.remember_holders(broker).await?;
    if let Some(told) = deliveries(stage, broker).await? {
        redelivered(told).into_iter().for_each(|event| stage.emit(event));
    }
    let Depths { tasks, results, retry, letters } = broker.depths().await?;
    stage.emit(Event::Depths { tasks, results, retry, letters });
    // Looked for whatever the depths say: a stream's own count of what is left can be set by anybody.
    for task in broker.open_tasks(NAMED).await? {
        let chunk_id = task.chunk_index.map(|index| ChunkId(index).to_string());
        stage.emit(Event::OpenTask { chunk_id, holder: task.holder.map(bounded) });
    }
    for (index, holder) in observed.unanswered().take(NAMED) {
        let (chunk_id, holder) = (ChunkId(index).to_string(), bounded(holder.to_owned()));
        stage.emit(Event::LastSeen { chunk_id, holder });
    }
    if stage.plan.may_take_unseen() {
        return Ok(());
    }
    reread(stage, observed, broker).await
}

/// What a dead client had is open again once the server has noticed its death: a moment later.
async fn until_noticed(stage: &Stage, broker: &dyn Broker) -> Result<(), QueueError> {
    let begun = Instant::now();
    while stage.plan.backend == Backend::RabbitMq
        && broker.workers().await? > 0
        && begun.elapsed() < NOTICE
    {
        sleep(NOTICE_POLL).await;
    }
    Ok(())
}

/// Deliveries beyond the first, where the broker can tell: Redis and the file count what our own workers
/// take over, and a foreign one tells nobody.
async fn deliveries(stage: &Stage, broker: &dyn Broker) -> Result<Option<Redelivered>, QueueError> {
    if stage.plan.foreign.is_some() && stage.plan.backend != Backend::RabbitMq {
        return Ok(None);
    }
    broker.redelivered().await.map(Some)
}

/// What is told of deliveries, in lines that can be read back.
fn redelivered(Redelivered { deliveries, chunks, lost }: Redelivered) -> Vec<Event> {
    if chunks.is_empty() {
        return vec![Event::Redelivered {
            deliveries,
            chunks: BTreeMap::new(),
            lost: BTreeMap::new(),
        }];
    }
    let chunks: Vec<_> = chunks.into_iter().collect();
    let event = |page: &[(u64, u64)]| {
        let id = |chunk: &u64| ChunkId(*chunk).to_string();
        let lost = |(chunk, _): &(u64, u64)| Some((id(chunk), *lost.get(chunk)?));
        Event::Redelivered {
            deliveries: page.iter().map(|(_, times)| times).sum(),
            chunks: page.iter().map(|(chunk, times)| (id(chunk), *times)).collect(),
            lost: page.iter().filter_map(lost).collect(),
        }
    };
    chunks.chunks(PAGE).map(event).collect()
}

/// Compares every stored result with those that were seen.
async fn reread(stage: &Stage, observed: &Observed, broker: &dyn Broker) -> Result<(), QueueError> {
    let taken = broker.taken_results().await?;
    let mut stored = StoredResults::beside(observed);
    broker.stored_results(&mut |result| stored.take_in(observed, result.ok())).await?;
    let mut lost = stored.lost(observed);
    let gone: u64 = lost.values().sum();
    // Ours takes nothing.
    let of_aggregator = |it: &&TakenResult| stage.plan.has_foreign_aggregator() && !it.by_worker;
    for result in taken.iter().filter(of_aggregator) {
        lost.remove(&result.chunk_index);
    }
    let lost_count: u64 = lost.values().sum();
    let by_others: BTreeSet<u64> = taken.iter().map(|it| it.chunk_index).collect();
    let by_others = lost.iter().filter(|(chunk, _)| by_others.contains(chunk));
    let taken_by_others = by_others.map(|(_, times)| times).sum();
    let place = match stage.plan.backend {
        Backend::Redis => "the stream ttg:results",
        Backend::RabbitMq => "the queue of results",
        Backend::Embedded | Backend::Static => "the table results",
    };
    for event in stored.first_changed {
        stage.emit(event);
    }
    stage.emit(Event::Reread(Reread {
        place: place.to_owned(),
        seen: observed.count,
        stored: stored.count,
        lost: lost_count,
        taken: gone - lost_count,
        taken_by_others,
        changed: stored.changed.values().sum(),
        unreadable: stored.unreadable.saturating_sub(observed.unreadable),
        chunks: lost.keys().take(PAGE).map(|index| ChunkId(*index).to_string()).collect(),
    }));
    Ok(())
}

/// What is stored, each beside one that was seen.
struct StoredResults {
    count: u64,
    /// Whether the result that was seen first of a chunk is there.
    has_first: Vec<bool>,
    /// Results that were seen beyond those and were not found yet.
    missing: HashMap<SeenKey, u64>,
    /// Of which chunks how many are there that were not seen so, or not so often.
    changed: BTreeMap<u64, u64>,
    /// What is no result.
    unreadable: u64,
    first_changed: Vec<Event>,
}

impl StoredResults {
    fn beside(observed: &Observed) -> Self {
        let mut missing = HashMap::new();
        observed.beyond().for_each(|key| *missing.entry(key).or_default() += 1);
        Self {
            count: 0,
            has_first: vec![false; observed.chunks()],
            missing,
            changed: BTreeMap::new(),
            unreadable: 0,
            first_changed: Vec::new(),
        }
    }

    /// Takes in one that is stored; none of its kind where it cannot be read.
    fn take_in(&mut self, observed: &Observed, result: Option<TaskResult>) {
        // What cannot be read was no result when it was seen, either, if it was.
        let Some(result) = result else {
            self.unreadable += 1;
            return;
        };
        self.count += 1;
        let key = SeenKey::of(&result);
        let first = observed.first(result.chunk_index);
        let at = usize::try_from(result.chunk_index).unwrap_or(usize::MAX);
        if first.is_some_and(|first| first.is(key))
            && let Some(found @ false) = self.has_first.get_mut(at)
        {
            *found = true;
            return;
        }
        if let Some(missing @ 1..) = self.missing.get_mut(&key) {
            *missing -= 1;
            return;
        }
        *self.changed.entry(result.chunk_index).or_default() += 1;
        if self.first_changed.len() < CHANGED {
            self.first_changed.push(Event::Changed {
                chunk_id: ChunkId(result.chunk_index).to_string(),
                was: first.map(|first| first.sum),
                is: result.stats.sum,
                worker: bounded(result.worker_id),
            });
        }
    }

    /// Of which chunks how many results that were seen are not there; one that another stands for is
    /// changed.
    fn lost(&self, observed: &Observed) -> BTreeMap<u64, u64> {
        let first = self.has_first.iter().enumerate().filter(|(_, found)| !**found);
        let first = first.map(|(at, _)| at as u64).filter(|at| observed.first(*at).is_some());
        let mut lost: BTreeMap<u64, u64> = first.map(|index| (index, 1)).collect();
        for (key, missing) in &self.missing {
            *lost.entry(key.chunk_index()).or_default() += missing;
        }
        for (index, changed) in &self.changed {
            if let Some(lost) = lost.get_mut(index) {
                *lost = lost.saturating_sub(*changed);
            }
        }
        lost.retain(|_, lost| *lost > 0);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ttg_contract::stats::Stats;

    #[test]
    fn deliveries_are_told_of_each_chunk_and_no_line_is_too_long() {
        let chunks: BTreeMap<u64, u64> = (0..100_000).map(|chunk| (chunk, 1 + chunk % 2)).collect();
        let deliveries = chunks.values().sum();
        let events = redelivered(Redelivered { deliveries, chunks, lost: BTreeMap::new() });
        let mut told = 0;
        for event in &events {
            let Event::Redelivered { deliveries, .. } = event else { panic!("{event:?}") };
            told += deliveries;
            assert!(serde_json::to_string(event).unwrap().len() < crate::history::MAX_LINE);
        }
        assert_eq!(told, deliveries);
        assert!(matches!(&events[0], Event::Redelivered { chunks, .. } if chunks["00001"] == 2));
    }

    #[test]
    fn where_nothing_is_known_of_chunks_the_number_is_told() {
        let told = redelivered(Redelivered { deliveries: 7, ..Redelivered::default() });
        let (chunks, lost) = (BTreeMap::new(), BTreeMap::new());
        assert_eq!(told, [Event::Redelivered { deliveries: 7, chunks, lost }]);
    }

    fn result(chunk_index: u64, sum: f64) -> TaskResult {
        TaskResult {
            chunk_index,
            worker_id: "worker-0".to_owned(),
            duration_seconds: 1.0,
            completed_at: String::new(),
            stats: Stats { sum, count: 1, min: sum, max: sum, avg: sum },
        }
    }

    /// Of which chunks how many were lost and how many changed, where these were seen and those are there.
    fn compared(seen: &[TaskResult], there: &[TaskResult]) -> [BTreeMap<u64, u64>; 2] {
        let mut observed = Observed::of(3);
        seen.iter().for_each(|result| observed.result(0, result));
        let mut stored = StoredResults::beside(&observed);
        there.iter().for_each(|result| stored.take_in(&observed, Some(result.clone())));
        [stored.lost(&observed), stored.changed]
    }

    #[test]
    fn what_is_there_as_it_was_seen_is_neither_lost_nor_changed() {
        let seen = [result(0, 1.0), result(1, 2.0), result(1, 2.0), result(7, 1.0)];
        let there = [result(1, 2.0), result(7, 1.0), result(1, 2.0), result(0, 1.0)];
        assert_eq!(compared(&seen, &there), [BTreeMap::new(), BTreeMap::new()]);
    }

    #[test]
    fn a_result_of_one_chunk_does_not_stand_for_that_of_another() {
        let seen = [result(0, 1.0), result(1, 2.0)];
        let there = [result(0, 1.0), result(0, 1.0)];
        assert_eq!(compared(&seen, &there), [[(1, 1)].into(), [(0, 1)].into()]);
    }

    #[test]
    fn one_that_was_changed_in_place_is_changed_and_not_lost() {
        let none = BTreeMap::new();
        assert_eq!(compared(&[result(0, 1.0)], &[result(0, 9.0)]), [none.clone(), [(0, 1)].into()]);
        let seen = [result(0, 1.0), result(0, 2.0)];
        let there = [result(0, 1.0), result(0, 1.0)];
        assert_eq!(compared(&seen, &there), [none, [(0, 1)].into()], "the second took its place");
    }

    #[test]
    fn what_is_gone_is_lost_as_often_as_it_was_seen() {
        let seen = [result(0, 1.0), result(0, 1.0), result(9, 1.0)];
        assert_eq!(compared(&seen, &[]), [[(0, 2), (9, 1)].into(), BTreeMap::new()]);
    }
}
