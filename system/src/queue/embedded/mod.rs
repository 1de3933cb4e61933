//! One SQLite file, shared by the processes of one machine. Nothing needs to be installed.
//!
//! Every step is one immediate transaction, so a commit stores the result and acknowledges the
//! task as one. The journal is a WAL with `synchronous = FULL`: what was committed outlives a
//! kill of any process and a loss of power.
//!
//! SQLite wakes nobody up: a claim that finds nothing watches the file's data version, with a
//! growing wait. Each worker holds a lock on a small file beside the database, which the operating
//! system gives back with the worker's last breath: its deliveries are anybody's at once. A worker
//! that is frozen keeps the lock: its leases run out instead. One that is frozen in the middle of
//! a transaction holds up all others until it wakes or dies; transactions are kept short. It is waited
//! for, and so is a full disk, for as long as the patience says.
//!
//! Leases and retries go by a clock that nobody sets ([`clock`]).

mod clock;
mod computed_by;
mod database;
mod inspect;
mod letters;
mod liveness;
mod owner;
mod reconcile;
mod submit;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use tokio::time::Instant;

use super::arrival::{Dead, Known};
use super::pace::Pace;
use super::reconcile::HighWater;
use super::{
    Address, Asker, Commit, Delivery, Failure, Inspect, Queue, QueueError, Result, Settings, Token,
};
use crate::wire::{self, Task, TaskResult};
use clock::now_ms;
use database::{Database, Trouble};
use liveness::Sign;

/// Waits between looks at the file: the first, and the longest.
const WATCH: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// Waits between attempts where the file cannot be used: the first, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// A database file.
pub struct Embedded {
    settings: Settings,
    connection: Arc<Mutex<Database>>,
    worker: Option<String>,
    state: Mutex<State>,
    pace: Pace,
    known: Known,
}

#[derive(Default)]
struct State {
    /// Held while this worker lives.
    sign: Option<Sign>,
    /// The sweep was seen: the file must stay the same.
    has_seen: bool,
    /// Nonces of the workers that looked dead at the last survey.
    suspects: HashSet<String>,
    high_water: HighWater,
}

impl Embedded {
    /// Opens the file as a worker or as an onlooker. Where there is none, it is made, or waited for by those
    /// who make none.
    ///
    /// # Errors
    /// Where the file is not there, cannot be opened, or is not a database.
    pub async fn open(path: &Path, settings: &Settings, worker: Option<&str>) -> Result<Self> {
        let connection = open(path, settings).await.map_err(|it| it.at(&settings.address))?;
        Ok(Self {
            settings: settings.clone(),
            connection: Arc::new(Mutex::new(connection)),
            worker: worker.map(str::to_owned),
            state: Mutex::default(),
            pace: Pace::new(settings.takeover_interval),
            known: Known::default(),
        })
    }

    fn worker(&self) -> &str {
        self.worker.as_deref().expect("only a worker asks for deliveries")
    }

