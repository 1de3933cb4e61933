//! The onlooker's side. Nothing here changes what the server holds.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ::redis::{Pipeline, cmd};
use async_trait::async_trait;

use super::keys::{GROUP, LETTERS, MEMBERS, METADATA, PROGRESS, RESULTS, RETRY, TASKS};
use super::submit::from_metadata;
use super::{Entry, EntryFields, Read, Redis, entry_ms};
use crate::chunk::CHUNKS_BOUND;
use crate::queue::room::Room;
use crate::queue::{
    Cursor, Depths, Held, Inspect, OpenTask, Progress, QueueError, RELEASED, Readable, Redelivered,
    Result, Stamped, SweepInfo, Token,
};
use crate::wire::{self, DeadLetter, Task, TaskResult};

/// Longest blocking read: shorter than the longest wait for an answer.
const BLOCK: Duration = Duration::from_secs(1);

/// However short the lease, whoever has asked for something within this time is there.
const RECENT: Duration = Duration::from_secs(5);

/// Entries per read, where all are read.
const PAGE: usize = 1000;

/// How many deliveries are looked at.
pub(super) const HELD_BOUND: usize = 100_000;

#[async_trait(?Send)]
impl Inspect for Redis {
    async fn sweep(&self) -> Result<Option<SweepInfo>> {
        let fields: HashMap<String, String> = self
            .link
            .call(async |mut c| cmd("HGETALL").arg(METADATA).query_async(&mut c).await)
            .await?;
        if fields.is_empty() { self.told_by_tasks().await } else { Ok(from_metadata(&fields)) }
    }

    async fn standing(&self) -> Result<Progress> {
        self.count_chunks().await
    }

