//! Redis Streams: one consumer group, server-side scripts for every step that must be whole, and transactions
//! for commits.
//!
//! Neither `XACK` nor `XCLAIM` asks who owns an entry, so each script first compares the owner and
//! the delivery count that the pending list holds; of results that are stored together, those of the
//! oldest and the newest. Who is alive is seen from the server's list of clients: a worker registers a
//! nonce, and its connections are named after it; when none of that name is left, its deliveries are
//! anybody's at once. A worker that is frozen still has its connections: its leases run out instead.
//!
//! The commit and its acknowledgement are one step, so nothing is left for the aggregator to
//! remove. Keys are not tagged for a cluster: the wire contract's names decide.

/// A script of ours: each first looks whether the data of the server is still the same, and has at
/// hand what finds out beforehand whether it could be carried out to its end.
macro_rules! script {
    ($($part:literal),+) => {
        ::redis::Script::new(concat!(
            include_str!("lua/same.lua"),
            include_str!("lua/refused.lua"),
            $(include_str!(concat!("lua/", $part, ".lua"))),+
        ))
    };
}

mod adoption;
mod claim;
mod clock;
mod commit;
mod computed_by;
mod dial;
mod entry;
mod guest;
mod inspect;
mod keys;
mod letters;
mod link;
mod reconcile;
mod server;
mod submit;

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use ::redis::{RedisResult, Script, ScriptInvocation, cmd};
use async_trait::async_trait;

use super::arrival::{Dead, Known};
use super::pace::Pace;
use super::reconcile::{HighWater, Suspicion};
use super::{
    Asker, Commit, Delivery, Failure, Queue, QueueError, RELEASED, Result, Settings, Token,
    first_contact,
};
use crate::wire::{self, Task, TaskResult};
use clock::Clock;
use computed_by::Recorded;
use entry::{Entry, EntryFields, Read, entry_ms};
use keys::{
    CLOCK, COMMITTED, DEAD, GROUP, LETTERS, MEMBERS, PROGRESS, RELEASES, RESULTS, RETRY, STORE,
    TASKS,
};
use link::{FORBIDDEN, Link};
use reconcile::Gap;

pub(super) use guest::{leave_as_guest, look_as_guest};
pub use server::{Sentinels, Server};

/// After a lost connection, how long others are given to come back too before they count as dead.
const GRACE: Duration = Duration::from_secs(2);

/// What a script answers where the data of the server is not what it was.
const LOST: &str = "TTGLOST";

/// With more workers than this, each of them looks for the dead less often.
const FLEET: u32 = 8;

/// A Redis server.
pub struct Redis {
    settings: Settings,
    /// For everything but blocking reads.
    link: Link,
    /// For reads only: blocking ones would hold up everything else. They are not cancelled but at the end, since the
    /// server would hand the next task to a request that nobody waits for.
    reader: Link,
    member: Option<Member>,
    /// What the results are called within a transaction that adds to them.
    open_results: String,
    recorded: Recorded,
    /// In which life of the link it was looked whether our user may, and whether it does.
    may_begin_transactions: Cell<Option<(u64, bool)>>,
    state: Mutex<State>,
    pace: Pace,
    known: Known,
    scripts: Scripts,
    high_water: HighWater,
    suspicion: Suspicion<Gap>,
    /// What did not add up when nothing was found to be missing.
    searched: Cell<Option<Gap>>,
}

struct Member {
    name: String,
    nonce: String,
}

#[derive(Default)]
struct State {
    joined: bool,
    /// The name of the data that the sweep is in, once one was seen.
    store: Option<String>,
    /// Lives of both links when deliveries under this name were last looked through.
    recovered: Option<(u64, u64)>,
    /// Our user may not ask for the server's clients, which was said.
    is_blind: bool,
    /// Who looked dead at the last survey.
    suspects: HashSet<(String, String)>,
    clock: Clock,
}

struct Scripts {
    join: Script,
    commit: Script,
    commit_all: Script,
    renew: Script,
    release: Script,
    recover: Script,
    leave: Script,
    survey: Script,
    take_over: Script,
    fail: Script,
    progress: Script,
    depths: Script,
    stock: Script,
}

