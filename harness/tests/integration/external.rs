//! Environment `external`: a broker that is there already is used where it is empty, and left so; and
//! its password is seen by nobody.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use ttg_contract::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::rabbitmq::{Secret, Server};
use ttg_system::queue::{self, Address, Broker, Settings, redis as ttg_redis};

use crate::support::{Sandbox, events, eventually, eventually_within, finish, json, shipped};

/// How long a server may take to start: RabbitMQ is slow on a busy machine.
const START: Duration = Duration::from_secs(90);

const USER: &str = "somebody";
const PASSWORD: &str = "only-for-somebody";

const OTHER: Sweep = Sweep { start: 0, params: 30, chunk_size: 10 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Redis,
    RabbitMq,
}
use Kind::{RabbitMq, Redis};

/// A server that somebody else has started. It ends when this is dropped.
struct Theirs {
    kind: Kind,
    port: u16,
    child: Child,
    _directory: TempDir,
}

/// One whose companions (`ci/rabbitmq` takes two) are none that the kernel gives to connections.
fn free_port() -> u16 {
    loop {
        let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        if (40_002..52_768).contains(&port) {
            return port;
        }
    }
}

impl Theirs {
    fn start(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = match kind {
            Redis => redis(port, directory.path()),
            RabbitMq => rabbitmq(port, directory.path()),
        };
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.process_group(0).spawn().unwrap();
        eventually_within(START, || {
            let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
            let is_ready = listens && (kind == Redis || directory.path().join("ready").exists());
            let missing = || format!("{kind:?} does not start (ci/test installs it)");
            if is_ready { Ok(()) } else { Err(missing()) }
        });
        Self { kind, port, child, _directory: directory }
    }

    /// By which the harness finds it.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let port = self.port.to_string();
        match self.kind {
            Redis => {
                vec![("BROKER_URL", format!("redis://default:{PASSWORD}@127.0.0.1:{port}"))]
            }
            RabbitMq => vec![
                ("RABBITMQ_HOST", "127.0.0.1".to_owned()),
                ("RABBITMQ_PORT", port),
                ("RABBITMQ_USER", USER.to_owned()),
                ("RABBITMQ_PASSWORD", PASSWORD.to_owned()),
            ],
        }
    }

    /// Of a Redis.
    fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)).unwrap()
    }

    fn address(&self) -> Address {
        match self.kind {
            Redis => Address::Redis(Box::new(ttg_redis::Server {
                password: Some(Secret(PASSWORD.to_owned())),
                ..ttg_redis::Server::at("127.0.0.1", self.port)
            })),
            RabbitMq => Address::RabbitMq(Box::new(Server {
                user: USER.to_owned(),
                password: Secret(PASSWORD.to_owned()),
                ..Server::at("127.0.0.1", self.port)
            })),
        }
    }

    async fn onlooker(&self) -> std::rc::Rc<dyn Broker> {
        queue::connect(&Settings::new(self.address()), None).await.unwrap()
    }

    /// The quickstart on it, which kills a worker: not yet started.
    fn quickstart(&self, sandbox: &Sandbox, more: &[&str]) -> Command {
        let backend = if self.kind == Redis { "redis" } else { "rabbitmq" };
        let file = shipped("quickstart");
        let arguments = ["run", &file, "--backend", backend, "--environment", "external"];
        let mut harness = sandbox.harness(&[&arguments[..], more].concat());
        harness.envs(self.variables());
        harness
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn redis(port: u16, directory: &Path) -> Command {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()]);
    command.args(["--requirepass", PASSWORD]);
    command.arg("--dir").arg(directory);
    command
}

/// By the script that people use too.
fn rabbitmq(port: u16, directory: &Path) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/rabbitmq");
    let mut command = Command::new(script);
    command.arg(port.to_string()).arg(directory).arg(format!("user={USER}:{PASSWORD}"));
    command
}

#[rstest]
#[tokio::test]
async fn a_sweep_passes_and_leaves_nothing(#[values(Redis, RabbitMq)] kind: Kind) {
    let (theirs, sandbox) = (Theirs::start(kind), Sandbox::new());
    // Twice: what the first run leaves would be in the way of the second.
    for _ in 0..2 {
        let said = finish(&mut theirs.quickstart(&sandbox, &[]));
        assert_eq!(said.code, Some(0), "{said}");
        let results = json(sandbox.latest("quickstart").join("results.json"));
        assert_eq!(results["environment"], "external", "{said}");
        assert_eq!(results["faults"][0]["bit"], true, "{said}");
    }
    assert!(!has_our_names(&theirs).await, "neither keys nor queues are left");
    sandbox.assert_that_nothing_lives();
}

