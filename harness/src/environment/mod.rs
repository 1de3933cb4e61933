//! Where a sweep's processes and its broker run, and how they are reached.

mod choice;
mod container;
mod downtime;
mod external;
pub(crate) mod greeting;
pub mod guard;
mod here;
mod host;
pub mod janitor;
mod kubernetes;
mod life;
pub(crate) mod ports;
mod process;
mod rabbitmq_server;
pub mod reaper;
mod redis_server;
mod server;
mod write_lock;

pub use choice::{choose, has_broker};
pub use container::Containers;
pub(crate) use container::FOREIGN_IMAGE;
pub(crate) use downtime::Downtime;
pub use external::External;
pub use here::{docker_host, server_name, server_program};
pub use host::{Host, Stdout};
pub use kubernetes::Pods;
pub use process::{Contained, Exit, Fleet, Output, Process, Program, role_command};
pub use rabbitmq_server::RabbitMqServer;
pub use redis_server::RedisServer;
pub use server::{Seen, Server};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ttg_system::queue::{Address, Settings, rabbitmq};

use crate::plan::{Backend, Environment, Plan};

/// Why a run could not begin: something that the machine lacks.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// The broker of a run. What the harness has started ends when this is dropped.
pub enum BrokerProcess {
    /// Nothing runs: the file is the broker.
    Embedded(PathBuf),
    /// A server of our own.
    Server(Backend, Box<dyn Server>),
    /// Somebody else's server.
    External(Box<External>),
}

impl BrokerProcess {
    /// Starts the broker that the plan asks for, with its data in `directory`; none in static
    /// mode. Its log is in `logs`, where it is not with the data.
    ///
    /// # Errors
    /// Where the program is missing or does not start.
    pub async fn start(
        plan: &Plan,
        directory: &Path,
        logs: &Path,
        host: Option<&Host>,
    ) -> Result<Option<Self>, Unavailable> {
        let server: Box<dyn Server> = match (plan.backend, plan.environment) {
            (Backend::Static, _) => return Ok(None),
            (Backend::Embedded, _) => return Ok(Some(Self::Embedded(directory.join("queue.db")))),
            (_, Environment::External) => {
                return Ok(Some(Self::External(Box::new(External::find(plan.backend).await?))));
            }
            (_, Environment::Container | Environment::Kubernetes) => match host {
                Some(host) => host.server(plan, logs).await?,
                None => return Err(Unavailable("nobody is there to host the broker".to_owned())),
            },
            (Backend::Redis, _) => Box::new(RedisServer::start(directory, plan.fsync()).await?),
            (Backend::RabbitMq, _) => Box::new(RabbitMqServer::start(directory).await?),
        };
        Ok(Some(Self::Server(plan.backend, server)))
    }

    /// How the harness itself reaches it.
    pub fn settings(&self) -> Settings {
        let address = match self {
            Self::Embedded(path) => Address::Embedded(path.clone()),
            Self::Server(backend, server) => {
                let (host, port) = (server.address().ip().to_string(), server.address().port());
                match backend {
                    Backend::RabbitMq => {
                        let mut at = rabbitmq::Server::at(&host, port);
                        if let Some((user, password)) = server.credentials() {
                            at.user = user.to_owned();
                            at.password = rabbitmq::Secret(password.to_owned());
                        }
                        Address::RabbitMq(Box::new(at))
                    }
                    _ => Address::redis(&host, port),
                }
            }
            Self::External(external) => external.address(),
        };
        let mut settings = Settings::new(address);
        if let Self::Server(..) = self {
            // It is ours and runs, however long a busy machine lets it take to answer.
            settings.first_contact = settings.patience;
        }
        settings
    }

    /// Where it listens, where it does.
    pub fn listens(&self) -> Option<SocketAddr> {
        match self {
            Self::Embedded(_) => None,
            Self::Server(_, server) => Some(server.address()),
            Self::External(external) => Some(external.listens()),
        }
    }

    /// Environment variables by which a process of the system reaches it: through `link`, where
    /// that stands between them; by the server's name, where both are in containers.
    pub fn variables(
        &self,
        link: Option<SocketAddr>,
        in_container: bool,
    ) -> Vec<(&'static str, String)> {
        let (backend, at) = match self {
            Self::Embedded(path) => {
                return vec![
                    ("QUEUE_BACKEND", "embedded".to_owned()),
                    ("EMBEDDED_PATH", path.display().to_string()),
                ];
            }
            Self::Server(backend, server) => (*backend, server.address()),
            Self::External(external) => (external.backend(), external.listens()),
        };
        let inside = self.inside().filter(|_| in_container);
        let (host, port) = match (link, inside) {
            (None, Some(inside)) => inside,
            (link, _) => {
                let at = link.unwrap_or(at);
                (at.ip().to_string(), at.port())
            }
        };
        if let Self::External(external) = self {
            return external.variables(host, port);
        }
        let port = port.to_string();
        let mut variables = vec![("QUEUE_BACKEND", backend.name().to_owned())];
        variables.extend(match backend {
            Backend::RabbitMq => [("RABBITMQ_HOST", host), ("RABBITMQ_PORT", port)],
            _ => [("REDIS_HOST", host), ("REDIS_PORT", port)],
        });
        if backend == Backend::Redis {
            variables.push(("REDIS_DB", "0".to_owned()));
        }
        variables
    }

    /// Host and port by which a process in a container of the run reaches it.
    pub fn inside(&self) -> Option<(String, u16)> {
        let Self::Server(backend, server) = self else { return None };
        Some((server.inside()?.to_owned(), usual_port(*backend)))
    }

    /// The server that faults can strike.
    pub fn server(&self) -> Option<&dyn Server> {
        match self {
            Self::Server(_, server) => Some(&**server),
            Self::Embedded(_) | Self::External(_) => None,
        }
    }

    /// Waits for its end, and says how it came. A file has none.
    pub async fn ended(&self) -> String {
        match self.server() {
            Some(server) => server.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Whether everybody waits for this process now: a file that is a broker lets one write at a
    /// time.
    pub fn waits_for(&self, process: &Process) -> bool {
        match self {
            Self::Embedded(path) => write_lock::is_held_by(path, process.pid),
            Self::Server(..) | Self::External(_) => false,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::Embedded(_) => "embedded SQLite file".to_owned(),
            Self::Server(_, server) => server.describe(),
            Self::External(external) => external.describe(),
        }
    }
}

/// Where a server listens in its container.
fn usual_port(backend: Backend) -> u16 {
    if backend == Backend::RabbitMq { 5672 } else { 6379 }
}

/// The image of our own programs.
pub(crate) fn worker_image() -> String {
    std::env::var("TTG_WORKER_IMAGE").unwrap_or_else(|_| "ttg-worker:dev".to_owned())
}

/// This program, which is put beside a worker that is to run out of memory.
fn this_program() -> Result<PathBuf, Unavailable> {
    std::env::current_exe()
        .map_err(|error| Unavailable(format!("this program does not know where it is: {error}")))
}
