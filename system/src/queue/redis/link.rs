//! A connection that is made anew when it breaks.

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, io::tcp::TcpSettings,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::queue::{Address, QueueError, Result};

/// Longest wait for an answer. Longer than any blocking read, short enough to notice a server
/// that is frozen.
const ANSWER: Duration = Duration::from_secs(2);

/// Waits between attempts to reach the server: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Answers by which a server says that it cannot just now.
const NOT_NOW: [&str; 8] =
    ["LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "READONLY", "MISCONF", "OOM", "NOREPLICAS"];

/// One connection under one client name.
pub(super) struct Link {
    client: Client,
    address: Address,
    client_name: Option<String>,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
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
        let Address::Redis { host, port, db } = address else {
            unreachable!("a link is only made for a Redis address");
        };
        let refused = |error: RedisError| QueueError::Refused {
            address: address.clone(),
            cause: error.to_string(),
        };
        let info = ConnectionAddr::Tcp(host.clone(), *port)
            .into_connection_info()
            .map_err(refused)?
            .set_redis_settings(RedisConnectionInfo::default().set_db(*db))
            // Small commands must not wait for the acknowledgement of those before.
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let link = Self {
            client: Client::open(info).map_err(refused)?,
            address: address.clone(),
            client_name,
            patience: first_contact,
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
            let broken = is_broken(&error);
            if !broken && !error.code().is_some_and(|code| NOT_NOW.contains(&code)) {
                return Err(QueueError::Refused {
                    address: self.address.clone(),
                    cause: error.to_string(),
                });
            }
            if Instant::now() + pause >= deadline {
                return Err(QueueError::Unreachable {
                    address: self.address.clone(),
                    cause: error.to_string(),
                });
            }
            tracing::debug!(%error, "the broker does not answer, trying again");
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
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
        let (connection, life) = self.connection().await?;
        let outcome = command(connection).await;
        if outcome.as_ref().is_err_and(is_broken) {
            let mut state = self.state.lock().await;
            if state.lives == life {
                state.connection = None;
            }
        }
        outcome
    }

    async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((connection.clone(), state.lives));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            .set_response_timeout(Some(ANSWER));
        let connecting = async {
            let mut connection =
                self.client.get_multiplexed_async_connection_with_config(&config).await?;
            if let Some(name) = &self.client_name {
                let mut set_name = ::redis::cmd("CLIENT");
                set_name.arg("SETNAME").arg(name);
                set_name.query_async::<()>(&mut connection).await?;
            }
            Ok::<_, RedisError>(connection)
        };
        let connection = timeout(ANSWER, connecting)
            .await
            .map_err(|_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)))??;
        state.connection = Some(connection.clone());
        state.lives += 1;
        state.since = Some(Instant::now());
        Ok((connection, state.lives))
    }
}

fn is_broken(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
}
