//! What is at the broker once everybody has left: its tasks, all of them, against the plan; what is
//! still open; and every stored result once more, against what was seen while the run went on.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use ttg_system::chunk::ChunkId;
use ttg_system::queue::{Broker, Depths, QueueError, Redelivered};
use ttg_system::wire::TaskResult;

use super::Stage;
use super::observed::Observed;
use super::submissions::Submissions;
use crate::history::Event;
use crate::plan::Backend;

/// Chunks per line of the history, where each is told.
const PAGE: usize = 1000;

/// Chunks that are named one by one, where the first suffice.
const NAMED: usize = 100;

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
    if tasks + retry > 0 {
        for task in broker.open_tasks(NAMED).await? {
            let chunk_id = task.chunk_index.map(|index| ChunkId(index).to_string());
            stage.emit(Event::OpenTask { chunk_id, holder: task.holder });
        }
    }
    for (index, holder) in observed.unanswered().take(NAMED) {
        let (chunk_id, holder) = (ChunkId(index).to_string(), holder.to_owned());
        stage.emit(Event::LastSeen { chunk_id, holder });
    }
    if stage.plan.backend == Backend::RabbitMq && stage.plan.has_foreign_aggregator() {
        // It may have taken them.
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
    let mut found = Found::default();
    broker.stored_results(&mut |result| found.take_in(observed, result.ok())).await?;
    let lost = found.lost(observed);
    let place = match stage.plan.backend {
        Backend::Redis => "the stream ttg:results",
        Backend::RabbitMq => "the queue of results",
        Backend::Embedded | Backend::Static => "the table results",
    };
    for event in found.first_changed {
        stage.emit(event);
    }
    stage.emit(Event::Reread {
        place: place.to_owned(),
        seen: observed.count,
        stored: found.stored,
        lost: lost.iter().map(|(_, times)| times).sum::<u64>().saturating_sub(found.changed),
        changed: found.changed,
        unreadable: found.unreadable.saturating_sub(observed.unreadable),
        chunks: lost.iter().take(PAGE).map(|(index, _)| ChunkId(*index).to_string()).collect(),
    });
    Ok(())
}

/// What was found where results are stored.
#[derive(Default)]
struct Found {
    stored: u64,
    changed: u64,
    /// How many of the results of a chunk that were seen were found, where one was.
    again: Vec<u32>,
    /// The same of chunks that no plan has.
    beyond: BTreeMap<u64, u64>,
    /// What is no result.
    unreadable: u64,
    first_changed: Vec<Event>,
}

impl Found {
    /// Takes in one that is stored; none of its kind where it cannot be read.
    fn take_in(&mut self, observed: &Observed, result: Option<TaskResult>) {
        // What cannot be read was no result when it was seen, either, if it was.
        let Some(result) = result else {
            self.unreadable += 1;
            return;
        };
        self.stored += 1;
        let index = result.chunk_index;
        let same = observed.of(index).filter(|seen| seen.is(&result)).count() as u64;
        let again = if same > 0 { self.note(observed, index) } else { 0 };
        // As often as it was seen: one more is another.
        if same > 0 && again <= observed.of(index).count() as u64 {
            return;
        }
        self.changed += 1;
        if self.first_changed.len() < NAMED {
            let was = observed.first(result.chunk_index);
            self.first_changed.push(Event::Changed {
                chunk_id: ChunkId(result.chunk_index).to_string(),
                was: was.map(|seen| seen.sum),
                is: result.stats.sum,
                worker: result.worker_id,
            });
        }
    }

    /// Notes one that was seen. Returns how many of its chunk there were by now.
    fn note(&mut self, observed: &Observed, index: u64) -> u64 {
        let seen = || usize::try_from(index).ok().filter(|_| index < Observed::CHUNKS_BOUND);
        match seen() {
            Some(at) if observed.first(index).is_some() => {
                if self.again.len() <= at {
                    self.again.resize(at + 1, 0);
                }
                self.again[at] += 1;
                u64::from(self.again[at])
            }
            _ => {
                let again = self.beyond.entry(index).or_default();
                *again += 1;
                *again
            }
        }
    }

    /// Of which chunks how many results that were seen are not there.
    fn lost(&self, observed: &Observed) -> Vec<(u64, u64)> {
        let found = |index: u64| {
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            let again = self.again.get(at).copied().map_or(0, u64::from);
            again + self.beyond.get(&index).copied().unwrap_or(0)
        };
        let lost = |index: u64| (observed.of(index).count() as u64).saturating_sub(found(index));
        observed.chunks().map(|index| (index, lost(index))).filter(|(_, lost)| *lost > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
