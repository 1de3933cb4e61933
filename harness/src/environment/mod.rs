//! Where a sweep's processes and its broker run, and how they are reached.

pub mod guard;
pub mod janitor;
mod life;
mod process;
mod rabbitmq_server;
mod redis_server;
mod write_lock;

pub use process::{Exit, Fleet, Output, Process, Program, role_command};
pub use rabbitmq_server::RabbitMqServer;
pub use redis_server::RedisServer;

use std::path::{Path, PathBuf};

use ttg_system::queue::{Address, Settings, rabbitmq};

use self::redis_server::Fsync;
use crate::plan::{Backend, Plan, Target};

/// Why a run could not begin: something that the machine lacks.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// The broker of a run. It ends when this is dropped.
pub enum BrokerProcess {
    /// Nothing runs: the file is the broker.
    Embedded(PathBuf),
    /// A server of our own.
    Redis(Box<RedisServer>),
    /// A server of our own.
    RabbitMq(Box<RabbitMqServer>),
}

impl BrokerProcess {
    /// Starts the broker that the plan asks for, with its data in `directory`; none in static
    /// mode.
    ///
    /// # Errors
    /// Where the program is missing or does not start.
    pub async fn start(plan: &Plan, directory: &Path) -> Result<Option<Self>, Unavailable> {
        Ok(match plan.backend {
            Backend::Static => None,
            Backend::Embedded => Some(Self::Embedded(directory.join("queue.db"))),
            Backend::Redis => {
                let struck = plan.faults.iter().any(|fault| fault.target == Target::Broker);
                let fsync = if struck { Fsync::Always } else { Fsync::EverySecond };
                Some(Self::Redis(Box::new(RedisServer::start(directory, fsync).await?)))
            }
            Backend::RabbitMq => {
                Some(Self::RabbitMq(Box::new(RabbitMqServer::start(directory).await?)))
            }
        })
    }

    /// How to reach it.
    pub fn settings(&self) -> Settings {
        Settings::new(match self {
            Self::Embedded(path) => Address::Embedded(path.clone()),
            Self::Redis(server) => {
                Address::Redis { host: "127.0.0.1".to_owned(), port: server.port(), db: 0 }
            }
            Self::RabbitMq(server) => {
                Address::RabbitMq(Box::new(rabbitmq::Server::at("127.0.0.1", server.port())))
            }
        })
    }

    /// Environment variables by which the system's processes reach it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Embedded(path) => vec![
                ("QUEUE_BACKEND", "embedded".to_owned()),
                ("EMBEDDED_PATH", path.display().to_string()),
            ],
            Self::Redis(server) => vec![
                ("QUEUE_BACKEND", "redis".to_owned()),
                ("REDIS_HOST", "127.0.0.1".to_owned()),
                ("REDIS_PORT", server.port().to_string()),
                ("REDIS_DB", "0".to_owned()),
            ],
            Self::RabbitMq(server) => vec![
                ("QUEUE_BACKEND", "rabbitmq".to_owned()),
                ("RABBITMQ_HOST", "127.0.0.1".to_owned()),
                ("RABBITMQ_PORT", server.port().to_string()),
            ],
        }
    }

    /// Waits for its end, and says how it came. A file has none.
    pub async fn ended(&self) -> String {
        match self {
            Self::Embedded(_) => std::future::pending().await,
            Self::Redis(server) => server.ended().await,
            Self::RabbitMq(server) => server.ended().await,
        }
    }

    /// Kills its process and starts it again, with what it kept. Returns what was seen.
    ///
    /// # Errors
    /// Where it does not start again, or nothing runs.
    pub async fn restart(&self) -> Result<String, Unavailable> {
        match self {
            Self::Embedded(_) => Err(Unavailable("a file has no process".to_owned())),
            Self::Redis(server) => server.restart().await,
            Self::RabbitMq(server) => server.restart().await,
        }
    }

    /// Whether everybody waits for this process now: a file that is a broker lets one write at a
    /// time.
    pub fn waits_for(&self, process: &Process) -> bool {
        match self {
            Self::Embedded(path) => write_lock::is_held_by(path, process.pid),
            Self::Redis(_) | Self::RabbitMq(_) => false,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::Embedded(_) => "embedded SQLite file".to_owned(),
            Self::Redis(server) => server.describe(),
            Self::RabbitMq(server) => server.describe(),
        }
    }
}