    fn path(&self) -> &Path {
        match &self.settings.address {
            Address::Embedded(path) => path,
            other => unreachable!("an embedded queue has a file, not {other}"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// The nonce of this life; gives the sign of life on first use.
    fn nonce(&self) -> Result<String> {
        let mut state = self.state();
        if state.sign.is_none() {
            let sign = Sign::give(self.path(), self.worker())
                .map_err(|error| self.refused(format!("cannot lock a file beside it: {error}")))?;
            state.sign = Some(sign);
        }
        Ok(state.sign.as_ref().expect("set above").nonce().to_owned())
    }

    fn refused(&self, cause: String) -> QueueError {
        QueueError::Refused { address: self.settings.address.clone(), cause }
    }

    /// Carries out one immediate transaction off the runtime's thread.
    async fn transact<T: Send + 'static>(
        &self,
        step: impl Fn(&Transaction<'_>) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        self.with(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = step(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }

    /// Carries out a step, again and again where others or the disk hold it up, until the patience is at
    /// its end.
    async fn with<T: Send + 'static>(
        &self,
        step: impl Fn(&mut Connection) -> rusqlite::Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let step = Arc::new(step);
        let deadline = Instant::now() + self.settings.patience;
        let mut pause = AGAIN.0;
        loop {
            match self.attempt(Arc::clone(&step)).await {
                Ok(done) => return done.ok_or_else(|| QueueError::lost(&self.settings.address)),
                Err(trouble) if trouble.is_passing() && Instant::now() + pause < deadline => {
                    if trouble.is_others() {
                        tracing::debug!(%trouble, "others hold the file, trying again");
                    } else {
                        tracing::warn!(%trouble, "the file cannot be written for now, trying again");
                    }
                }
                Err(trouble) => return Err(trouble.at(&self.settings.address)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    /// Nothing where the file is not the one any more that the sweep was seen in.
    async fn attempt<T: Send + 'static>(
        &self,
        step: Arc<impl Fn(&mut Connection) -> rusqlite::Result<T> + Send + Sync + 'static>,
    ) -> std::result::Result<Option<T>, Trouble> {
        let database = Arc::clone(&self.connection);
        let (path, has_seen) = (self.path().to_owned(), self.state().has_seen);
        let (patience, creates) = (self.settings.patience, self.settings.creates);
        let joined = tokio::task::spawn_blocking(move || {
            let mut database = database.lock().expect("no holder panics");
            if !database.is_at(&path) {
                if has_seen {
                    return Ok(None);
                }
                // Who has seen no sweep in it has nothing to lose.
                *database = Database::open(&path, patience, creates)?;
            }
            let done = step(&mut database.connection).map_err(Trouble::Failed);
            if done.as_ref().is_err_and(Trouble::is_for_lack_of_room) {
                database.empty_log();
            }
            done.map(Some)
        });
        joined.await.expect("no step panics")
    }

    /// From the first sight of a sweep on, the file must stay the same.
    fn keep_in_sight(&self) {
        self.state().has_seen = true;
    }

    /// Deliveries of the rows that are tasks. The others, and those that were delivered too
    /// often, become dead letters.
    async fn readable(&self, rows: Vec<Leased>) -> Result<Vec<Delivery>> {
        if !rows.is_empty() {
            self.keep_in_sight();
        }
        let mut deliveries = Vec::with_capacity(rows.len());
        for (id, number, deaths, text) in rows {
            let token = Token { id: id.to_string(), number };
            let most = self.settings.max_deliveries;
            let (read, fields) = (Task::from_json(&text), || wire::from_json(&text));
            match self.known.arrival(read, fields, deaths, most, self).await? {
                Ok(task) => deliveries.push(Delivery { token, task, suspect: deaths > 0 }),
                Err(dead) => drop(self.bury(&token, dead).await?),
            }
        }
        Ok(deliveries)
    }

    async fn bury(&self, token: &Token, Dead { chunk, letter }: Dead) -> Result<Failure> {
        let (token, worker) = (token.clone(), self.worker().to_owned());
        let letter = wire::to_json(&letter.to_fields());
        self.transact(move |t| {
            if !acknowledge(t, &worker, &token)? {
                return Ok(Failure::NotHeld);
            }
            if let Some(chunk) = chunk
                && is_settled(t, chunk)?
            {
                return Ok(Failure::NotHeld);
            }
            t.prepare_cached("INSERT INTO dead_letters (chunk, letter) VALUES (?, ?)")?
                .execute(params![chunk, letter])?;
            t.prepare_cached("UPDATE sweep SET dead = dead + ?")?.execute([chunk.is_some()])?;
            Ok(Failure::DeadLettered)
        })
        .await
    }

    /// Leases tasks that are ready.
    async fn lease_ready(&self, max: usize) -> Result<Vec<Delivery>> {
        let (worker, nonce) = (self.worker().to_owned(), self.nonce()?);
        let lease_ms = self.lease_ms();
        let rows = self
            .with(move |connection| {
                let (now, end) = (now_ms(), now_ms() + lease_ms);
                // A look first: waiting workers must not queue up for the write lock.
                let ready = "SELECT 1 FROM tasks WHERE state = 'ready' AND due_ms <= ? LIMIT 1";
                let ready: Option<i64> = connection
                    .prepare_cached(ready)?
                    .query_row([now], |row| row.get(0))
                    .optional()?;
                if ready.is_none() {
                    return Ok(Vec::new());
                }
                let t = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let rows = lease(
                    &t,
                    "SELECT id FROM tasks WHERE state = 'ready' AND due_ms <= ?4 \
                     ORDER BY due_ms, id LIMIT ?5",
                    params![worker, nonce, end, now, max],
                )?;
                t.commit()?;
                Ok(rows)
            })
            .await?;
        self.readable(rows).await
    }

    fn lease_ms(&self) -> i64 {
        self.settings.lease.as_millis() as i64
    }

    /// The lives that hold deliveries and have ended, and whether any delivery outlived its lease.
    async fn survey(&self) -> Result<(HashSet<String>, bool)> {
        let me = self.nonce()?;
        let now = now_ms();
        let (holders, overdue): (Vec<(String, String)>, bool) = self
            .with(move |connection| {
                let holders = "SELECT DISTINCT owner, nonce FROM tasks WHERE state = 'leased'";
                let mut holders = connection.prepare_cached(holders)?;
                let holders = holders.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let overdue = "SELECT EXISTS \
                    (SELECT 1 FROM tasks WHERE state = 'leased' AND lease_end_ms < ?)";
                let mut overdue = connection.prepare_cached(overdue)?;
                Ok((
                    holders.collect::<rusqlite::Result<_>>()?,
                    overdue.query_row([now], |r| r.get(0))?,
                ))
            })
            .await?;
        let path = self.path();
        let dead = holders
            .into_iter()
            .filter(|(owner, nonce)| *nonce != me && !liveness::is_alive(path, owner, nonce))
            .map(|(_, nonce)| nonce)
            .collect();
        Ok((dead, overdue))
    }

    /// The file's data version: it changes when another process commits.
    async fn data_version(&self) -> Result<i64> {
        self.with(|connection| connection.pragma_query_value(None, "data_version", |r| r.get(0)))
            .await
    }
}

/// Opens the file, or waits for as long as a broker is waited for that does not answer.
async fn open(path: &Path, settings: &Settings) -> std::result::Result<Database, Trouble> {
    let deadline = Instant::now() + settings.first_contact;
    let mut is_said = false;
    loop {
        let (path, patience, creates) = (path.to_owned(), settings.patience, settings.creates);
        let shown = path.display().to_string();
        let opening =
            tokio::task::spawn_blocking(move || Database::open(&path, patience, creates)).await;
        match opening.expect("opening does not panic") {
            Err(Trouble::Absent) if Instant::now() < deadline => {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::info!(
                        file = shown,
                        "the file is not there yet: ttg coordinator makes it"
                    );
                }
            }
            opened => return opened,
        }
        tokio::time::sleep(AGAIN.0).await;
    }
}

#[async_trait(?Send)]
impl Queue for Embedded {
    async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let deadline = Instant::now() + wait;
        let mut pause = WATCH.0;
        let mut seen = None;
        loop {
            let left_behind = self.take_over(max, &[], Asker::Idle).await?;
            if !left_behind.is_empty() {
                return Ok(left_behind);
            }
            let version = self.data_version().await?;
            let ready = self.lease_ready(max).await?;
            if !ready.is_empty() || Instant::now() >= deadline {
                return Ok(ready);
            }
            if seen != Some(version) {
                (seen, pause) = (Some(version), WATCH.0);
                if self.is_complete().await? {
                    return Ok(Vec::new());
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(WATCH.1);
        }
    }

    /// A file lets one write at a time.
    async fn claim_ahead(&self, _max: usize) -> Result<Vec<Delivery>> {
        Ok(Vec::new())
    }

    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        // As much as can be done before, while others may write.
        let message = |(token, result): &(Token, TaskResult)| {
            (token.clone(), result.chunk_index, wire::to_json(&result.to_fields()))
        };
        let done: Vec<_> = done.iter().map(message).collect();
        let worker = self.worker().to_owned();
        self.transact(move |t| {
            let at_ms = jiff::Timestamp::now().as_millisecond();
            let mut outcomes = Vec::with_capacity(done.len());
            let mut committed = 0;
            for (token, chunk, result) in &done {
                let is_new = !is_gone(t, token)? && !is_settled(t, *chunk)?;
                if is_new {
                    let insert = "INSERT INTO results (chunk, result, at_ms) VALUES (?, ?, ?)";
                    t.prepare_cached(insert)?.execute(params![chunk, result, at_ms])?;
                    committed += 1;
                }
                acknowledge(t, &worker, token)?;
                outcomes.push(if is_new { Commit::Committed } else { Commit::AlreadySettled });
            }
            if committed > 0 {
                let count = "UPDATE sweep SET committed = committed + ?";
                t.prepare_cached(count)?.execute([committed])?;
            }
            Ok(outcomes)
        })
        .await
    }

    async fn renew(&self, held: &[Token]) -> Result<Vec<Token>> {
        let (held, worker) = (held.to_vec(), self.worker().to_owned());
        let lease_ms = self.lease_ms();
        self.transact(move |t| {
            let end = now_ms() + lease_ms;
            let mut renew = t.prepare_cached(
                "UPDATE tasks SET lease_end_ms = ?1 \
                 WHERE id = ?2 AND state = 'leased' AND owner = ?3 AND delivery = ?4",
            )?;
            let mut lost = Vec::new();
            for token in &held {
                if renew.execute(params![end, token.id, worker, token.number])? == 0 {
                    lost.push(token.clone());
                }
            }
            Ok(lost)
        })
        .await
    }

    async fn take_over(&self, max: usize, held: &[Token], asker: Asker) -> Result<Vec<Delivery>> {
        if !self.pace.is_due() {
            return Ok(Vec::new());
        }
        let (mut dead, overdue) = self.survey().await?;
        let seen_before = std::mem::replace(&mut self.state().suspects, dead.clone());
        if asker == Asker::Busy {
            dead.retain(|suspect| seen_before.contains(suspect));
        }
        if dead.is_empty() && !overdue {
            return Ok(Vec::new());
        }
        let (worker, nonce) = (self.worker().to_owned(), self.nonce()?);
        let lease_ms = self.lease_ms();
        let held: Vec<String> = held.iter().map(|token| token.id.clone()).collect();
        let dead = serde_json::to_string(&dead).expect("names are plain text");
        let held = serde_json::to_string(&held).expect("ids are plain text");
        let rows = self
            .transact(move |t| {
                let (now, end) = (now_ms(), now_ms() + lease_ms);
                let rows = lease(
                    t,
                    // One alone: it may be what killed its worker.
                    "SELECT id FROM tasks WHERE state = 'leased' \
                     AND CAST(id AS TEXT) NOT IN (SELECT value FROM json_each(?5)) \
                     AND (nonce IN (SELECT value FROM json_each(?4)) OR lease_end_ms < ?6) \
                     ORDER BY id LIMIT min(?7, 1)",
                    params![worker, nonce, end, dead, held, now, max],
                )?;
                Ok(rows)
            })
            .await?;
        if !rows.is_empty() {
            // There may be more where that came from.
            self.pace.look_at_once();
        }
        self.readable(rows).await
    }

    async fn fail(&self, delivery: &Delivery, reason: &str) -> Result<Failure> {
        let attempts = delivery.task.retry_count + 1;
        let task = Task { retry_count: attempts, ..delivery.task.clone() };
        if attempts > self.settings.max_retries {
            return self.bury(&delivery.token, Dead::failed(&task, reason)).await;
        }
        let (token, worker) = (delivery.token.clone(), self.worker().to_owned());
        let delay_ms = self.settings.retry_delay.as_millis() as i64;
        self.transact(move |t| {
            if !acknowledge(t, &worker, &token)? || is_settled(t, task.chunk.index)? {
                return Ok(Failure::NotHeld);
            }
            // A row of its own: deliveries of the failed one must not pass for the new one's.
            t.prepare_cached("INSERT INTO tasks (task, due_ms) VALUES (?, ?)")?
                .execute(params![wire::to_json(&task.to_fields()), now_ms() + delay_ms])?;
            Ok(Failure::Retried)
        })
        .await
    }

    async fn release(&self, held: &[Token]) -> Result<()> {
        let (held, worker) = (held.to_vec(), self.worker().to_owned());
        self.transact(move |t| {
            let mut release = t.prepare_cached(
                "UPDATE tasks SET state = 'ready' \
                 WHERE id = ?1 AND state = 'leased' AND owner = ?2 AND delivery = ?3",
            )?;
            for token in &held {
                if release.execute(params![token.id, worker, token.number])? == 1 {
                    count_release(t, "id = ?", [&token.id])?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn is_complete(&self) -> Result<bool> {
        Ok(self.standing().await?.is_complete())
    }

    async fn has_peers(&self) -> Result<bool> {
        let nonce = self.nonce()?;
        liveness::has_others(self.path(), &nonce).map_err(|error| self.refused(error.to_string()))
    }

    async fn leave(&self) -> Result<()> {
        let nonce = self.nonce()?;
        self.transact(move |t| {
            count_release(t, "state = 'leased' AND nonce = ?", [&nonce])?;
            let give_back = "UPDATE tasks SET state = 'ready' WHERE state = 'leased' AND nonce = ?";
            t.prepare_cached(give_back)?.execute([&nonce]).map(drop)
        })
        .await?;
        self.state().sign = None;
        Ok(())
    }
}

/// Id, number of the delivery, how often its worker died, and message of a task.
type Leased = (i64, u64, u64, String);

/// Leases the tasks of the selection, whose first three parameters are the worker, its nonce and
/// the lease's end: in the order of the ids.
fn lease(
    t: &Transaction<'_>,
    selection: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Leased>> {
    let mut lease = t.prepare_cached(&format!(
        "UPDATE tasks SET state = 'leased', owner = ?1, nonce = ?2, lease_end_ms = ?3, \
         delivery = delivery + 1 WHERE id IN ({selection}) RETURNING id, delivery, delivery - 1 - coalesce( \
         (SELECT times FROM releases WHERE releases.id = tasks.id), 0), task"
    ))?;
    let rows = lease
        .query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, text(row, 3)?)))?;
    let mut rows = rows.collect::<rusqlite::Result<Vec<Leased>>>()?;
    rows.sort_unstable_by_key(|(id, ..)| *id);
    let again = rows.iter().filter(|(_, number, ..)| *number > 1).count();
    if again > 0 {
        t.prepare_cached("UPDATE sweep SET redelivered = redelivered + ?")?.execute([again])?;
    }
    Ok(rows)
}

/// Counts that the tasks of the selection are given back.
fn count_release(
    t: &Transaction<'_>,
    selection: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<()> {
    t.prepare_cached(&format!(
        "INSERT INTO releases (id, times) SELECT id, 1 FROM tasks WHERE {selection} \
         ON CONFLICT (id) DO UPDATE SET times = times + 1"
    ))?
    .execute(parameters)
    .map(drop)
}

/// Marks a task as done, if this delivery of it is still with this worker.
fn acknowledge(t: &Transaction<'_>, worker: &str, token: &Token) -> rusqlite::Result<bool> {
    t.prepare_cached(
        "UPDATE tasks SET state = 'done' \
         WHERE id = ? AND state = 'leased' AND owner = ? AND delivery = ?",
    )?
    .execute(params![token.id, worker, token.number])
    .map(|changed| changed == 1)
}

/// Whether the task is of a sweep that was discarded.
fn is_gone(t: &Transaction<'_>, token: &Token) -> rusqlite::Result<bool> {
    t.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM tasks WHERE id = ?)")?
        .query_row([&token.id], |row| row.get(0))
}

fn is_settled(t: &Transaction<'_>, chunk: u64) -> rusqlite::Result<bool> {
    t.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM results WHERE chunk = ?1) \
         OR EXISTS (SELECT 1 FROM dead_letters WHERE chunk = ?1) \
         OR EXISTS (SELECT 1 FROM dropped WHERE chunk = ?1)",
    )?
    .query_row([chunk], |row| row.get(0))
}

/// A column of text that anybody may have written: bytes that are not UTF-8 are replaced.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(column)?.as_bytes()?).into_owned())
}

/// Version of the SQLite that is built in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}
