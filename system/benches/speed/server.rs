//! A broker of its own for each measurement. It ends, and what it kept is removed, when it is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;
use ttg_system::queue::{Address, Settings};

use crate::measure::Deadline;
use crate::outcome::{Outcome, Unmeasured, failed};
use crate::support::rabbitmq_server::RabbitMqServer;
use crate::support::redis_server::RedisServer;

/// After so long a start is given up.
const START: Duration = Duration::from_secs(90);

/// How often RabbitMQ is looked at until it is ready: there is no event to wait for.
const READY_POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Redis,
    RabbitMq,
    Embedded,
}

impl Backend {
    /// As it is asked for.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
            Self::Embedded => "embedded",
        }
    }
}

pub(crate) struct Server {
    /// The defaults, at its address.
    pub(crate) settings: Settings,
    _process: Process,
}

#[expect(dead_code, reason = "what is in it ends when it is dropped")]
enum Process {
    Redis(RedisServer),
    RabbitMq(RabbitMqServer),
    /// There is none, only a directory.
    Embedded(TempDir),
}

impl Server {
    pub(crate) async fn start(backend: Backend, deadline: &Deadline) -> Outcome<Self> {
        let bound = deadline.bound(START)?;
        let (address, process) = match backend {
            Backend::Redis => {
                // A log that is written anew in the midst of one figure, and not of the next, takes a processor
                // from it.
                let options = |_| ["--auto-aof-rewrite-percentage", "0"].map(str::to_owned).into();
                let server = caught(|| RedisServer::start_with(options))?;
                (server.address(), Process::Redis(server))
            }
            Backend::RabbitMq => {
                let server = start_rabbitmq(bound).await?;
                (server.address(), Process::RabbitMq(server))
            }
            Backend::Embedded => {
                let directory = tempfile::tempdir().map_err(failed)?;
                let path = directory.path().join("queue.db");
                (Address::Embedded(path), Process::Embedded(directory))
            }
        };
        Ok(Self { settings: Settings::new(address), _process: process })
    }
}

/// Takes seconds, in which an interruption must be heard.
async fn start_rabbitmq(bound: Duration) -> Outcome<RabbitMqServer> {
    let begun = Instant::now();
    let mut server = caught(RabbitMqServer::spawn_untraced)?;
    while !server.is_ready().map_err(Unmeasured::Failed)? {
        if begun.elapsed() > bound {
            return Err(failed(format!("rabbitmq-server was not ready after {bound:.0?}")));
        }
        sleep(READY_POLL).await;
    }
    Ok(server)
}

/// The servers are those of the tests, which panic where a server cannot be started.
fn caught<T>(start: impl FnOnce() -> T) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(start)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        failed(text.unwrap_or("the server cannot be started"))
    })
}