#[test]
fn what_else_is_on_a_redis_is_not_touched() {
    let (theirs, sandbox) = (Theirs::start(Redis), Sandbox::new());
    let mut client = theirs.client();
    redis::cmd("SET").arg("mine").arg("kept").exec(&mut client).unwrap();
    let said = finish(&mut theirs.quickstart(&sandbox, &[]));
    assert_eq!(said.code, Some(0), "{said}");
    let left: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut client).unwrap();
    assert_eq!(left, ["mine"]);
}

#[rstest]
#[tokio::test]
async fn a_broker_that_holds_a_sweep_is_refused_and_left_alone(
    #[values(Redis, RabbitMq)] kind: Kind,
) {
    let (theirs, sandbox) = (Theirs::start(kind), Sandbox::new());
    let onlooker = theirs.onlooker().await;
    coordinator::run(&*onlooker, &OTHER, Some("theirs")).await.unwrap();
    let said = finish(&mut theirs.quickstart(&sandbox, &[]));
    assert_eq!(said.code, Some(69), "{said}");
    assert!(said.stderr.contains("a sweep of 30 parameters from 0 in chunks of 10"), "{said}");
    assert!(said.stderr.contains("not ours to touch"), "{said}");
    let there = onlooker.sweep().await.unwrap().unwrap();
    assert_eq!((there.sweep, there.job_id.as_str()), (OTHER, "theirs"));
    assert_eq!(onlooker.standing().await.unwrap().submitted, 3);
}

/// Whether there are keys, queues or exchanges whose names are a sweep's.
async fn has_our_names(theirs: &Theirs) -> bool {
    let settings = Settings::new(theirs.address());
    queue::Guest::look(&settings).await.unwrap().is_known()
}

#[rstest]
#[tokio::test]
async fn tasks_of_a_foreign_program_are_refused_and_left_alone(
    #[values(Redis, RabbitMq)] kind: Kind,
) {
    let (theirs, sandbox) = (Theirs::start(kind), Sandbox::new());
    if kind == Redis {
        let mut client = theirs.client();
        redis::cmd("XADD")
            .arg(&["ttg:results", "*", "chunk_id", "00001"])
            .exec(&mut client)
            .unwrap();
    } else {
        let url = format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}", theirs.port);
        let connection = lapin::Connection::connect(&url, Default::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare("ttg.results".into(), durable, Default::default()).await.unwrap();
        channel.confirm_select(Default::default()).await.unwrap();
        let (options, properties) = (Default::default(), Default::default());
        let sent =
            channel.basic_publish("".into(), "ttg.results".into(), options, b"{}", properties);
        sent.await.unwrap().await.unwrap();
    }
    let said = finish(&mut theirs.quickstart(&sandbox, &[]));
    assert_eq!(said.code, Some(69), "{said}");
    let name = if kind == Redis { "ttg:results" } else { "ttg.results" };
    assert!(said.stderr.contains(name) && said.stderr.contains("not ours to touch"), "{said}");
    let guest = queue::Guest::look(&Settings::new(theirs.address())).await.unwrap();
    assert!(guest.data().is_some_and(|data| data.contains(name)));
    if kind == Redis {
        let mut client = theirs.client();
        let left: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut client).unwrap();
        assert_eq!(left, ["ttg:results"]);
    }
}

/// Files below a directory that hold a text.
fn holding(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[rstest]
fn the_password_is_in_no_argument_and_in_no_file(#[values(Redis, RabbitMq)] kind: Kind) {
    let (theirs, sandbox) = (Theirs::start(kind), Sandbox::new());
    let slow = ["--keep", "--set", "sweep.kernel={work_ms: 20}"];
    let mut harness = theirs.quickstart(&sandbox, &slow);
    let mut harness = harness.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually(|| {
        let begun = events(&sandbox.latest("quickstart")).iter().any(|it| it["event"] == "result");
        if begun { Ok(()) } else { Err("the run has no result".to_owned()) }
    });
    let living = sandbox.living();
    assert!(living.iter().any(|process| process.contains("aggregate")), "{living:#?}");
    assert!(!living.iter().any(|process| process.contains(PASSWORD)), "{living:#?}");
    assert!(harness.wait().unwrap().success());
    let logs = sandbox.latest("quickstart").join("logs");
    assert!(logs.read_dir().unwrap().next().is_some(), "the logs are kept");
    assert_eq!(holding(sandbox.path(), PASSWORD), [""; 0]);
}
