//! The onlooker's side. Nothing here changes what the contract's queues hold.

mod dead_letters;
pub(super) mod peek;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::message::Delivery as Message;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::RabbitMq;
use super::connection::Life;
use super::error::Outcome;
use super::journal::reader::Reader;
use super::journal::record::{self, Record, new_mark};
use super::topology::Queues;
use super::trace::Trace;
use crate::queue::{
    Cursor, Depths, EachResult, Held, Inspect, OpenTask, Progress, Readable, Redelivered, Result,
    Stamped, SweepInfo, TakenResult,
};
use crate::wire::{self, DeadLetter, Fields, Task, TaskResult, ms};

/// What is read page by page, each with a reader of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Results,
    Tasks,
}

/// A reader that stands at a cursor's place.
struct Place {
    /// Of the connection that it reads over.
    life: u64,
    reader: Reader,
    cursor: Cursor,
    /// It has come to the end once: what it reads then has just happened.
    is_live: bool,
    /// How much of the record at its place was told already.
    told: usize,
    /// That record, where it was read.
    halfway: Option<Message>,
}

impl Place {
    fn at(cursor: &Cursor, life: u64, reader: Reader) -> Self {
        let (_, told) = parse(cursor);
        Self { life, reader, cursor: cursor.clone(), is_live: false, told, halfway: None }
    }

    /// What is told next, and what is read first for it: a record may tell of much.
    fn cursor(&self) -> Cursor {
        let next = self.reader.next;
        Cursor(match self.told {
            0 => next.to_string(),
            told => format!("{}.{told}", next - 1),
        })
    }
}

/// The place of the record that is read next, and how much of it was told.
fn parse(cursor: &Cursor) -> (u64, usize) {
    let (place, told) = cursor.0.split_once('.').unwrap_or((&cursor.0, "0"));
    (place.parse().unwrap_or(0), told.parse().unwrap_or(0))
}

/// What a record tells, and when it came, in milliseconds since 1970, where somebody waited for it.
type Seen<T> = (Option<i64>, T);

/// What an onlooker reads.
#[derive(Default)]
pub(super) struct Onlooker {
    pages: Mutex<HashMap<Kind, Place>>,
    trace: Mutex<Option<Trace>>,
}

#[async_trait(?Send)]
impl Inspect for RabbitMq {
    async fn sweep(&self) -> Result<Option<SweepInfo>> {
        self.journal.catch_up(&self.client).await?;
        Ok(self.journal.sweep())
    }

    async fn standing(&self) -> Result<Progress> {
        self.journal.catch_up(&self.client).await?;
        Ok(self.journal.progress())
    }

    async fn sweep_of_late(&self) -> Result<Option<SweepInfo>> {
        self.client.call(async |life| self.journal.follow(&life).await).await?;
        Ok(self.journal.sweep())
    }

    async fn standing_of_late(&self) -> Result<Progress> {
        self.client.call(async |life| self.journal.follow(&life).await).await?;
        Ok(self.journal.progress())
    }

