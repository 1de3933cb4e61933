//! A connection that is made anew when it breaks.
//!
//! There is no automatic recovery: a connection and all that is on it is one *life*. A step that was cut
//! off is repeated as a whole on the next one.

mod consuming;
mod life;
mod link;
mod lock;
mod server;
mod tls;
mod turn;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use lapin::types::LongString;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::error::{BrokerError, Outcome};
use super::publisher::Outgoing;
use super::topology::make_firm;
use crate::queue::{Address, QueueError, Result, Settings};

pub(super) use consuming::ConsumingChannel;
pub(super) use life::{Life, StartCompanion};
pub use server::Server;
pub(super) use turn::Turn;

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What is taken for the time between two heartbeats where the user wants none.
const WITHOUT_HEARTBEAT: Duration = Duration::from_secs(600);

/// How long a connection with everything that is done on it may take, where it is done once.
const ONCE: Duration = Duration::from_secs(20);

/// Waits between attempts to reach the server: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// What a worker does on each new connection.
pub(super) struct Worker {
    pub(super) name: String,
    /// Says who has connected.
    pub(super) hello: Outgoing,
    pub(super) companion: StartCompanion,
}

/// One connection at a time, under one name.
pub(super) struct ReconnectingClient {
    worker: Option<Worker>,
    server: Server,
    address: Address,
    heartbeat: u16,
    retry_delay: Duration,
    patience: Duration,
    /// As `patience`, of a server that says that it lacks memory or disk.
    blocked_patience: Duration,
    life: Mutex<Option<Rc<Life>>>,
    lives: Cell<u64>,
    /// The present life, for those who can't wait.
    present: RefCell<Option<Rc<Life>>>,
}

impl ReconnectingClient {
    pub(super) fn new(settings: &Settings, server: &Server, worker: Option<Worker>) -> Self {
        Self {
            worker,
            server: server.clone(),
            address: settings.address.clone(),
            heartbeat: server.heartbeat.unwrap_or_else(|| heartbeat(settings.lease)),
            retry_delay: settings.retry_delay,
            patience: settings.patience,
            blocked_patience: server.blocked_timeout.unwrap_or(settings.patience),
            life: Mutex::default(),
            lives: Cell::new(0),
            present: Default::default(),
        }
    }

    /// Carries out a step, again and again on new connections where it fails, until the patience
    /// is at its end. It must be one that may be repeated.
    pub(super) async fn call<T>(&self, step: impl AsyncFn(Rc<Life>) -> Outcome<T>) -> Result<T> {
        self.within(self.patience, step).await
    }

