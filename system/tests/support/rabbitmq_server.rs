//! A RabbitMQ server for tests. It takes seconds to start, so tests share the one that
//! `ci/with-rabbitmq` has started, each under queue names of its own; without that, or where a
//! test is rough with it, a test has its own.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use ttg_system::queue::Address;
use ttg_system::queue::rabbitmq::{Queues, Server};
use ttg_system::wire::{self, Fields};

use super::process::wait_for;

/// Port of the shared server.
const SHARED: &str = "TTG_TEST_RABBITMQ_PORT";

/// How long a server may take to start, on a machine that does other things too.
const START: Duration = Duration::from_secs(90);

pub(crate) struct RabbitMqServer {
    pub(crate) port: u16,
    queues: Queues,
    own: Option<(TempDir, Child)>,
}

impl RabbitMqServer {
    /// The shared one under names that are nobody else's, or else one of its own.
    pub(crate) fn start() -> Self {
        let Some(port) = std::env::var(SHARED).ok().and_then(|port| port.parse().ok()) else {
            return Self::start_own();
        };
        let test = format!("test-{:016x}", fastrand::u64(..));
        let queues = Queues {
            tasks: format!("{test}.tasks"),
            results: format!("{test}.results"),
            retry: format!("{test}.tasks.retry"),
            letters: format!("{test}.tasks.dlq"),
            ..Queues::default()
        };
        Self { port, queues, own: None }
    }

    /// One under the names of the contract, that may be killed.
    pub(crate) fn start_own() -> Self {
        Self::launch(&[])
    }

    /// One of its own that tells nobody who holds what.
    pub(crate) fn start_untraced() -> Self {
        Self::launch(&["untraced"])
    }

    /// The same, and not waited for: see [`RabbitMqServer::is_ready`].
    pub(crate) fn spawn_untraced() -> Self {
        Self::spawn(&["untraced"])
    }

    /// One of its own that takes back what is not acknowledged for half a second.
    pub(crate) fn start_impatient() -> Self {
        Self::launch(&["impatient"])
    }

    /// One of its own with one user, which takes only connections over TLS of those who have a
    /// certificate; the files are in a directory.
    pub(crate) fn start_encrypted(certificates: &Path, user: &str, password: &str) -> Self {
        let certificates = format!("tls={}", certificates.display());
        Self::launch(&[&certificates, &format!("user={user}:{password}")])
    }

    fn launch(options: &[&str]) -> Self {
        let mut server = Self::spawn(options);
        server.wait_until_ready();
        server
    }

    fn spawn(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let child = spawn(port, directory.path(), options);
        Self { port, queues: Queues::default(), own: Some((directory, child)) }
    }

    /// Whether it can be used.
    ///
    /// # Errors
    /// Where it has ended: what it said.
    pub(crate) fn is_ready(&mut self) -> Result<bool, String> {
        let (directory, child) = self.own.as_mut().expect("a server of our own");
        if let Some(status) = child.try_wait().expect("it is a child") {
            let said = directory.path().join("out.log");
            let said = std::fs::read_to_string(said).unwrap_or_default();
            return Err(format!("rabbitmq-server ended before it was ready ({status}): {said}"));
        }
        let is_there = directory.path().join("ready").exists();
        Ok(is_there && TcpStream::connect(("127.0.0.1", self.port)).is_ok())
    }

    fn wait_until_ready(&mut self) {
        wait_for(START, "rabbitmq-server (ci/test installs it)", || {
            self.is_ready().unwrap_or_else(|problem| panic!("{problem}")).then_some(())
        });
    }

    /// A connection as any program has one.
    pub(crate) async fn connect(&self) -> Connection {
        let url = format!("amqp://127.0.0.1:{}", self.port);
        Connection::connect(&url, Default::default()).await.expect("the server answers")
    }

    pub(crate) fn address(&self) -> Address {
        let server = Server::at("127.0.0.1", self.port);
        Address::RabbitMq(Box::new(Server { queues: self.queues.clone(), ..server }))
    }

    pub(crate) fn queues(&self) -> &Queues {
        &self.queues
    }

    /// Publishes as a foreign program would, and waits until it is stored.
    pub(crate) async fn publish(&self, exchange: &str, key: &str, body: &[u8]) {
        self.publish_as(Default::default(), exchange, key, body).await;
    }

