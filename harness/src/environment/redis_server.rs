//! A `redis-server` of our own: a free port of the loopback, its data in a directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::life::{self, Life};
use super::server::{Seen, Server};
use super::{Unavailable, guard, here, ports};
use crate::last_words;
use crate::plan::{Backend, Fsync};

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(10);

/// A port that was free may be taken by the time the server wants it; so many are tried.
const PORTS: usize = 5;

/// Where a server keeps what it appends, below its directory: its own default.
const APPENDED: &str = "appendonlydir";

/// A server that runs. It ends when this is dropped.
pub struct RedisServer {
    life: Life,
    directory: PathBuf,
    fsync: Fsync,
    port: u16,
    _reserved: ports::Reserved,
    version: String,
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
            let ([port], reserved) = ports::free()?;
            match start_on(port, directory, fsync).await {
                Ok(child) => {
                    let (life, directory) = (Life::of(child), directory.to_owned());
                    return Ok(Self { life, directory, fsync, port, _reserved: reserved, version });
                }
                Err(problem) => last = problem,
            }
        }
        Err(Unavailable(format!("redis-server does not start: {last}")))
    }
}

#[async_trait(?Send)]
impl Server for RedisServer {
    fn describe(&self) -> String {
        let Self { version, port, fsync, .. } = self;
        format!("redis-server {version} on 127.0.0.1:{port}, appendfsync {}", fsync.word())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    async fn ended(&self) -> String {
        let status = self.life.ended().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = last_line(&log_path(&self.directory));
        format!("redis-server ended by itself ({status}): {said}")
    }

    async fn kill(&self) -> Seen {
        self.life.kill().await
    }

    async fn stop(&self) -> Seen {
        self.life.stop().await
    }

    async fn start_again(&self) -> Seen {
        let Self { directory, fsync, port, .. } = self;
        let start = async {
            let failed = |problem| Unavailable(format!("redis-server does not start: {problem}"));
            start_on(*port, directory, *fsync).await.map_err(failed)
        };
        self.life.begin_again(start).await
    }

    async fn wipe(&self) -> Seen {
        let killed = self.kill().await?;
        Ok(format!("{killed}, {}", life::remove(&self.directory.join(APPENDED))?))
    }

    async fn pause(&self) -> Seen {
        self.life.pause().await
    }

    async fn resume(&self) -> Seen {
        self.life.resume().await
    }
}

/// The version of the `redis-server` of the search path.
///
/// # Errors
/// Where there is none.
pub(super) async fn version() -> Result<String, Unavailable> {
    let program = here::need_server_program(Backend::Redis)?;
    let output = Command::new(&program).arg("--version").output().await.map_err(|error| {
        let (program, ways) = (program.display(), here::ways_to(Backend::Redis));
        Unavailable(format!("{program} cannot be run: {error} ({ways})"))
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
        .args(["--port", &port_text, "--bind", "127.0.0.1"])
        .args(fsync.arguments())
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
            return Err(format!("{status}; {}", last_words::ending(&log)));
        }
        // Another program may have been quicker to take the port: that server is not ours.
        if answerer(port).await.is_some_and(|pid| Some(pid) == child.id()) {
            return Ok(child);
        }
        sleep(Duration::from_millis(5)).await;
    }
    Err(format!("no answer within {START:?}; {}", last_words::ending(&log)))
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

fn log_path(directory: &Path) -> PathBuf {
    directory.join("redis-server.log")
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it wrote no log").to_owned()
}
