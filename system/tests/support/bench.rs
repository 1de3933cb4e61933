//! A broker, empty, with settings that suit tests; and what a sweep on it must come to.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use ttg_system::aggregator::{self, Report, Until};
use ttg_system::chunk::{Chunk, Sweep};
use ttg_system::coordinator;
use ttg_system::kernel::{Identity, value};
use ttg_system::queue::{self, Address, Broker, Commit, Delivery, Queue, Settings, Token};
use ttg_system::stats::{Collector, Stats};
use ttg_system::wire::{self, TaskResult};
use ttg_system::worker::{Batch, Options};

use super::model::Model;
use super::rabbitmq_server::RabbitMqServer;
use super::redis_server::RedisServer;

/// Long enough for anything that happens at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Embedded,
    Redis,
    RabbitMq,
    Model,
}

pub(crate) struct Bench {
    pub(crate) settings: Settings,
    home: Home,
}

enum Home {
    Embedded(TempDir),
    Redis(RedisServer),
    RabbitMq(RabbitMqServer),
    Model(Model),
}

impl Bench {
    /// With a server that may be killed.
    pub(crate) fn start_own(backend: Backend) -> Self {
        match backend {
            Backend::RabbitMq => Self::at(Home::RabbitMq(RabbitMqServer::start_own())),
            _ => Self::start(backend),
        }
    }

    /// Leases last for longer than any test, unless it shortens them.
    pub(crate) fn start(backend: Backend) -> Self {
        Self::at(match backend {
            Backend::Embedded => Home::Embedded(tempfile::tempdir().expect("a directory")),
            Backend::Redis => Home::Redis(RedisServer::start()),
            Backend::RabbitMq => Home::RabbitMq(RabbitMqServer::start()),
            Backend::Model => Home::Model(Model::default()),
        })
    }

    /// On a RabbitMQ that does nothing but its work.
    pub(crate) fn start_untraced() -> Self {
        Self::at(Home::RabbitMq(RabbitMqServer::start_untraced()))
    }

    fn at(home: Home) -> Self {
        let address = match &home {
            Home::Embedded(directory) => Address::Embedded(directory.path().join("queue.db")),
            Home::Redis(server) => server.address(),
            Home::RabbitMq(server) => server.address(),
            Home::Model(_) => Address::Embedded(PathBuf::from("a model")),
        };
        let settings = Settings {
            lease: Duration::from_secs(60),
            takeover_interval: Duration::from_millis(5),
            max_retries: 2,
            retry_delay: Duration::from_millis(30),
            max_deliveries: 3,
            patience: PATIENCE,
            first_contact: PATIENCE,
            ..Settings::new(address)
        };
        Self { settings, home }
    }

    pub(crate) fn with_lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// With a sweep of `chunks` chunks of 10 parameters, all submitted.
    pub(crate) async fn with_sweep(self, chunks: u64) -> (Self, Sweep) {
        let sweep = Sweep { start: 0, params: 10 * chunks, chunk_size: 10 };
        coordinator::run(&*self.onlooker().await, &sweep, None).await.expect("submits");
        (self, sweep)
    }

    pub(crate) async fn worker(&self, name: &str) -> Rc<dyn Broker> {
        self.connect(&self.settings, Some(name)).await
    }

    /// One with settings of its own.
    pub(crate) async fn worker_with(&self, settings: &Settings, name: &str) -> Rc<dyn Broker> {
        self.connect(settings, Some(name)).await
    }

    pub(crate) async fn onlooker(&self) -> Rc<dyn Broker> {
        self.connect(&self.settings, None).await
    }

    async fn connect(&self, settings: &Settings, worker: Option<&str>) -> Rc<dyn Broker> {
        match &self.home {
            Home::Model(model) => Rc::new(model.connect(settings, worker)),
            _ => {
                let broker = queue::connect(settings, worker).await.expect("the broker answers");
                // Some brokers say who holds what only from the first question on.
                broker.held().await.expect("reads");
                broker
            }
        }
    }

