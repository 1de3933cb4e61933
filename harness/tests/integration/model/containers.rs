//! The processes behind the model's containers, and what they write.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::hand::{HAND, Table};
use super::logs::Log;
use super::objects::text;

/// One container of a Pod.
#[derive(Debug, Clone)]
struct Running {
    log: Arc<Log>,
    pid: Option<u32>,
    port: Option<u16>,
}

/// By uid of the Pod and name of the container.
#[derive(Default)]
pub(super) struct Containers {
    all: Mutex<HashMap<(String, String), Running>>,
    /// Pods that are to go, with the time that they have for it.
    ends: watch::Sender<HashMap<String, Duration>>,
}

/// What a container is to be.
pub(super) struct Spec {
    pub(super) uid: String,
    pub(super) container: String,
    pub(super) program: Program,
    pub(super) environment: Vec<(String, String)>,
}

/// What of this machine a container's image is.
pub(super) enum Program {
    /// A role of the system.
    System(Vec<String>),
    Redis {
        directory: PathBuf,
        port: u16,
        arguments: Vec<String>,
    },
    RabbitMq {
        directory: PathBuf,
        port: u16,
    },
    Hand {
        table: Table,
        script: String,
        words: Vec<String>,
    },
}

impl Containers {
    pub(super) fn log(&self, uid: &str, container: &str) -> Option<Arc<Log>> {
        let all = self.all.lock().unwrap();
        all.get(&(uid.to_owned(), container.to_owned())).map(|it| Arc::clone(&it.log))
    }

    /// Where a Pod's broker listens.
    pub(super) fn port(&self, uid: &str) -> Option<u16> {
        let all = self.all.lock().unwrap();
        all.iter().find_map(|((of, _), it)| it.port.filter(|_| of == uid))
    }

    /// A Pod is to go, within this time.
    pub(super) fn end(&self, uid: &str, grace: Duration) {
        self.ends.send_modify(|ends| {
            ends.entry(uid.to_owned()).or_insert(grace);
        });
    }

    pub(super) fn is_asked_to_end(&self, uid: &str) -> bool {
        self.ends.borrow().contains_key(uid)
    }

    /// Waits until a Pod is to go; the time that it has for it.
    pub(super) async fn asked_to_end(&self, uid: &str) -> Duration {
        let mut ends = self.ends.subscribe();
        let ended = ends.wait_for(|ends| ends.contains_key(uid)).await;
        ended.map(|ends| ends[uid]).unwrap_or_default()
    }

    fn pid(&self, uid: &str, container: &str) -> Option<u32> {
        let all = self.all.lock().unwrap();
        all.get(&(uid.to_owned(), container.to_owned()))?.pid
    }

    /// Process id of a Pod's first container.
    pub(super) fn first(&self, uid: &str) -> Option<u32> {
        let all = self.all.lock().unwrap();
        let is_it = |of: &str, container: &str| of == uid && container != HAND;
        all.iter().find_map(|((of, container), it)| it.pid.filter(|_| is_it(of, container)))
    }

    /// Whether a container runs.
    pub(super) fn runs(&self, uid: &str, container: &str) -> bool {
        self.pid(uid, container).is_some()
    }

    /// Sends a signal to a container: SIGKILL to all of its processes.
    pub(super) fn kill(&self, uid: &str, container: &str, signal: Signal) {
        let Some(pid) = self.pid(uid, container) else { return };
        let pid = Pid::from_raw(pid as i32).unwrap();
        // It may have ended by itself.
        let _ = match signal {
            Signal::KILL => kill_process_group(pid, signal),
            _ => kill_process(pid, signal),
        };
    }