    async fn results(
        &self,
        cursor: &mut Cursor,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Stamped<Readable<TaskResult>>>> {
        let pick = |record| match record {
            Record::Results { results, tasks_since_ms } => {
                results.into_iter().map(|result| (tasks_since_ms, result)).collect()
            }
            _ => Vec::new(),
        };
        // Whoever drops this, or asks again after an error, has lost nothing.
        let mut read_to = cursor.clone();
        let page = loop {
            let page = self.page(Kind::Results, &mut read_to, max, wait, pick).await?;
            let is_end = page.is_empty();
            let kept = self.without_discarded(page).await?;
            // An empty one says that there are no more.
            if is_end || !kept.is_empty() {
                break kept;
            }
        };
        *cursor = read_to;
        let stamp = |(seen_ms, result): (Option<i64>, Readable<TaskResult>)| {
            let said = result.as_ref().ok().and_then(|it| ms(&it.completed_at));
            Stamped { at_ms: seen_ms.or(said).unwrap_or_else(now_ms), what: result }
        };
        Ok(page.into_iter().map(stamp).collect())
    }

    async fn tasks(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<Stamped<Readable<Task>>>> {
        let page = self.page(Kind::Tasks, cursor, max, Duration::ZERO, |record| match record {
            Record::Task(task) | Record::Stray(task) => vec![Ok(task)],
            Record::NoTask(reason) => vec![Err(reason)],
            _ => Vec::new(),
        });
        let stamp = |(_, task): (Option<i64>, Readable<Task>)| {
            let said = task.as_ref().ok().and_then(|task| ms(&task.created_at));
            Stamped { at_ms: said.unwrap_or_else(now_ms), what: task }
        };
        Ok(page.await?.into_iter().map(stamp).collect())
    }

    async fn held(&self) -> Result<Vec<Held>> {
        self.traced(|trace| trace.held(&self.journal)).await
    }

    async fn dead_letters(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<DeadLetter>> {
        self.journal.catch_up(&self.client).await?;
        let page = self.journal.letters(cursor.0.parse().unwrap_or(0), max);
        if let Some((place, _)) = page.last() {
            *cursor = Cursor(place.to_string());
        }
        Ok(page.into_iter().map(|(_, letter)| letter).collect())
    }

    async fn workers(&self) -> Result<usize> {
        let tasks = &self.queues.tasks;
        let depth = self.client.call(async |life| life.depth(tasks).await).await?;
        Ok(depth.consumers as usize)
    }

    async fn redelivered(&self) -> Result<Redelivered> {
        self.journal.catch_up(&self.client).await?;
        // The one knows foreign workers too, the other what happened while the broker was away.
        let mut chunks = self.traced(Trace::again).await?;
        let (written, returned) = self.journal.redelivered();
        for (chunk, times) in written {
            let most = chunks.entry(chunk).or_default();
            *most = times.max(*most);
        }
        for (chunk, times) in &mut chunks {
            *times = times.saturating_sub(returned.get(chunk).copied().unwrap_or(0));
        }
        chunks.retain(|_, times| *times > 0);
        let lost = self.traced(Trace::lost).await?;
        Ok(Redelivered { deliveries: chunks.values().sum(), chunks, lost })
    }

    async fn bypassed(&self) -> Result<u64> {
        self.traced(Trace::bypassed).await
    }

    async fn taken_results(&self) -> Result<Vec<TakenResult>> {
        self.traced(Trace::taken).await
    }

    async fn open_tasks(&self, max: usize) -> Result<Vec<OpenTask>> {
        let Queues { tasks, retry, .. } = &self.queues;
        self.client
            .call(async |life| {
                let mut open = Vec::new();
                for queue in [tasks, retry] {
                    let max = max.saturating_sub(open.len()) as u64;
                    let each = &mut |message: &Message| {
                        open.push(OpenTask::waiting(&fields(message)));
                    };
                    peek::all(&life, queue, max, each).await?;
                }
                Ok(open)
            })
            .await
    }

    async fn stored_results(&self, each: &mut EachResult<'_>) -> Result<()> {
        if let Some(trace) = &mut *self.onlooker.trace.lock().await {
            trace.end().await;
        }
        let each = RefCell::new(each);
        let shown = Cell::new(0);
        self.client
            .call(async |life| {
                let (mut at, skip) = (0, shown.get());
                let show = &mut |message: &Message| {
                    at += 1;
                    // What was shown before the connection broke is at the head of the queue again.
                    if at > skip {
                        shown.set(at);
                        (each.borrow_mut())(TaskResult::from_fields(&fields(message)));
                    }
                };
                peek::all(&life, &self.queues.results, u64::MAX, show).await
            })
            .await
            .map(drop)
    }

    async fn depths(&self) -> Result<Depths> {
        let Queues { tasks, results, retry, letters, .. } = &self.queues;
        self.client
            .call(async |life| {
                Ok(Depths {
                    tasks: life.depth(tasks).await?.messages.into(),
                    results: life.depth(results).await?.messages.into(),
                    letters: life.depth(letters).await?.messages.into(),
                    retry: life.depth_if_there(retry).await?.messages.into(),
                })
            })
            .await
    }
}

impl RabbitMq {
    /// Leaves out the results of tasks that are of a sweep that was discarded. Whether they are the journal knows
    /// once it is read as far as they were.
    async fn without_discarded<T>(
        &self,
        page: Vec<Seen<(Option<i64>, T)>>,
    ) -> Result<Vec<Seen<T>>> {
        let is_discarded =
            |since: Option<i64>| since.is_some_and(|since| self.journal.is_discarded(since));
        if page.iter().any(|(_, (since, _))| is_discarded(*since)) {
            self.journal.catch_up(&self.client).await?;
        }
        let kept = page.into_iter().filter(|(_, (since, _))| !is_discarded(*since));
        Ok(kept.map(|(seen_ms, (_, result))| (seen_ms, result)).collect())
    }

    /// Up to `max` of what records tell from the cursor on; without a wait, everything that is there now.
    async fn page<T>(
        &self,
        kind: Kind,
        cursor: &mut Cursor,
        max: usize,
        wait: Duration,
        pick: impl Fn(Record) -> Vec<T>,
    ) -> Result<Vec<(Option<i64>, T)>> {
        let (page, next) = self
            .client
            .call(async |life| {
                let mut places = self.onlooker.pages.lock().await;
                let mut place = match places.remove(&kind) {
                    Some(it) if it.life == life.number && it.cursor == *cursor => it,
                    _ => {
                        let (from, _) = parse(cursor);
                        let reader = Reader::open(&life.connection, &self.queues, from);
                        Place::at(cursor, life.number, life.answered(reader).await?)
                    }
                };
                let page = self.fill(&life, &mut place, max, wait, &pick).await?;
                if !page.is_empty() {
                    place.cursor = place.cursor();
                }
                let next = place.cursor.clone();
                places.insert(kind, place);
                Ok((page, next))
            })
            .await?;
        *cursor = next;
        Ok(page)
    }

    async fn fill<T>(
        &self,
        life: &Rc<Life>,
        Place { reader, is_live, told, halfway, .. }: &mut Place,
        max: usize,
        wait: Duration,
        pick: &impl Fn(Record) -> Vec<T>,
    ) -> Outcome<Vec<(Option<i64>, T)>> {
        let mut page = Vec::new();
        let mine = new_mark();
        let mut deadline = Instant::now() + wait;
        if wait.is_zero() {
            life.publish(&[record::mark(&self.queues, &mine)]).await?;
        }
        while page.len() < max {
            let message = if let Some(message) = halfway.take() {
                message
            } else if wait.is_zero() {
                reader.next_soon().await?
            } else {
                reader.turn.give_way().await;
                match timeout_at(deadline, reader.next()).await {
                    Ok(next) => next?,
                    Err(_) => {
                        // Where nothing came for so long, what comes next is new.
                        *is_live |= page.is_empty();
                        break;
                    }
                }
            };
            match Record::read(&message) {
                Record::Mark(mark) if mark == mine => {
                    *is_live = true;
                    break;
                }
                record => {
                    let picked = pick(record);
                    let from = std::mem::take(told);
                    let to = picked.len().min(from + max - page.len());
                    if to < picked.len() {
                        (*told, *halfway) = (to, Some(message));
                    }
                    let seen = is_live.then(now_ms);
                    page.extend(picked.into_iter().take(to).skip(from).map(|it| (seen, it)));
                    // The first ends the wait; what has arrived with it comes along.
                    if !wait.is_zero() && !page.is_empty() {
                        deadline = Instant::now();
                    }
                }
            }
        }
        Ok(page)
    }

    /// Asks the trace, which begins with the first question.
    async fn traced<T>(&self, ask: impl Fn(&Trace) -> T) -> Result<T> {
        self.client
            .call(async |life| {
                let mut trace = self.onlooker.trace.lock().await;
                let trace = match &mut *trace {
                    Some(trace) => trace,
                    none => none.insert(Trace::default()),
                };
                if !trace.has_begun(&life) {
                    trace.begin(&life).await?;
                    // What was settled before somebody watched.
                    self.journal.read_on(&life).await?;
                }
                trace.read_on(&life, &new_mark()).await?;
                Ok(ask(trace))
            })
            .await
    }
}

fn fields(message: &Message) -> Fields {
    wire::from_json(&String::from_utf8_lossy(&message.data))
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