    /// As `call`, with a patience of its own.
    pub(super) async fn within<T>(
        &self,
        patience: Duration,
        step: impl AsyncFn(Rc<Life>) -> Outcome<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        let mut pause = BACKOFF.0;
        loop {
            let error = match self.attempt(&step).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let (address, cause) = (self.address.clone(), error.cause);
            if error.is_final {
                return Err(QueueError::Refused { address, cause });
            }
            if Instant::now() + pause >= deadline {
                return Err(QueueError::Unreachable { address, cause });
            }
            tracing::debug!(cause, "the broker does not answer, trying again");
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    pub(super) fn is_worker(&self) -> bool {
        self.worker.is_some()
    }

    /// The worker's name, or what an onlooker is called.
    pub(super) fn name(&self) -> &str {
        self.worker.as_ref().map_or("ttg", |worker| &worker.name)
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Time between two heartbeats.
    pub(super) fn heartbeat(&self) -> Duration {
        match self.heartbeat {
            // Without any, a connection that is silent is never known to be gone.
            0 => WITHOUT_HEARTBEAT,
            seconds => Duration::from_secs(seconds.into()),
        }
    }

    /// Number of the present life, if its connection is there.
    pub(super) fn live(&self) -> Option<u64> {
        let present = self.present.borrow();
        let live = present.as_ref().filter(|life| life.connection.status().connected());
        live.map(|life| life.number)
    }

    /// Waits for what is due in this life. Where it does not come, the life is given up: with it go
    /// its deliveries, and somebody gets them again.
    pub(super) async fn told<T>(
        &self,
        life: u64,
        answer: impl Future<Output = Outcome<T>>,
    ) -> Outcome<T> {
        let life = self.of(life).ok_or_else(|| BrokerError::new("the connection is gone"))?;
        let outcome = life.told(answer).await;
        if outcome.is_err() {
            self.give_up(&life).await;
        }
        outcome
    }

    /// Ends this life, if it is still the present one.
    pub(super) async fn end(&self, life: u64) {
        if let Some(life) = self.of(life) {
            self.give_up(&life).await;
        }
    }

    fn of(&self, life: u64) -> Option<Rc<Life>> {
        self.present.borrow().clone().filter(|it| it.number == life)
    }

    /// Says goodbye to the server.
    pub(super) async fn close(&self) {
        self.present.replace(None);
        if let Some(life) = self.life.lock().await.take() {
            link::close(&life.connection).await;
        }
    }

    async fn attempt<T>(&self, step: &impl AsyncFn(Rc<Life>) -> Outcome<T>) -> Outcome<T> {
        let life = self.life().await?;
        let outcome = link::while_there(&life.connection, step(Rc::clone(&life))).await;
        if outcome.is_err() {
            self.give_up(&life).await;
        }
        outcome
    }

    async fn give_up(&self, life: &Life) {
        let mut present = self.life.lock().await;
        if present.as_ref().is_some_and(|it| it.number == life.number) {
            *present = None;
            self.present.replace(None);
            // Half a connection would keep its deliveries from others.
            link::close(&life.connection).await;
        }
    }

    async fn life(&self) -> Outcome<Rc<Life>> {
        let mut present = self.life.lock().await;
        if let Some(life) = present.as_ref().filter(|it| it.connection.status().connected()) {
            return Ok(Rc::clone(life));
        }
        self.present.replace(None);
        let life = timeout(CONNECT, self.connect())
            .await
            .map_err(|_| BrokerError::new(format!("no connection within {CONNECT:?}")))??;
        let life = Rc::new(life);
        *present = Some(Rc::clone(&life));
        self.present.replace(Some(Rc::clone(&life)));
        Ok(life)
    }

    /// Does something once, on a connection of its own, on which nothing is declared.
    pub(super) async fn once<T>(&self, step: impl AsyncFn(&Connection) -> Outcome<T>) -> Result<T> {
        let done = async {
            let connection = self.open().await?;
            let outcome = link::while_there(&connection, step(&connection)).await;
            link::close(&connection).await;
            outcome
        };
        let late = || BrokerError::new(format!("no answer within {ONCE:?}"));
        let outcome = timeout(ONCE, done).await.unwrap_or_else(|_| Err(late()));
        outcome.map_err(|BrokerError { cause, is_final }| {
            let address = self.address.clone();
            match is_final {
                true => QueueError::Refused { address, cause },
                false => QueueError::Unreachable { address, cause },
            }
        })
    }

    /// A connection, and nothing on it.
    async fn open(&self) -> Outcome<Connection> {
        let Server { host, port, user, password, vhost, tls, .. } = &self.server;
        let uri = AMQPUri {
            // Where it is encrypted, that is the runtime's business.
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: user.clone(), password: password.0.clone() },
                host: host.clone(),
                port: *port,
            },
            vhost: vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(self.heartbeat),
                ..AMQPQueryString::default()
            },
        };
        let named =
            ConnectionProperties::default().with_connection_name(LongString::from(self.name()));
        let first = |error: lapin::Error| BrokerError::at_first(&error);
        let connecting = match tls {
            None => Connection::connect_uri(uri, named).await,
            Some(tls) => {
                let runtime = tls::runtime(tls, host);
                Connection::connect_uri_with_runtime(uri, named, runtime).await
            }
        };
        connecting.map_err(first)
    }

    async fn connect(&self) -> Outcome<Life> {
        let queues = &self.server.queues;
        let first = |error: lapin::Error| BrokerError::at_first(&error);
        let connection = self.open().await?;
        let retry_delay = self.is_worker().then_some(self.retry_delay);
        let declared = async {
            let channel = make_firm(&connection).await.map_err(first)?;
            queues.declare(&connection, channel, retry_delay).await.map_err(first)
        };
        let channel = link::while_there(&connection, declared).await?;
        let number = self.lives.get() + 1;
        self.lives.set(number);
        let companion = self.worker.as_ref().map(|worker| worker.companion);
        let patience = self.blocked_patience;
        let life = Life::begin(number, (connection, channel), queues, patience, companion).await?;
        if let Some(worker) = &self.worker {
            // Not waited for: a server that lacks memory or disk takes it later.
            life.mention(&worker.hello).await?;
        }
        Ok(life)
    }
}

/// Seconds between heartbeats: the server gives up after two to three of them, which is to be no
/// later than the lease.
fn heartbeat(lease: Duration) -> u16 {
    let seconds = (lease.as_secs_f64() / 2.5).round().clamp(1.0, f64::from(u16::MAX));
    seconds as u16
}