    /// Starts a container; its end is awaited by whoever has the child.
    pub(super) fn start(&self, spec: &Spec) -> std::io::Result<(Child, Arc<Log>)> {
        let mut command = guarded();
        let mut port = None;
        match &spec.program {
            Program::System(arguments) => {
                command.arg(env!("CARGO_BIN_EXE_harness")).arg("system").args(arguments);
            }
            Program::Redis { directory, port: at, arguments } => {
                std::fs::create_dir_all(directory)?;
                port = Some(*at);
                command.arg("redis-server").args(arguments).arg("--port").arg(at.to_string());
                command.args(["--bind", "127.0.0.1", "--dir"]).arg(directory);
            }
            Program::Hand { table, script, words } => table.run(&mut command, script, words),
            Program::RabbitMq { directory, port: at } => {
                port = Some(*at);
                rabbitmq(&mut command, directory, *at, &spec.environment)?;
            }
        }
        command.envs(spec.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn()?;
        let log = self.log(&spec.uid, &spec.container).unwrap_or_else(Log::new);
        let streams: [Box<dyn AsyncRead + Unpin>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let log = Arc::clone(&log);
            tokio::task::spawn_local(async move {
                let mut lines = BufReader::new(stream).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    log.write(line);
                }
            });
        }
        let running = Running { log: Arc::clone(&log), pid: child.id(), port };
        let at = (spec.uid.clone(), spec.container.clone());
        self.all.lock().unwrap().insert(at, running);
        Ok((child, log))
    }

    /// Its process has ended.
    pub(super) fn ended(&self, uid: &str, container: &str) {
        let mut all = self.all.lock().unwrap();
        if let Some(it) = all.get_mut(&(uid.to_owned(), container.to_owned())) {
            it.pid = None;
        }
    }
}

/// A program that ends with this process.
fn guarded() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
    command
        .arg("guard")
        .arg(std::process::id().to_string())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// A RabbitMQ server whose node name belongs to its directory, as that of a Pod belongs to its volume.
fn rabbitmq(
    command: &mut Command,
    directory: &Path,
    port: u16,
    environment: &[(String, String)],
) -> std::io::Result<()> {
    let of = |name: &str| {
        let found = environment.iter().find(|(it, _)| it == name);
        found.map_or("guest", |(_, value)| value.as_str()).to_owned()
    };
    std::fs::create_dir_all(directory)?;
    let configuration = format!(
        "listeners.tcp.default = 127.0.0.1:{port}\nloopback_users = none\ndefault_user = {}\n\
         default_pass = {}\nlog.console = true\n",
        of("RABBITMQ_DEFAULT_USER"),
        of("RABBITMQ_DEFAULT_PASS"),
    );
    std::fs::write(directory.join("model.conf"), configuration)?;
    let traced = "[{rabbit, [{trace_vhosts, [<<\"/\">>]}]}].\n";
    std::fs::write(directory.join("advanced.config"), traced)?;
    std::fs::write(directory.join("enabled_plugins"), "[].\n")?;
    command
        .arg("/usr/lib/rabbitmq/bin/rabbitmq-server")
        .env("HOME", directory)
        .env("RABBITMQ_NODENAME", format!("model-{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", (port + 1).to_string())
        .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
        .env("RABBITMQ_LOG_BASE", directory.join("log"))
        .env("RABBITMQ_CONFIG_FILE", directory.join("model.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", directory.join("advanced.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("enabled_plugins"))
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("ERL_EPMD_PORT", (port + 2).to_string());
    Ok(())
}

/// Three ports in a row that are free.
pub(super) fn free_ports() -> u16 {
    loop {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let next = |offset| std::net::TcpListener::bind(("127.0.0.1", port + offset));
        if port < 65_000 && next(1).is_ok() && next(2).is_ok() {
            return port;
        }
    }
}

/// Variables of a container, with those from Secrets.
pub(super) fn environment(
    container: &Value,
    secret: impl Fn(&str, &str) -> Option<String>,
) -> Vec<(String, String)> {
    let variables = container["env"].as_array().cloned().unwrap_or_default();
    let value = |it: &Value| match it["value"].as_str() {
        Some(value) => Some(value.to_owned()),
        None => {
            let from = &it["valueFrom"]["secretKeyRef"];
            secret(text(from, &["name"]), text(from, &["key"]))
        }
    };
    variables.iter().filter_map(|it| Some((it["name"].as_str()?.to_owned(), value(it)?))).collect()
}
