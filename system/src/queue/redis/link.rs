//! A connection that is made anew when it breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ErrorKind, RedisError, RedisResult};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::Server;
use super::dial::Dialled;
use crate::queue::{Address, QueueError, Result, tls_advice};

/// Longest wait for an answer. Longer than any blocking read, short enough to notice a server
/// that is frozen.
const ANSWER: Duration = Duration::from_secs(2);

/// Waits between attempts to reach the server: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Answers by which a server says that it cannot just now.
const NOT_NOW: [&str; 8] =
    ["LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "READONLY", "MISCONF", "OOM", "NOREPLICAS"];

/// The answer to a command, or to a key, that the ACL of our user does not have.
pub(super) const FORBIDDEN: &str = "NOPERM";

/// Answers of a server that is part of a cluster.
const CLUSTER: [&str; 5] = ["MOVED", "CROSSSLOT", "CLUSTERDOWN", "ASK", "in cluster mode"];

/// Of a certificate: it does not change from one attempt to the next.
const UNTRUSTED: &str = "invalid peer certificate";

/// One connection under one client name.
pub(super) struct Link {
    server: Server,
    address: Address,
    client_name: Option<String>,
    patience: Duration,
    /// Our user may not give its connections names.
    is_nameless: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    dialled: Option<Arc<Dialled>>,
    /// How many connections there were.
    lives: u64,
    since: Option<Instant>,
}

impl Link {
    /// Connects; tries for as long as `first_contact`.
    pub(super) async fn connect(
        address: &Address,
        client_name: Option<String>,
        first_contact: Duration,
        patience: Duration,
    ) -> Result<Self> {
        let Address::Redis(server) = address else {
            unreachable!("a link is only made for a Redis address");
        };
        let link = Self {
            server: (**server).clone(),
            address: address.clone(),
            client_name,
            patience: first_contact,
            is_nameless: AtomicBool::new(false),
            state: Mutex::default(),
        };
        link.call(async |mut c| ::redis::cmd("PING").query_async::<()>(&mut c).await).await?;
        Ok(Self { patience, ..link })
    }

    /// Carries out a command or script, again and again where the connection breaks or the server
    /// cannot answer, until the patience is at its end. It must be one that may be repeated.
    pub(super) async fn call<T>(
        &self,
        command: impl AsyncFn(MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + self.patience;
        let mut pause = BACKOFF.0;
        loop {
            let error = match self.attempt(&command).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_not_now = error.code().is_some_and(|code| NOT_NOW.contains(&code));
            let (address, cause) = (self.address.clone(), explained(&error));
            let is_final = is_locked_out(&error) || cause.contains(UNTRUSTED);
            if is_final || !(is_broken(&error) || is_not_now) {
                return Err(QueueError::Refused { address, cause });
            }
            if Instant::now() + pause >= deadline {
                return Err(QueueError::Unreachable { address, cause });
            }
            tracing::debug!(%error, "the broker does not answer, trying again");
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    /// Whether the connections have no name, though they should have one.
    pub(super) fn is_nameless(&self) -> bool {
        self.is_nameless.load(Ordering::Relaxed)
    }

    /// How many connections there were, and since when there is this one.
    pub(super) async fn life(&self) -> (u64, Option<Instant>) {
        let state = self.state.lock().await;
        (state.lives, state.since)
    }

    async fn attempt<T>(
        &self,
        command: &impl AsyncFn(MultiplexedConnection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let (dialled, life) = self.connection().await?;
        let outcome = command(dialled.connection.clone()).await;
        if outcome.as_ref().is_err_and(is_broken) {
            let mut state = self.state.lock().await;
            if state.lives == life {
                state.dialled = None;
            }
        }
        outcome
    }

    async fn connection(&self) -> RedisResult<(Arc<Dialled>, u64)> {
        let mut state = self.state.lock().await;
        if let Some(dialled) = &state.dialled {
            return Ok((Arc::clone(dialled), state.lives));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(ANSWER));
        let connecting = async {
            let mut dialled = self.server.dial(&config).await?;
            if let Some(name) = &self.client_name {
                let mut set_name = ::redis::cmd("CLIENT");
                set_name.arg("SETNAME").arg(name);
                match set_name.query_async::<()>(&mut dialled.connection).await {
                    Err(error) if error.code() == Some(FORBIDDEN) => {
                        self.is_nameless.store(true, Ordering::Relaxed);
                    }
                    other => other?,
                }
            }
            Ok::<_, RedisError>(Arc::new(dialled))
        };
        let dialled = timeout(ANSWER, connecting)
            .await
            .map_err(|_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)))??;
        state.dialled = Some(Arc::clone(&dialled));
        state.lives += 1;
        state.since = Some(Instant::now());
        Ok((dialled, state.lives))
    }
}

fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        // It was the master, and is none any more: who is now, a new connection finds out.
        || error.code() == Some("READONLY")
}

/// Whether the server knows no such user with this password.
fn is_locked_out(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || error.code().is_some_and(|code| ["WRONGPASS", "NOAUTH"].contains(&code))
}

/// What the server said, and what people can do about it.
fn explained(error: &RedisError) -> String {
    let told = error.to_string();
    let code = error.code().unwrap_or_default();
    let says = |word: &str| code == word || told.contains(word);
    let advice = if is_locked_out(error) {
        Some("REDIS_USERNAME and REDIS_PASSWORD, or BROKER_URL, say who connects")
    } else if [FORBIDDEN, "The user executing the script", "ACL failure"].into_iter().any(says) {
        Some("the ACL of this user lacks something that docs/brokers.md lists")
    } else if CLUSTER.into_iter().any(says) {
        Some(
            "Redis Cluster is not supported, because the keys of a sweep lie in several of its slots: \
             name a server that is no cluster, or its Sentinels",
        )
    } else {
        tls_advice(&told)
    };
    advice.map_or(told.clone(), |advice| format!("{told} ({advice})"))
}