    /// Ends what an onlooker has at the broker, where that would stay for a while.
    pub(crate) async fn end(&self, onlooker: &dyn Broker) {
        if let Home::RabbitMq(_) = self.home {
            onlooker.leave().await.expect("leaves");
        }
    }

    pub(crate) fn redis(&mut self) -> &mut RedisServer {
        match &mut self.home {
            Home::Redis(server) => server,
            _ => panic!("not a Redis server"),
        }
    }

    /// The broker's data is gone: it was killed, and comes back with nothing.
    pub(crate) fn lose_everything(&mut self) {
        match &mut self.home {
            Home::Embedded(directory) => {
                for suffix in ["", "-wal", "-shm"] {
                    let path = directory.path().join(format!("queue.db{suffix}"));
                    std::fs::remove_file(path).expect("it was there");
                }
            }
            Home::Redis(server) => {
                server.kill();
                server.wipe();
                server.restart();
            }
            Home::RabbitMq(server) => {
                server.kill();
                server.wipe();
                server.restart();
            }
            Home::Model(_) => panic!("a model loses nothing"),
        }
    }

    pub(crate) fn rabbitmq(&self) -> &RabbitMqServer {
        match &self.home {
            Home::RabbitMq(server) => server,
            _ => panic!("not a RabbitMQ server"),
        }
    }

    /// Puts a task into the broker that may be anything, as a foreign program would.
    pub(crate) async fn submit_raw(&self, fields: &[(&[u8], &[u8])]) {
        match &self.home {
            Home::Redis(server) => {
                let mut add = redis::cmd("XADD");
                add.arg("ttg:tasks").arg("*");
                for (name, value) in fields {
                    add.arg(*name).arg(*value);
                }
                add.query::<String>(&mut connection(server)).expect("XADD");
            }
            Home::Embedded(_) => {
                let object: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
                    .collect();
                self.submit_text(format!("{{{}}}", object.join(",")).as_bytes());
            }
            Home::RabbitMq(server) => {
                let object: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
                    .collect();
                let body = format!("{{{}}}", object.join(","));
                server.publish("ttg.tasks.exchange", &server.queues().tasks, body.as_bytes()).await;
            }
            Home::Model(_) => panic!("a model takes no raw tasks"),
        }
    }

    /// Puts a row into the file of the embedded broker that need not be JSON.
    pub(crate) fn submit_text(&self, text: &[u8]) {
        self.file()
            .execute("INSERT INTO tasks (task) VALUES (CAST(? AS TEXT))", [text])
            .expect("a row");
    }

    /// Deletes every task that waits, behind the queue's back.
    pub(crate) async fn lose_tasks(&self) {
        match &self.home {
            Home::Redis(server) => server.command(&["DEL", "ttg:tasks"]),
            Home::Embedded(_) => {
                self.file().execute("DELETE FROM tasks", []).expect("deletes");
            }
            Home::RabbitMq(server) => server.purge(&server.queues().tasks).await,
            Home::Model(_) => panic!("a model loses nothing"),
        }
    }

    /// Opens the file of the embedded broker.
    pub(crate) fn file(&self) -> rusqlite::Connection {
        let Address::Embedded(path) = &self.settings.address else { panic!("not a file") };
        let file = rusqlite::Connection::open(path).expect("opens");
        file.busy_timeout(PATIENCE).expect("takes a time");
        file
    }

    /// Commits a chunk behind the queue's back, dead or not.
    pub(crate) async fn commit_raw(&self, chunk: &Chunk) {
        let result = result(chunk, "a stranger");
        match &self.home {
            Home::Redis(server) => {
                let mut pipe = redis::pipe();
                pipe.cmd("SETBIT").arg("ttg:committed").arg(chunk.index).arg(1);
                pipe.cmd("XADD").arg("ttg:results").arg("*").arg(result.to_fields());
                pipe.cmd("HINCRBY").arg("ttg:progress").arg("committed").arg(1);
                pipe.exec(&mut connection(server)).expect("commits");
            }
            Home::Embedded(_) => {
                let text = wire::to_json(&result.to_fields());
                let insert = "INSERT INTO results (chunk, result, at_ms) VALUES (?, ?, 0)";
                let file = self.file();
                file.execute(insert, (chunk.index, text)).expect("a row");
                file.execute("UPDATE sweep SET committed = committed + 1", []).expect("counts");
            }
            Home::RabbitMq(server) => {
                let body = wire::to_json(&result.to_fields());
                let key = &server.queues().results;
                server.publish("ttg.results.exchange", key, body.as_bytes()).await;
            }
            Home::Model(model) => model.commit_raw(result),
        }
    }

