//! A `rabbitmq-server` of our own: free ports of the loopback, and its data, its log and its name
//! server in a directory of its own. Another server on this machine is not touched.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
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
use crate::plan::Backend;

/// How long a server may take until it is ready: on a busy machine that is minutes. One that cannot start ends.
const START: Duration = Duration::from_secs(300);

/// How often ports are drawn: between the draw and the start somebody else may take one.
const DRAWS: usize = 5;

/// Where a server keeps its data, below its directory.
const DATA: &str = "data";

/// What the server prints when it is ready.
const READY: &str = "Starting broker... completed";

/// A server that runs, and its name server. They end when this is dropped.
pub struct RabbitMqServer {
    life: Life,
    _names: Child,
    directory: PathBuf,
    ports: Ports,
    _reserved: ports::Reserved,
    version: String,
}

/// Where it listens: for clients, for other nodes; and its name server.
#[derive(Debug, Clone, Copy)]
struct Ports {
    clients: u16,
    nodes: u16,
    names: u16,
}

impl Ports {
    fn free() -> Result<(Self, ports::Reserved), Unavailable> {
        let ([clients, nodes, names], reserved) = ports::free()?;
        Ok((Self { clients, nodes, names }, reserved))
    }

    /// Whether somebody else listens on one of them, once no server of ours does any more.
    fn are_taken(self) -> bool {
        let is_taken = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err();
        [self.clients, self.nodes].into_iter().any(is_taken)
    }
}

impl RabbitMqServer {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// Where there is no `rabbitmq-server`, or it does not start.
    pub async fn start(directory: &Path) -> Result<Self, Unavailable> {
        here::need_server_program(Backend::RabbitMq)?;
        for _ in 1..DRAWS {
            let (ports, reserved) = Ports::free()?;
            match Self::start_on(ports, reserved, directory).await {
                // What it has left is under the name of its port.
                Err(_) if ports.are_taken() => {}
                started => return started,
            }
        }
        let (ports, reserved) = Ports::free()?;
        Self::start_on(ports, reserved, directory).await
    }

    async fn start_on(
        ports: Ports,
        reserved: ports::Reserved,
        directory: &Path,
    ) -> Result<Self, Unavailable> {
        let names = write_configuration(directory, ports.clients)
            .and_then(|()| spawn_names(ports.names))
            .map_err(|error| cannot_be_run(&error))?;
        let (child, version) = start_on(ports, directory).await?;
        let (life, directory) = (Life::of(child), directory.to_owned());
        Ok(Self { life, _names: names, directory, ports, _reserved: reserved, version })
    }
}

#[async_trait(?Send)]
impl Server for RabbitMqServer {
    fn describe(&self) -> String {
        format!("rabbitmq-server {} on {}", self.version, self.address())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.clients))
    }

    async fn ended(&self) -> String {
        let status = self.life.ended().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = fs::read_to_string(output(&self.directory)).unwrap_or_default();
        format!("rabbitmq-server ended by itself ({status}): {}", last_line(&said))
    }

    async fn kill(&self) -> Seen {
        self.life.kill().await
    }

    async fn stop(&self) -> Seen {
        self.life.stop().await
    }

    async fn start_again(&self) -> Seen {
        let start = async { Ok(start_on(self.ports, &self.directory).await?.0) };
        self.life.begin_again(start).await
    }

    async fn wipe(&self) -> Seen {
        let killed = self.kill().await?;
        Ok(format!("{killed}, {}", life::remove(&self.directory.join(DATA))?))
    }

    async fn pause(&self) -> Seen {
        self.life.pause().await
    }

    async fn resume(&self) -> Seen {
        self.life.resume().await
    }
}

/// The name server.
fn spawn_names(port: u16) -> std::io::Result<Child> {
    let mut names = guarded(Path::new("epmd"))?;
    names.args(["-port", &port.to_string(), "-address", "127.0.0.1"]).stdout(Stdio::null());
    names.spawn()
}

/// Starts the server and waits until it is ready. Returns its version too.
async fn start_on(ports: Ports, directory: &Path) -> Result<(Child, String), Unavailable> {
    let mut child = spawn_server(ports, directory).map_err(|error| cannot_be_run(&error))?;
    let version = wait_until_ready(&mut child, &output(directory)).await?;
    Ok((child, version))
}

fn spawn_server(ports: Ports, directory: &Path) -> std::io::Result<Child> {
    let name = here::server_program(Backend::RabbitMq);
    let mut server = guarded(name.as_deref().unwrap_or(Path::new("rabbitmq-server")))?;
    for (name, _) in std::env::vars_os() {
        // What is meant for another server of this machine is not for this one.
        if name.to_string_lossy().starts_with("RABBITMQ_") {
            server.env_remove(name);
        }
    }
    let Ports { clients, nodes, names } = ports;
    server
        .env("HOME", directory)
        .env("RABBITMQ_NODENAME", format!("ttg-{clients}@localhost"))
        .env("RABBITMQ_DIST_PORT", nodes.to_string())
        .env("RABBITMQ_MNESIA_BASE", directory.join(DATA))
        .env("RABBITMQ_LOG_BASE", directory.join("log"))
        .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", directory.join("advanced.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("enabled_plugins"))
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        // The script makes way for the server, which then is the process that we guard.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("ERL_EPMD_PORT", names.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .stdout(fs::File::create(output(directory))?);
    server.spawn()
}

async fn wait_until_ready(child: &mut Child, output: &Path) -> Result<String, Unavailable> {
    let deadline = Instant::now() + START;
    loop {
        let said = fs::read_to_string(output).unwrap_or_default();
        if said.contains(READY) {
            let after = said.split("RabbitMQ ").nth(1);
            let version = after.and_then(|it| it.split_whitespace().next());
            return Ok(version.unwrap_or("of an unknown version").to_owned());
        }
        let problem = match child.try_wait() {
            Ok(Some(status)) => format!("{status}; {}", last_words::ending(output)),
            _ if Instant::now() >= deadline => {
                format!("not ready within {START:?}; {}", last_words::ending(output))
            }
            _ => {
                sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        return Err(Unavailable(format!("rabbitmq-server does not start: {problem}")));
    }
}

fn cannot_be_run(error: &std::io::Error) -> Unavailable {
    let ways = here::ways_to(Backend::RabbitMq);
    Unavailable(format!("rabbitmq-server cannot be run: {error} ({ways})"))
}

/// What the server prints.
fn output(directory: &Path) -> PathBuf {
    directory.join("rabbitmq-server.log")
}

/// A program that ends with us.
fn guarded(program: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(guard::SUBCOMMAND)
        .arg(std::process::id().to_string())
        .arg(program)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

fn write_configuration(directory: &Path, port: u16) -> std::io::Result<()> {
    fs::create_dir_all(directory)?;
    let listen = format!("listeners.tcp.default = 127.0.0.1:{port}\n");
    fs::write(directory.join("rabbitmq.conf"), listen)?;
    // Who holds what can only be seen in the server's trace of every message.
    let trace = "[{rabbit, [{trace_vhosts, [<<\"/\">>]}]}].\n";
    fs::write(directory.join("advanced.config"), trace)?;
    fs::write(directory.join("enabled_plugins"), "[].\n")
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_taken() {
        let (ports, _reserved) = Ports::free().unwrap();
        assert!(!ports.are_taken());
        let _somebody = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.nodes)).unwrap();
        assert!(ports.are_taken());
    }
}
