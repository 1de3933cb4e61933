//! A `redis-server` of our own: a free port of the loopback, its data in a directory of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::life::Life;
use super::{Unavailable, guard};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(10);

/// A port that was free may be taken by the time the server wants it; so many are tried.
const PORTS: usize = 5;

/// A server that runs. It ends when this is dropped.
pub struct RedisServer {
    life: Life,
    directory: PathBuf,
    fsync: Fsync,
    port: u16,
    version: String,
}

/// When what is confirmed is on the disk, and no longer only with the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fsync {
    /// Within a second or two: a server that is killed may lose what it had not yet handed over.
    EverySecond,
    /// Before it is confirmed.
    Always,
}

impl Fsync {
    fn word(self) -> &'static str {
        match self {
            Self::EverySecond => "everysec",
            Self::Always => "always",
        }
    }
}

impl RedisServer {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// Where there is no `redis-server`, or it does not start.
    pub(super) async fn start(directory: &Path, fsync: Fsync) -> Result<Self, Unavailable> {
        let version = version().await?;
        let mut last = String::new();
        for _ in 0..PORTS {
            let port = free_port()?;
            match start_on(port, directory, fsync).await {
                Ok(child) => {
                    let (life, directory) = (Life::of(child), directory.to_owned());
                    return Ok(Self { life, directory, fsync, port, version });
                }
                Err(problem) => last = problem,
            }
        }
        Err(Unavailable(format!("redis-server does not start: {last}")))
    }

    /// Waits for its end, and says how it came.
    pub async fn ended(&self) -> String {
        let status = self.life.ended().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = last_line(&log_path(&self.directory));
        format!("redis-server ended by itself ({status}): {said}")
    }

    /// Kills it, and starts it again on the same port and with its data.
    pub(super) async fn restart(&self) -> Result<String, Unavailable> {
        let Self { directory, fsync, port, .. } = self;
        let start = async {
            let failed = |problem| Unavailable(format!("redis-server does not start: {problem}"));
            start_on(*port, directory, *fsync).await.map_err(failed)
        };
        self.life.replace(start).await
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis-server 7.0.15 on 127.0.0.1:40123`, and its durability where that matters.
    pub(super) fn describe(&self) -> String {
        let fsync = match self.fsync {
            Fsync::EverySecond => String::new(),
            Fsync::Always => format!(", appendfsync {}", self.fsync.word()),
        };
        format!("redis-server {} on 127.0.0.1:{}{fsync}", self.version, self.port)
    }
}

/// The version of the `redis-server` of the search path.
///
/// # Errors
/// Where there is none.
pub(super) async fn version() -> Result<String, Unavailable> {
    let output = Command::new("redis-server").arg("--version").output().await.map_err(|error| {
        Unavailable(format!(
            "redis-server cannot be run: {error} (install it, on Debian and Ubuntu: \
             apt-get install redis-server; or use --backend embedded)"
        ))
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="));
    Ok(version.unwrap_or("of an unknown version").to_owned())
}

async fn start_on(port: u16, directory: &Path, fsync: Fsync) -> Result<Child, String> {
    let log = log_path(directory);
    let port_text = port.to_string();
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(this)
        .arg(guard::SUBCOMMAND)
        .arg(std::process::id().to_string())
        .arg("redis-server")
        .args(["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", fsync.word()])
        .arg("--dir")
        .arg(directory)
        .arg("--logfile")
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("{status}: {}", last_line(&log)));
        }
        // Another program may have been quicker to take the port: that server is not ours.
        if answerer(port).await.is_some_and(|pid| Some(pid) == child.id()) {
            return Ok(child);
        }
        sleep(Duration::from_millis(5)).await;
    }
    Err(format!("no answer within {START:?}: {}", last_line(&log)))
}

/// Process id of the server that answers there.
async fn answerer(port: u16) -> Option<u32> {
    let asked = async {
        let client = redis::Client::open(("127.0.0.1", port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("INFO").arg("server").query_async::<String>(&mut connection).await
    };
    let info = asked.await.ok()?;
    info.lines().find_map(|line| line.strip_prefix("process_id:"))?.trim().parse().ok()
}

fn free_port() -> Result<u16, Unavailable> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Unavailable(format!("no free port on 127.0.0.1: {error}")))
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("redis-server.log")
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it wrote no log").to_owned()
}