    async fn results(
        &self,
        cursor: &mut Cursor,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Stamped<Readable<TaskResult>>>> {
        let from = if cursor.0.is_empty() { "0" } else { &cursor.0 };
        let read: Read = self
            .reader
            .call(async |mut c| {
                let mut read = cmd("XREAD");
                read.arg("COUNT").arg(max);
                if !wait.is_zero() {
                    read.arg("BLOCK").arg(wait.min(BLOCK).as_millis().max(1) as u64);
                }
                read.arg("STREAMS").arg(RESULTS).arg(from).query_async(&mut c).await
            })
            .await?;
        let entries: Vec<Entry> =
            read.into_iter().flatten().flat_map(|(_, entries)| entries).collect();
        advance(cursor, &entries);
        Ok(entries
            .into_iter()
            .map(|(id, EntryFields(fields))| Stamped {
                at_ms: entry_ms(&id),
                what: TaskResult::from_fields(&fields),
            })
            .collect())
    }

    async fn tasks(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<Stamped<Readable<Task>>>> {
        let entries = self.range(TASKS, cursor, "+", max).await?;
        let task = |(id, EntryFields(fields)): Entry| Stamped {
            at_ms: entry_ms(&id),
            what: Task::from_fields(&fields),
        };
        Ok(entries.into_iter().map(task).collect())
    }

    async fn held(&self) -> Result<Vec<Held>> {
        let mut pending = self.pending().await?;
        pending.retain(|held| held.worker != RELEASED);
        Ok(pending)
    }

    async fn dead_letters(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<DeadLetter>> {
        let entries = self.range(LETTERS, cursor, "+", max).await?;
        let letter = |(_, EntryFields(fields)): Entry| DeadLetter::from_fields(fields);
        Ok(entries.into_iter().map(letter).collect())
    }

    async fn workers(&self) -> Result<usize> {
        Ok(self.consumers().await?.len())
    }

    async fn redelivered(&self) -> Result<Redelivered> {
        let count: Option<u64> = self
            .link
            .call(async |mut c| {
                cmd("HGET").arg(PROGRESS).arg("redelivered").query_async(&mut c).await
            })
            .await?;
        Ok(Redelivered { deliveries: count.unwrap_or(0), ..Redelivered::default() })
    }

    async fn open_tasks(&self, max: usize) -> Result<Vec<OpenTask>> {
        let pending = self.pending().await?.into_iter().map(OpenTask::from);
        let mut open: Vec<OpenTask> = pending
            .map(|task| OpenTask { holder: task.holder.filter(|it| it != RELEASED), ..task })
            .collect();
        let mut cursor = Cursor(self.last_delivered().await?);
        let waiting = self.range(TASKS, &mut cursor, "+", max).await?;
        let retries: Vec<String> = self
            .link
            .call(async |mut c| {
                cmd("ZRANGE").arg(RETRY).arg(0).arg(max.saturating_sub(1)).query_async(&mut c).await
            })
            .await?;
        open.extend(waiting.into_iter().map(|(_, EntryFields(fields))| OpenTask::waiting(&fields)));
        open.extend(retries.iter().map(|task| OpenTask::waiting(&wire::from_json(task))));
        open.truncate(max);
        Ok(open)
    }

    async fn room(&self) -> Result<Option<Room>> {
        let told = self
            .link
            .call(async |mut c| cmd("INFO").arg("memory").query_async::<String>(&mut c).await)
            .await;
        // Whoever may not ask is not told.
        Ok(told.ok().and_then(|info| room(&info)))
    }

    async fn depths(&self) -> Result<Depths> {
        let mut script = self.scripts.depths.prepare_invoke();
        script.key(TASKS).key(RESULTS).key(RETRY).key(LETTERS).arg(GROUP);
        let (tasks, results, retry, letters) = self.run(&mut script).await?;
        Ok(Depths { tasks, results, retry, letters })
    }
}

impl Redis {
    /// How many other workers have asked for something within a lease: whoever is at a long chunk renews
    /// it more often.
    pub(super) async fn peers(&self) -> Result<usize> {
        let within = self.settings.lease.max(RECENT).as_millis() as i64;
        let is_peer = |(name, idle): &&(String, i64)| *name != self.member().name && *idle < within;
        Ok(self.consumers().await?.iter().filter(is_peer).count())
    }

    /// The workers, with how many milliseconds ago each has asked for something.
    async fn consumers(&self) -> Result<Vec<(String, i64)>> {
        let consumers: Vec<HashMap<String, ::redis::Value>> = self
            .link
            .call(async |mut c| {
                let mut list = cmd("XINFO");
                list.arg("CONSUMERS").arg(TASKS).arg(GROUP);
                match list.query_async(&mut c).await {
                    // No worker has come yet, nor a coordinator.
                    Err(error) if ["NOGROUP", "ERR"].map(Some).contains(&error.code()) => {
                        Ok(Vec::new())
                    }
                    other => other,
                }
            })
            .await?;
        let read = |mut consumer: HashMap<String, ::redis::Value>| {
            let name: String = ::redis::from_redis_value(consumer.remove("name")?).ok()?;
            let idle: i64 = ::redis::from_redis_value(consumer.remove("idle")?).ok()?;
            (name != RELEASED).then_some((name, idle))
        };
        Ok(consumers.into_iter().filter_map(read).collect())
    }

    /// All that was delivered and is not settled, also what was given back.
    pub(super) async fn pending(&self) -> Result<Vec<Held>> {
        let pending: Vec<(String, String, u64, u64)> = self
            .link
            .call(async |mut c| {
                let mut pending = cmd("XPENDING");
                pending.arg(TASKS).arg(GROUP).arg("-").arg("+").arg(HELD_BOUND);
                match pending.query_async(&mut c).await {
                    Err(error) if error.code() == Some("NOGROUP") => Ok(Vec::new()),
                    other => other,
                }
            })
            .await?;
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let mut lookup = Pipeline::new();
        for (id, ..) in &pending {
            lookup.cmd("XRANGE").arg(TASKS).arg(id).arg(id);
        }
        // At once: whoever looks for a moment in a chunk has no time to lose.
        let (entries, members): (Vec<Vec<Entry>>, HashSet<String>) = tokio::try_join!(
            self.link.call(async |mut c| lookup.query_async(&mut c).await),
            self.link.call(async |mut c| cmd("HKEYS").arg(MEMBERS).query_async(&mut c).await),
        )?;
        let chunk_index = |entries: Vec<Entry>| {
            let (_, EntryFields(fields)) = entries.into_iter().next()?;
            Task::from_fields(&fields).ok().map(|task| task.chunk.index)
        };
        let first = first_of_each(&pending);
        Ok(pending
            .into_iter()
            .zip(entries)
            .map(|((id, worker, _idle, number), entries)| Held {
                chunk_index: chunk_index(entries),
                // A foreign worker may read several, and does one after another.
                begun: members.contains(&worker) || first.contains(&id),
                worker,
                token: Token { id, number },
            })
            .collect())
    }

    /// The id of the last task that was handed to anybody; empty where nobody has asked.
    pub(super) async fn last_delivered(&self) -> Result<String> {
        let groups: Vec<HashMap<String, ::redis::Value>> = self
            .link
            .call(async |mut c| {
                match cmd("XINFO").arg("GROUPS").arg(TASKS).query_async(&mut c).await {
                    // There is no such stream.
                    Err(error) if error.code() == Some("ERR") => Ok(Vec::new()),
                    other => other,
                }
            })
            .await?;
        let text = |value: &::redis::Value| ::redis::from_redis_value_ref::<String>(value).ok();
        let ours = |group: &&HashMap<String, ::redis::Value>| {
            group.get("name").and_then(text).as_deref() == Some(GROUP)
        };
        let id = groups.iter().find(ours).and_then(|group| group.get("last-delivered-id"));
        Ok(id.and_then(text).unwrap_or_default())
    }

    pub(super) async fn count_chunks(&self) -> Result<Progress> {
        let mut script = self.scripts.progress.prepare_invoke();
        script.key(METADATA).key(PROGRESS).key(TASKS).key(RESULTS).key(RETRY).arg(GROUP);
        let (total, submitted, committed, dead): (Option<String>, u64, u64, u64) =
            self.run(&mut script).await?;
        let total = match total {
            Some(text) => Some(self.total_chunks(&text)?),
            None => self.told_by_tasks().await?.map(|info| info.sweep.chunks()),
        };
        Ok(Progress { total, submitted, committed, dead })
    }

    /// What the metadata says of how many chunks there are: whoever writes them may write anything.
    fn total_chunks(&self, text: &str) -> Result<u64> {
        let total = text.parse().ok().filter(|total| *total <= CHUNKS_BOUND);
        total.ok_or_else(|| QueueError::Refused {
            address: self.settings.address.clone(),
            cause: format!(
                "total_chunks of {METADATA} is {:?}, and no sweep has more than {CHUNKS_BOUND} chunks \
                 (discard it with ttg coordinator --reset)",
                text.chars().take(40).collect::<String>()
            ),
        })
    }

    /// Entries after the cursor, which moves on, and up to the one of the id `last`.
    pub(super) async fn range(
        &self,
        key: &str,
        cursor: &mut Cursor,
        last: &str,
        max: usize,
    ) -> Result<Vec<Entry>> {
        let from = if cursor.0.is_empty() { "-".to_owned() } else { format!("({}", cursor.0) };
        let entries: Vec<Entry> = self
            .link
            .call(async |mut c| {
                let mut range = cmd("XRANGE");
                range.arg(key).arg(&from).arg(last).arg("COUNT").arg(max);
                range.query_async(&mut c).await
            })
            .await?;
        advance(cursor, &entries);
        Ok(entries)
    }

    /// Shows every entry of a stream after the cursor, which moves on.
    pub(super) async fn each_page(
        &self,
        key: &str,
        cursor: &mut Cursor,
        mut show: impl FnMut(Vec<Entry>),
    ) -> Result<()> {
        loop {
            let page = self.range(key, cursor, "+", PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            show(page);
        }
    }
}

/// Of what each worker has, the entry that was delivered to it before all others.
fn first_of_each(pending: &[(String, String, u64, u64)]) -> HashSet<String> {
    let mut first: HashMap<&str, (u64, &str)> = HashMap::new();
    // Entries come in the order of the stream, in which a read delivers them.
    for (id, worker, idle_ms, _) in pending {
        let longest = first.entry(worker).or_insert((*idle_ms, id));
        if *idle_ms > longest.0 {
            *longest = (*idle_ms, id);
        }
    }
    first.into_values().map(|(_, id)| id.to_owned()).collect()
}

/// What the memory section of `INFO` says.
fn room(info: &str) -> Option<Room> {
    let said = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next() == Some(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    let number = |name: &str| said(name)?.parse::<u64>().ok();
    let set = number("maxmemory").filter(|limit| *limit > 0);
    Some(Room {
        used: number("used_memory")?,
        limit: set.or_else(|| number("total_system_memory"))?,
        is_hard: set.is_some(),
        evicts: set.is_some()
            && said("maxmemory_policy").is_some_and(|it| it.starts_with("allkeys")),
    })
}

fn advance(cursor: &mut Cursor, entries: &[Entry]) {
    if let Some((id, _)) = entries.last() {
        cursor.0.clone_from(id);
    }
}