    /// The same, with properties.
    pub(crate) async fn publish_as(
        &self,
        properties: lapin::BasicProperties,
        exchange: &str,
        key: &str,
        body: &[u8],
    ) {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(Default::default()).await.expect("confirms");
        let options = Default::default();
        let sent = channel.basic_publish(exchange.into(), key.into(), options, body, properties);
        sent.await.expect("publishes").await.expect("is stored");
    }

    /// How many messages wait in a queue.
    pub(crate) async fn depth(&self, queue: &str) -> u64 {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let told = channel.queue_declare(queue.into(), passive, Default::default()).await;
        told.expect("it is there").message_count().into()
    }

    /// Takes every message of a queue, and reads it.
    pub(crate) async fn take_all<T>(&self, queue: &str, read: impl Fn(&Fields) -> T) -> Vec<T> {
        let count = self.depth(queue).await as usize;
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        let (options, none) = (Default::default(), Default::default());
        let consumer = channel.basic_consume(queue.into(), "".into(), options, none).await;
        let messages = consumer.expect("a consumer").take(count).map(|message| {
            let body = message.expect("comes").data;
            read(&wire::from_json(&String::from_utf8_lossy(&body)))
        });
        messages.collect().await
    }

    /// Takes so many messages from the head of a queue, as somebody else's worker would.
    pub(crate) async fn take(&self, queue: &str, count: u64) {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        for _ in 0..count {
            let got = channel.basic_get(queue.into(), Default::default()).await.expect("is there");
            let acker = got.expect("a message").delivery.acker;
            acker.ack(Default::default()).await.expect("acks");
        }
    }

    /// Throws away what waits in a queue.
    pub(crate) async fn purge(&self, queue: &str) {
        let connection = self.connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        channel.queue_purge(queue.into(), Default::default()).await.expect("is purged");
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        let (_, child) = self.own.as_mut().expect("a server of our own");
        end(child);
    }

    /// Starts it again, on the same port and with what it kept.
    pub(crate) fn restart(&mut self) {
        let (directory, child) = self.own.as_mut().expect("a server of our own");
        *child = spawn(self.port, directory.path(), &[]);
        self.wait_until_ready();
    }

    /// Carries out a command of people's.
    pub(crate) fn control(&self, words: &[&str]) -> std::io::Result<std::process::ExitStatus> {
        self.controlled(words).stdout(Stdio::null()).status()
    }

    /// What is answered to a command of people's.
    pub(crate) fn told(&self, words: &[&str]) -> String {
        let told = self.controlled(words).output().expect("rabbitmqctl can be run");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).expect("text")
    }

    fn controlled(&self, words: &[&str]) -> Command {
        let (directory, _) = self.own.as_ref().expect("a server of our own");
        let names = if self.port > 40000 { self.port - 20001 } else { self.port + 20001 };
        let ctl = ["/usr/lib/rabbitmq/bin/rabbitmqctl", "rabbitmqctl"];
        let ctl = ctl.into_iter().find(|it| Path::new(it).exists()).unwrap_or("rabbitmqctl");
        let mut command = Command::new(ctl);
        command
            .args(words)
            .env("HOME", directory.path())
            .env("RABBITMQ_NODENAME", format!("ttg-{}@localhost", self.port))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", names.to_string())
            .stdin(Stdio::null());
        command
    }

    /// What it kept is gone. To be called while it is not running.
    pub(crate) fn wipe(&self) {
        let (directory, _) = self.own.as_ref().expect("a server of our own");
        std::fs::remove_dir_all(directory.path().join("data")).expect("it was there");
    }
}

impl Drop for RabbitMqServer {
    fn drop(&mut self) {
        if let Some((_, child)) = &mut self.own {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    let group = Pid::from_raw(i32::try_from(child.id()).expect("an id")).expect("an id");
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

/// By the script that people use too.
fn spawn(port: u16, directory: &Path, options: &[&str]) -> Child {
    // Of an earlier life.
    let _ = std::fs::remove_file(directory.join("ready"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/rabbitmq");
    Command::new(script)
        .arg(port.to_string())
        .arg(directory)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("ci/rabbitmq can be run")
}

/// One whose companions (`ci/rabbitmq` takes two) are none that the kernel gives to connections: those
/// may be taken by the time the server wants them.
fn free_port() -> u16 {
    loop {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        if (40_002..52_768).contains(&port) {
            return port;
        }
    }
}