    /// Everything that there is, combined.
    pub(crate) async fn report(&self) -> Report {
        let (_keep, stop) = watch::channel(false);
        let onlooker = self.onlooker().await;
        let report =
            aggregator::collect(&*onlooker, None, Until::Read, &stop).await.expect("reads");
        self.end(&*onlooker).await;
        report
    }

    /// Every chunk once, right to the last bit, and nothing removed.
    pub(crate) async fn assert_exact(&self, sweep: &Sweep) {
        let report = self.report().await;
        assert!(report.complete, "{report:?}");
        assert_eq!(
            (report.chunks, report.duplicates_removed, report.unreadable),
            (sweep.chunks(), 0, 0)
        );
        assert_eq!(report.result, Some(whole(sweep)));
    }

    pub(crate) fn options(&self, name: &str) -> Options {
        Options {
            name: name.to_owned(),
            idle_timeout: PATIENCE,
            lease: self.settings.lease,
            takeover_interval: self.settings.takeover_interval,
            stop_grace: Duration::from_secs(1),
            batch: Batch::new(Duration::from_millis(20), 64),
            fault_rate: 0.0,
            identity: Identity::built_in("reference"),
            same_kernel: false,
            so_far: Rc::default(),
            seed: 7,
        }
    }
}

fn connection(server: &RedisServer) -> redis::Connection {
    let client = redis::Client::open(server.url()).expect("a URL");
    client.get_connection().expect("connects")
}

/// Bytes in the quotes of JSON, which they need not deserve.
fn quoted(bytes: &[u8]) -> String {
    serde_json::to_string(&String::from_utf8_lossy(bytes)).expect("text")
}

pub(crate) fn stats(chunk: &Chunk) -> Stats {
    let mut collector = Collector::default();
    (chunk.start..chunk.end).for_each(|param| collector.add(value(param)));
    collector.stats().expect("a chunk has parameters")
}

/// What a sweep must come to.
pub(crate) fn whole(sweep: &Sweep) -> Stats {
    let mut collector = Collector::default();
    (0..sweep.chunks()).for_each(|index| collector.merge(&stats(&sweep.chunk(index))));
    collector.stats().expect("a sweep has chunks")
}

fn result(chunk: &Chunk, worker: &str) -> TaskResult {
    TaskResult {
        chunk_index: chunk.index,
        worker_id: worker.to_owned(),
        duration_seconds: 0.25,
        completed_at: wire::now(),
        stats: stats(chunk),
    }
}

pub(crate) fn computed(delivery: &Delivery, worker: &str) -> (Token, TaskResult) {
    (delivery.token.clone(), result(&delivery.task.chunk, worker))
}

pub(crate) async fn commit(queue: &dyn Broker, delivery: &Delivery, worker: &str) -> Commit {
    let outcomes = queue.commit(&[computed(delivery, worker)]).await.expect("commits");
    assert_eq!(outcomes.len(), 1);
    outcomes[0]
}

/// The one delivery that must come.
pub(crate) async fn claim_one(queue: &dyn Queue) -> Delivery {
    let mut claimed = queue.claim(1, PATIENCE).await.expect("claims");
    assert_eq!(claimed.len(), 1, "there is a delivery");
    claimed.remove(0)
}

/// Nothing is there to be claimed.
pub(crate) async fn assert_nothing_to_claim(queue: &dyn Queue) {
    assert_eq!(queue.claim(10, Duration::from_millis(60)).await.expect("claims"), []);
}