impl Redis {
    /// Connects, as a worker or as an onlooker.
    ///
    /// # Errors
    /// Where the server does not answer within a few seconds.
    pub async fn connect(settings: &Settings, worker: Option<&str>) -> Result<Self> {
        let mut member = worker.map(|name| Member {
            name: name.to_owned(),
            nonce: format!("{:016x}", fastrand::Rng::new().u64(..)),
        });
        let client_name = member.as_ref().map(Member::client_name);
        let link = |client_name| {
            Link::connect(
                &settings.address,
                client_name,
                first_contact(settings, worker),
                settings.patience,
            )
        };
        let (link, reader) = (link(client_name.clone()).await?, link(client_name).await?);
        if let Some(member) = &mut member
            && link.is_nameless()
        {
            // Without a name its connections are nobody's, as a foreign worker's: it is judged by
            // its lease alone.
            member.nonce.clear();
        }
        Ok(Self {
            link,
            reader,
            settings: settings.clone(),
            member,
            open_results: format!("{RESULTS}:{:08x}", fastrand::Rng::new().u32(..)),
            recorded: Recorded::default(),
            may_begin_transactions: Cell::new(None),
            state: Mutex::default(),
            pace: Pace::new(settings.takeover_interval),
            known: Known::default(),
            high_water: HighWater::default(),
            suspicion: Suspicion::default(),
            searched: Cell::new(None),
            scripts: Scripts {
                join: script!("join"),
                commit: script!("settle", "commit"),
                commit_all: script!("settle", "commit_all"),
                renew: script!("renew"),
                release: script!("release"),
                recover: script!("recover"),
                leave: script!("leave"),
                survey: script!("survey"),
                take_over: script!("take_over"),
                fail: script!("fail"),
                progress: script!("group", "progress"),
                depths: script!("group", "depths"),
                stock: script!("group", "stock"),
            },
        })
    }

    fn member(&self) -> &Member {
        self.member.as_ref().expect("only a worker asks for deliveries")
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    async fn run<T: ::redis::FromRedisValue>(
        &self,
        script: &mut ScriptInvocation<'_>,
    ) -> Result<T> {
        script.key(STORE).arg(self.state().store.clone().unwrap_or_default());
        let outcome = self.link.call(async |mut c| script.invoke_async(&mut c).await).await;
        outcome.map_err(lost_if_said)
    }

    /// The same for a script about what this worker holds: `nothing` where the stream is gone.
    async fn run_held<T: ::redis::FromRedisValue>(
        &self,
        script: &mut ScriptInvocation<'_>,
        nothing: T,
    ) -> Result<T> {
        self.unless_gone(self.run(script).await, nothing)
    }

    fn unless_gone<T>(&self, outcome: Result<T>, nothing: T) -> Result<T> {
        match outcome {
            Err(error) if is_no_group(&error) => {
                self.state().joined = false;
                Ok(nothing)
            }
            other => other,
        }
    }

    /// Makes the consumer group, and this worker known; the name of the data.
    async fn join(&self) -> Result<()> {
        if !self.state().joined {
            self.introduce().await?;
        }
        Ok(())
    }

    async fn introduce(&self) -> Result<String> {
        let Member { name, nonce } = self.member();
        let mut script = self.scripts.join.prepare_invoke();
        script.key(TASKS).key(MEMBERS).key(STORE);
        script.arg(GROUP).arg(name).arg(nonce).arg(store_name());
        let store = self.run(&mut script).await?;
        self.state().joined = true;
        Ok(store)
    }

    /// From the first sight of a sweep on, the data must stay what it is. A worker that was there
    /// before has seen nothing that could be lost.
    async fn keep_in_sight(&self) -> Result<()> {
        if self.member.is_some() && self.state().store.is_none() {
            let store = self.introduce().await?;
            self.state().store = Some(store);
        }
        Ok(())
    }

    async fn bury(&self, token: &Token, Dead { chunk, letter }: Dead) -> Result<Failure> {
        let mut script = self.failing(token, chunk);
        script.arg("dead").arg(letter.to_fields());
        self.run_held::<u8>(&mut script, 0).await.map(failure)
    }

    fn failing(&self, token: &Token, chunk: Option<u64>) -> ScriptInvocation<'_> {
        let mut script = self.scripts.fail.prepare_invoke();
        script.key(TASKS).key(RETRY).key(LETTERS).key(COMMITTED).key(DEAD).key(PROGRESS);
        script.arg(GROUP).arg(&self.member().name).arg(&token.id).arg(token.number);
        script.arg(chunk.map(|index| index.to_string()).unwrap_or_default());
        script
    }

