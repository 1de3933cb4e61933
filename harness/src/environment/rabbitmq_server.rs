//! A `rabbitmq-server` of our own: free ports of the loopback, and its data, its log and its name
//! server in a directory of its own. Another server on this machine is not touched.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::{Unavailable, guard};

/// How long a server may take until it is ready: it is slow to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// Where Debian keeps the program itself; the one on the search path changes the user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// What the server prints when it is ready.
const READY: &str = "Starting broker... completed";

/// A server that runs, and its name server. They end when this is dropped.
pub struct RabbitMqServer {
    child: tokio::sync::Mutex<Child>,
    _names: Child,
    output: PathBuf,
    port: u16,
    version: String,
}

impl RabbitMqServer {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// Where there is no `rabbitmq-server`, or it does not start.
    pub async fn start(directory: &Path) -> Result<Self, Unavailable> {
        let [port, between_nodes, names] = free_ports()?;
        let failed = |error: std::io::Error| {
            Unavailable(format!(
                "rabbitmq-server cannot be run: {error} (install it, on Debian and Ubuntu: \
                 apt-get install rabbitmq-server; or use --backend embedded)"
            ))
        };
        write_configuration(directory, port).map_err(failed)?;
        let output = directory.join("rabbitmq-server.log");
        let mut epmd = guarded("epmd").map_err(failed)?;
        let names_port = names.to_string();
        epmd.args(["-port", &names_port, "-address", "127.0.0.1"]).stdout(Stdio::null());
        let epmd = epmd.spawn().map_err(failed)?;
        let program = if Path::new(PROGRAM).exists() { PROGRAM } else { "rabbitmq-server" };
        let mut server = guarded(program).map_err(failed)?;
        for (name, _) in std::env::vars_os() {
            // What is meant for another server of this machine is not for this one.
            if name.to_string_lossy().starts_with("RABBITMQ_") {
                server.env_remove(name);
            }
        }
        server
            .env("HOME", directory)
            .env("RABBITMQ_NODENAME", format!("ttg-{port}@localhost"))
            .env("RABBITMQ_DIST_PORT", between_nodes.to_string())
            .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
            .env("RABBITMQ_LOG_BASE", directory.join("log"))
            .env("RABBITMQ_CONFIG_FILE", directory.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", directory.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("enabled_plugins"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            )
            // The script makes way for the server, which then is the process that we guard.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("ERL_EPMD_PORT", &names_port)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .stdout(fs::File::create(&output).map_err(failed)?);
        let child = server.spawn().map_err(failed)?;
        let mut started = Self {
            child: child.into(),
            _names: epmd,
            output,
            port,
            version: "of an unknown version".to_owned(),
        };
        started.wait_until_ready().await?;
        Ok(started)
    }

    async fn wait_until_ready(&mut self) -> Result<(), Unavailable> {
        let deadline = Instant::now() + START;
        loop {
            let said = fs::read_to_string(&self.output).unwrap_or_default();
            let version =
                said.split("RabbitMQ ").nth(1).and_then(|it| it.split_whitespace().next());
            if said.contains(READY) {
                self.version = version.unwrap_or(&self.version).to_owned();
                return Ok(());
            }
            let problem = match self.child.get_mut().try_wait() {
                Ok(Some(status)) => format!("{status}: {}", last_line(&said)),
                _ if Instant::now() >= deadline => {
                    format!("not ready within {START:?}: {}", last_line(&said))
                }
                _ => {
                    sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            return Err(Unavailable(format!("rabbitmq-server does not start: {problem}")));
        }
    }

    /// Waits for its end, and says how it came.
    pub async fn ended(&self) -> String {
        let status = self.child.lock().await.wait().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let said = fs::read_to_string(&self.output).unwrap_or_default();
        format!("rabbitmq-server ended by itself ({status}): {}", last_line(&said))
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `3.10.8`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl Drop for RabbitMqServer {
    fn drop(&mut self) {
        // The server is a child of a script: all of its group goes.
        let group = self.child.get_mut().id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// A program that ends with us.
fn guarded(program: &str) -> std::io::Result<Command> {
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

fn free_ports() -> Result<[u16; 3], Unavailable> {
    let free = || -> std::io::Result<[u16; 3]> {
        let listen = || TcpListener::bind(("127.0.0.1", 0));
        let taken = [listen()?, listen()?, listen()?];
        let [a, b, c] = &taken;
        Ok([a.local_addr()?.port(), b.local_addr()?.port(), c.local_addr()?.port()])
    };
    free().map_err(|error| Unavailable(format!("no free port on 127.0.0.1: {error}")))
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
}
