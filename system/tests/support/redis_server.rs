//! A Redis server for one test: a port and a directory of its own, ended when it is dropped.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use ttg_system::queue::Address;

use super::bench::PATIENCE;
use super::process::wait_for;

/// What it says when it can be used.
const READY: &str = "Ready to accept";

/// How many ports are tried: another process may take a free one first.
const PORTS: usize = 10;

pub(crate) struct RedisServer {
    pub(crate) port: u16,
    directory: TempDir,
    child: Child,
}

impl RedisServer {
    /// Starts one that keeps everything in an append-only file, and waits until it is ready.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| Vec::new())
    }

    /// The same, with more arguments for its port.
    pub(crate) fn start_with(more: impl Fn(u16) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..PORTS {
            let port = free_port();
            let more = more(port);
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            if let Some(child) = launch(port, &directory, READY, &more) {
                return Self { port, directory, child };
            }
        }
        panic!("redis-server became ready on none of {PORTS} free ports");
    }

    /// One that watches over others, with this configuration, which it writes to.
    pub(crate) fn start_sentinel(config: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for _ in 0..PORTS {
            let port = free_port();
            let mut sentinel = Command::new("redis-server");
            sentinel.arg(config).arg("--sentinel").args(["--bind", "127.0.0.1", "--port"]);
            sentinel.arg(port.to_string());
            if let Some(child) = begin(&mut sentinel, "+monitor") {
                return Self { port, directory, child };
            }
        }
        panic!("a sentinel became ready on none of {PORTS} free ports");
    }

    pub(crate) fn address(&self) -> Address {
        Address::redis("127.0.0.1", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a server that runs");
        self.child.wait().expect("a child of ours");
    }

    /// Starts it again, on the same port and with what it kept.
    pub(crate) fn restart(&mut self) {
        self.child =
            launch(self.port, &self.directory, READY, &[]).expect("the port is still ours");
    }

    /// As `restart`, but with what it kept in its last snapshot alone.
    pub(crate) fn restart_from_snapshot(&mut self) {
        let snapshot = ["--appendonly", "no"];
        self.child =
            launch(self.port, &self.directory, READY, &snapshot).expect("the port is still ours");
    }

    /// As `restart`, but every key takes so long to read, and it is not waited for.
    pub(crate) fn restart_slowly(&mut self, per_key: Duration) {
        let micros = per_key.as_micros().to_string();
        let slowly =
            ["--key-load-delay", &micros, "--loading-process-events-interval-bytes", "1024"];
        let listens = "Server initialized";
        let launched = launch(self.port, &self.directory, listens, &slowly);
        self.child = launched.expect("the port is still ours");
    }

    /// Where it keeps everything.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// So many keys that nobody needs.
    pub(crate) fn fill(&self, keys: u32) {
        let mut all = redis::cmd("MSET");
        for key in 0..keys {
            all.arg(format!("filler:{key}")).arg("");
        }
        let client = redis::Client::open(self.url()).expect("a URL");
        all.exec(&mut client.get_connection().expect("connects")).expect("is done");
        // One command of the log each is what a restart takes its time for: in a snapshot, each key.
        self.command(&["BGREWRITEAOF"]);
        wait_for(PATIENCE, "a snapshot", || {
            let told = self.ask(&["INFO", "persistence"]);
            let is_done = |line: &str| told.contains(line);
            (is_done("aof_rewrite_in_progress:0") && is_done("aof_rewrite_scheduled:0"))
                .then_some(())
        });
    }

    /// The answer to a command of people's; empty where it is refused.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let asked = client.get_connection().and_then(|mut it| command.query(&mut it));
        asked.unwrap_or_default()
    }

    /// What it kept is gone. To be called while it is not running.
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.directory.path().join("appendonlydir")).expect("it was there");
    }

    /// Carries out a command of people's.
    pub(crate) fn command(&self, words: &[&str]) {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.exec(&mut client.get_connection().expect("connects")).expect("is done");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    free.local_addr().expect("an address").port()
}

/// None where it ended before it said so.
fn launch(port: u16, directory: &TempDir, sign: &str, more: &[&str]) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
        .arg("--port")
        .arg(port.to_string())
        .arg("--dir")
        .arg(directory.path())
        .args(more);
    begin(&mut command, sign)
}

/// None where it ended before it said so.
fn begin(command: &mut Command, sign: &str) -> Option<Child> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server is missing: run ci/test ({error})"));
    let said = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let ready = said.lines().map_while(Result::ok).any(|line| line.contains(sign));
    if !ready {
        let _ = child.kill();
        let _ = child.wait();
    }
    ready.then_some(child)
}