    /// The consumers that hold deliveries and have no connection, and whether leases ran out.
    async fn survey(&self) -> Result<(HashSet<(String, String)>, bool)> {
        let mut script = self.scripts.survey.prepare_invoke();
        script.key(TASKS).key(RETRY).key(MEMBERS).key(CLOCK);
        script.arg(GROUP).arg(self.settings.lease.as_millis() as u64).arg(100);
        let (holders, overdue, now_ms): (Vec<(String, String)>, u64, i64) =
            self.run(&mut script).await?;
        let seems_so = self.state().clock.shows(now_ms);
        let overdue = if seems_so { 0 } else { overdue };
        let fleet = u32::try_from(holders.len()).unwrap_or(u32::MAX);
        if fleet > FLEET {
            self.pace.next_after(f64::from(fleet) / f64::from(FLEET));
        }
        let me = &self.member().name;
        let mut suspects: HashSet<_> = holders
            .into_iter()
            // Without a nonce it is a foreign worker, whose connections have no name.
            .filter(|(name, nonce)| name == RELEASED || (name != me && !nonce.is_empty()))
            .collect();
        if suspects.iter().any(|(name, _)| name != RELEASED) {
            let connected = self.connected().await?;
            suspects.retain(|(name, nonce)| {
                let is_gone = |all: &HashSet<String>| !all.contains(&client_name(name, nonce));
                name == RELEASED || connected.as_ref().is_some_and(is_gone)
            });
        }
        if !suspects.is_empty() {
            // A busy worker acts on its second look: that one must not wait for a whole fleet.
            self.pace.next_after(1.0);
        }
        Ok((suspects, overdue > 0))
    }

    /// Names of all clients of the server; nothing where our user may not ask.
    async fn connected(&self) -> Result<Option<HashSet<String>>> {
        if self.state().is_blind {
            return Ok(None);
        }
        let list: Option<String> = self
            .link
            .call(async |mut c| {
                let mut list = cmd("CLIENT");
                list.arg("LIST").arg("TYPE").arg("NORMAL");
                match list.query_async(&mut c).await {
                    Err(error) if error.code() == Some(FORBIDDEN) => Ok(None),
                    other => other.map(Some),
                }
            })
            .await?;
        let Some(list) = list else {
            tracing::warn!(
                lease = ?self.settings.lease,
                "the ACL of this user forbids CLIENT LIST: a dead worker's chunks are taken over \
                 only when their lease runs out"
            );
            self.state().is_blind = true;
            return Ok(None);
        };
        Ok(Some(
            list.lines()
                .filter_map(|line| line.split(' ').find_map(|field| field.strip_prefix("name=")))
                .map(str::to_owned)
                .collect(),
        ))
    }

    /// Whether a connection broke a moment ago, so that others may just not be back yet.
    async fn in_grace(&self) -> bool {
        let (lives, since) = self.link.life().await;
        lives > 1 && since.is_some_and(|since| since.elapsed() < GRACE)
    }

    /// Gives back what is under this name and not `held`: at first, and after each broken
    /// connection, whose last read may have been answered to nobody.
    async fn recover(&self, held: &[Token]) -> Result<()> {
        let lives = (self.link.life().await.0, self.reader.life().await.0);
        if self.state().recovered == Some(lives) {
            return Ok(());
        }
        let mut script = self.scripts.recover.prepare_invoke();
        script.key(TASKS).arg(GROUP).arg(&self.member().name).arg(RELEASED);
        for token in held {
            script.arg(&token.id);
        }
        self.run_held::<i64>(&mut script, 0).await?;
        self.state().recovered = Some(lives);
        self.pace.look_at_once();
        Ok(())
    }
}

#[async_trait(?Send)]
impl Queue for Redis {
    async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.look_or_read(max, wait).await
    }

    async fn claim_ahead(&self, max: usize) -> Result<Vec<Delivery>> {
        self.read_ahead(max).await
    }

    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        self.store(done).await
    }

    async fn renew(&self, held: &[Token]) -> Result<Vec<Token>> {
        let mut script = self.scripts.renew.prepare_invoke();
        script.key(TASKS).arg(GROUP).arg(&self.member().name);
        for token in held {
            script.arg(&token.id).arg(token.number);
        }
        let lost: Vec<usize> = self.run_held(&mut script, (0..held.len()).collect()).await?;
        Ok(lost.into_iter().filter_map(|place| held.get(place)).cloned().collect())
    }

    async fn take_over(&self, max: usize, held: &[Token], asker: Asker) -> Result<Vec<Delivery>> {
        self.join().await?;
        self.recover(held).await?;
        if !self.pace.is_due() {
            return Ok(Vec::new());
        }
        let (mut dead, mut overdue) = match self.survey().await {
            Err(error) if is_no_group(&error) => {
                self.state().joined = false;
                return Ok(Vec::new());
            }
            other => other?,
        };
        if self.in_grace().await {
            dead.retain(|(name, _)| name == RELEASED);
            overdue = false;
        }
        let seen_before = std::mem::replace(&mut self.state().suspects, dead.clone());
        if asker == Asker::Busy {
            dead.retain(|suspect| seen_before.contains(suspect));
        }
        if dead.is_empty() && !overdue {
            return Ok(Vec::new());
        }
        let mut script = self.scripts.take_over.prepare_invoke();
        script.key(TASKS).key(MEMBERS).key(PROGRESS).key(RELEASES);
        script.arg(GROUP).arg(&self.member().name);
        script.arg(if overdue { self.settings.lease.as_millis() as u64 } else { 0 });
        script.arg(max).arg(dead.len());
        for (name, nonce) in &dead {
            script.arg(name).arg(nonce);
        }
        for token in held {
            script.arg(&token.id);
        }
        let (taken, gone): (Vec<(String, u64, i64, EntryFields)>, Vec<String>) =
            self.run(&mut script).await?;
        if !gone.is_empty() {
            tracing::warn!(entries = ?gone, "tasks of the dead are gone from the stream");
        }
        if !taken.is_empty() {
            self.recorded.lose_sight();
            // There may be more where that came from.
            self.pace.look_at_once();
        }
        let entry = |(id, number, deaths, fields): (_, _, i64, _)| {
            (Token { id, number }, u64::try_from(deaths).unwrap_or(0), fields)
        };
        self.readable(taken.into_iter().map(entry).collect()).await
    }

    async fn fail(&self, delivery: &Delivery, reason: &str) -> Result<Failure> {
        let attempts = delivery.task.retry_count + 1;
        let task = Task { retry_count: attempts, ..delivery.task.clone() };
        if attempts > self.settings.max_retries {
            return self.bury(&delivery.token, Dead::failed(&task, reason)).await;
        }
        let mut script = self.failing(&delivery.token, Some(task.chunk.index));
        script.arg("retry").arg(self.settings.retry_delay.as_millis() as u64);
        script.arg(wire::to_json(&task.to_fields()));
        self.run_held::<u8>(&mut script, 0).await.map(failure)
    }

    async fn release(&self, held: &[Token]) -> Result<()> {
        let mut script = self.scripts.release.prepare_invoke();
        script.key(TASKS).key(RELEASES).arg(GROUP).arg(&self.member().name).arg(RELEASED);
        for token in held {
            script.arg(&token.id).arg(token.number);
        }
        self.run_held::<i64>(&mut script, 0).await.map(drop)
    }

    async fn is_complete(&self) -> Result<bool> {
        let progress = self.count_chunks().await?;
        if progress.total.is_some() {
            self.keep_in_sight().await?;
        }
        Ok(progress.is_complete())
    }

    async fn has_peers(&self) -> Result<bool> {
        Ok(self.peers().await? > 0)
    }

    async fn leave(&self) -> Result<()> {
        let Member { name, nonce } = self.member();
        let mut script = self.scripts.leave.prepare_invoke();
        script.key(TASKS).key(MEMBERS).key(RELEASES);
        script.arg(GROUP).arg(name).arg(nonce).arg(RELEASED);
        self.run_held::<i64>(&mut script, 0).await.map(drop)
    }
}

impl Member {
    fn client_name(&self) -> String {
        client_name(&self.name, &self.nonce)
    }
}

fn client_name(worker: &str, nonce: &str) -> String {
    format!("ttg:{worker}:{nonce}")
}

fn failure(code: u8) -> Failure {
    match code {
        1 => Failure::Retried,
        2 => Failure::DeadLettered,
        _ => Failure::NotHeld,
    }
}

/// A name for data that has none yet.
fn store_name() -> String {
    format!("{:016x}", fastrand::Rng::new().u64(..))
}

/// An answer that says that the data of the server is not what it was, as what it is.
fn lost_if_said(error: QueueError) -> QueueError {
    match error {
        QueueError::Refused { address, cause } if cause.contains(LOST) => {
            QueueError::lost(&address)
        }
        other => other,
    }
}

/// Whether the task stream was deleted: by a reset, or with the broker's data.
fn is_no_group(error: &QueueError) -> bool {
    let says = |cause: &str| cause.contains("NOGROUP") || cause.contains("UNBLOCKED");
    matches!(error, QueueError::Refused { cause, .. } if says(cause))
}

/// Makes the group that reads from the beginning, if there is none.
async fn create_group(connection: &mut ::redis::aio::MultiplexedConnection) -> RedisResult<()> {
    let mut create = cmd("XGROUP");
    create.arg("CREATE").arg(TASKS).arg(GROUP).arg("0").arg("MKSTREAM");
    match create.query_async(connection).await {
        Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
        other => other,
    }
}
