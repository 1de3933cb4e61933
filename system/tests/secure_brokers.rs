//! Brokers as people have them: with passwords, TLS, rights that are missing, behind Sentinels, in a
//! cluster. Each is a real server.

mod support;

use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;
use rustix::process::Signal;
use ttg_system::chunk::Sweep;
use ttg_system::queue::rabbitmq::{Secret, Server};
use ttg_system::queue::{self, Address, Settings, Tls, redis as ttg_redis};

use support::bench::PATIENCE;
use support::certificates::{Certificates, SERVER_NAME};
use support::process::{Ended, Process, ttg, until};
use support::rabbitmq_server::RabbitMqServer;
use support::redis_server::RedisServer;

const USER: &str = "somebody";
const PASSWORD: &str = "of:a/sw@ep";

#[derive(Debug, Clone, Copy)]
enum Kind {
    Redis,
    RabbitMq,
}
use Kind::{RabbitMq, Redis};

/// A server that takes only encrypted connections, of those who have a certificate and a password.
struct Encrypted {
    certificates: Certificates,
    kind: Kind,
    port: u16,
    _server: Box<dyn std::any::Any>,
}

impl Encrypted {
    fn start(kind: Kind) -> Self {
        let certificates = Certificates::make();
        let (port, server): (u16, Box<dyn std::any::Any>) = match kind {
            Redis => {
                let file = |name: &str| certificates.file(name).display().to_string();
                let server = RedisServer::start_with(|port| {
                    let (port, rights) = (port.to_string(), format!(">{PASSWORD}"));
                    let tls = [
                        "--port",
                        "0",
                        "--tls-port",
                        &port,
                        "--tls-cert-file",
                        &file("server.pem"),
                        "--tls-key-file",
                        &file("server.key"),
                        "--tls-ca-cert-file",
                        &file("ca.pem"),
                        "--tls-auth-clients",
                        "yes",
                        "--user",
                        USER,
                        "on",
                        &rights,
                        "~ttg:*",
                        "+@all",
                        "-@dangerous",
                        "+client|list",
                        "--user",
                        "default",
                        "off",
                    ];
                    tls.map(str::to_owned).to_vec()
                });
                (server.port, Box::new(server))
            }
            RabbitMq => {
                let directory = certificates.directory();
                let server = RabbitMqServer::start_encrypted(directory, USER, PASSWORD);
                (server.port, Box::new(server))
            }
        };
        Self { certificates, kind, port, _server: server }
    }

    fn url(&self) -> String {
        let scheme = match self.kind {
            Redis => "rediss",
            RabbitMq => "amqps",
        };
        let password = PASSWORD.replace('@', "%40").replace('/', "%2F");
        format!("{scheme}://{USER}:{password}@127.0.0.1:{}", self.port)
    }

    fn ttg(&self, arguments: &[&str]) -> Command {
        let mut command = ttg(arguments);
        command.envs(self.certificates.variables()).env("BROKER_URL", self.url());
        command.env("TOTAL_PARAMETERS", "200").env("CHUNK_SIZE", "10");
        command.env("BROKER_PATIENCE_SECONDS", "60");
        command
    }

    /// The same by what a program sets.
    fn address(&self) -> Address {
        let file = |name: &str| self.certificates.file(name);
        let tls = Some(Tls {
            ca: Some(file("ca.pem")),
            identity: Some((file("client.pem"), file("client.key"))),
            server_name: Some(SERVER_NAME.to_owned()),
        });
        let secret = Secret(PASSWORD.to_owned());
        match self.kind {
            Redis => Address::Redis(Box::new(ttg_redis::Server {
                username: Some(USER.to_owned()),
                password: Some(secret),
                tls,
                ..ttg_redis::Server::at("127.0.0.1", self.port)
            })),
            RabbitMq => Address::RabbitMq(Box::new(Server {
                user: USER.to_owned(),
                password: secret,
                tls,
                ..Server::at("127.0.0.1", self.port)
            })),
        }
    }
}

fn end(command: &mut Command) -> Ended {
    Process::start(command).end()
}

fn assert_no_secret(ended: &Ended) {
    assert!(!ended.stdout.contains(PASSWORD) && !ended.stderr.contains(PASSWORD), "{ended}");
}

/// The arguments of a process, as anybody can see them.
fn arguments(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[rstest]
#[tokio::test]
async fn a_sweep_over_tls_with_passwords_and_certificates(#[values(Redis, RabbitMq)] kind: Kind) {
    let broker = Encrypted::start(kind);
    let submitted = end(&mut broker.ttg(&["coordinator"]));
    assert_eq!(submitted.status.code(), Some(0), "{submitted}");
    let onlooker = queue::connect(&Settings::new(broker.address()), None).await.expect("connects");
    onlooker.held().await.expect("reads");
    let worker = |number: &str, work: &str| {
        let mut worker = broker.ttg(&["worker", "--log-level", "debug"]);
        Process::start(worker.env("WORKER_ID", number).env("SIMULATE_WORK_MS", work))
    };
    let slow = worker("1", "60000");
    // On RabbitMQ this is seen by the trace, which comes over an encrypted connection too.
    until("a worker has a chunk", async || {
        onlooker.held().await.expect("reads").iter().any(|held| held.worker == "worker-1")
    })
    .await;
    assert!(!arguments(slow.pid()).contains(PASSWORD));
    slow.signal(Signal::KILL);
    let ended = worker("2", "0").end();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 20, "{ended}");
    assert_no_secret(&ended);
    let report = end(&mut broker.ttg(&["aggregate"]));
    assert!(report.stdout.starts_with("Sweep results: complete\n"), "{report}");
}

#[rstest]
#[case::no_authority("BROKER_TLS_CA", "BROKER_TLS_CA says whom to trust")]
#[case::another_name("BROKER_TLS_SERVER_NAME", "BROKER_TLS_SERVER_NAME what the server is called")]
fn a_server_that_is_not_trusted_is_refused_at_once(
    #[values(Redis, RabbitMq)] kind: Kind,
    #[case] without: &str,
    #[case] said: &str,
) {
    let broker = Encrypted::start(kind);
    let mut coordinator = broker.ttg(&["coordinator"]);
    coordinator.env_remove(without).env("BROKER_PATIENCE_SECONDS", "600");
    let ended = end(&mut coordinator);
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains(said), "{ended}");
    assert_no_secret(&ended);
}

#[rstest]
#[case::redis(Redis, "REDIS_USERNAME and REDIS_PASSWORD, or BROKER_URL, say who connects")]
#[case::rabbitmq(RabbitMq, "RABBITMQ_USER and RABBITMQ_PASSWORD, or BROKER_URL, say who connects")]
fn a_wrong_password_is_refused_and_not_repeated(#[case] kind: Kind, #[case] said: &str) {
    let broker = Encrypted::start(kind);
    let mut coordinator = broker.ttg(&["coordinator"]);
    let url = broker.url().replace("of:", "wrong:");
    let ended = end(coordinator.env("BROKER_URL", url).env("BROKER_PATIENCE_SECONDS", "600"));
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains(said), "{ended}");
    assert!(!ended.stderr.contains("sw@ep"), "{ended}");
}

#[rstest]
#[case::redis(Redis)]
#[case::rabbitmq(RabbitMq)]
fn the_contracts_variables_and_a_mounted_password_do_the_same(#[case] kind: Kind) {
    let broker = Encrypted::start(kind);
    let file: PathBuf = broker.certificates.file("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("writes");
    let (name, prefix, user) = match kind {
        Redis => ("redis", "REDIS", "REDIS_USERNAME"),
        RabbitMq => ("rabbitmq", "RABBITMQ", "RABBITMQ_USER"),
    };
    let mut coordinator = broker.ttg(&["coordinator"]);
    coordinator
        .env_remove("BROKER_URL")
        .env("QUEUE_BACKEND", name)
        .env(format!("{prefix}_HOST"), "127.0.0.1")
        .env(format!("{prefix}_PORT"), broker.port.to_string())
        .env(user, USER)
        .env(format!("{prefix}_PASSWORD_FILE"), file);
    let ended = end(&mut coordinator);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
}

const SWEEP: Sweep = Sweep { start: 0, params: 200, chunk_size: 10 };

fn on(server: &RedisServer, arguments: &[&str]) -> Command {
    let mut command = ttg(arguments);
    command.env("BROKER_URL", server.url()).env("SIMULATE_WORK_MS", "0");
    command.env("TOTAL_PARAMETERS", SWEEP.params.to_string()).env("CHUNK_SIZE", "10");
    command
}

#[rstest]
#[case::no_list("-client|list")]
#[case::nothing_of_clients("-client")]
#[tokio::test]
async fn where_nobody_may_list_clients_leases_decide_and_it_is_said_once(#[case] right: &str) {
    let server = RedisServer::start();
    assert!(end(&mut on(&server, &["coordinator"])).status.success());
    let settings = Settings::new(server.address());
    let onlooker = queue::connect(&settings, None).await.expect("connects");
    server.command(&["ACL", "SETUSER", "default", right]);
    let start = |number: &str, work: &str| {
        let mut worker = on(&server, &["worker"]);
        worker.env("STALE_THRESHOLD_MS", "1000").env("SIMULATE_WORK_MS", work);
        Process::start(worker.env("WORKER_ID", number))
    };
    let killed = start("1", "60000");
    until("it has a chunk", async || !onlooker.held().await.expect("reads").is_empty()).await;
    let other = start("2", "10");
    killed.signal(Signal::KILL);
    let ended = other.end();
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 20, "{ended}");
    let times = ended.stderr.matches("forbids CLIENT LIST").count();
    // Without names there is nobody to look for in the list, and so nothing to be said.
    assert_eq!(times, usize::from(right == "-client|list"), "{ended}");
}

#[test]
fn a_cluster_is_refused_with_the_reason() {
    let server =
        RedisServer::start_with(|_| vec!["--cluster-enabled".to_owned(), "yes".to_owned()]);
    let ended = end(&mut on(&server, &["coordinator"]));
    assert_eq!(ended.status.code(), Some(1), "{ended}");
    assert!(ended.stderr.contains("Redis Cluster is not supported"), "{ended}");
}

#[tokio::test]
async fn sentinels_say_where_the_master_is() {
    let master = RedisServer::start();
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("sentinel.conf");
    let watch = format!("sentinel monitor mymaster 127.0.0.1 {} 1\n", master.port);
    std::fs::write(&config, watch).expect("writes");
    let sentinel = RedisServer::start_sentinel(&config);
    let url =
        |name: &str| format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/{name}", sentinel.port);
    let ttg_at =
        |url: String, arguments: &[&str]| end(on(&master, arguments).env("BROKER_URL", url));
    let submitted = ttg_at(url("mymaster"), &["coordinator"]);
    assert_eq!(submitted.status.code(), Some(0), "{submitted}");
    let worked = ttg_at(url("mymaster"), &["worker"]);
    assert_eq!(worked.summary()["chunks_processed"], 20, "{worked}");
    let settings = Settings::new(master.address());
    let onlooker = queue::connect(&settings, None).await.expect("connects");
    assert!(onlooker.standing().await.expect("reads").is_complete());
    let unknown = ttg_at(url("another"), &["coordinator"]);
    assert_eq!(unknown.status.code(), Some(69), "{unknown}");
    assert!(unknown.stderr.contains("it does not know the master another"), "{unknown}");
}

#[tokio::test]
async fn a_master_that_became_a_replica_is_left_for_the_new_one() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("sentinel.conf");
    let watch = format!("sentinel monitor mymaster 127.0.0.1 {} 1\n", first.port);
    std::fs::write(&config, watch).expect("writes");
    let sentinel = RedisServer::start_sentinel(&config);
    let mut settings = Settings::new(Address::Redis(Box::new(ttg_redis::Server {
        sentinels: Some(ttg_redis::Sentinels {
            addresses: vec![("127.0.0.1".to_owned(), sentinel.port)],
            master: "mymaster".to_owned(),
        }),
        ..ttg_redis::Server::at("127.0.0.1", sentinel.port)
    })));
    settings.patience = PATIENCE;
    let broker = queue::connect(&settings, None).await.expect("connects");
    broker.open(&SWEEP, None).await.expect("opens");
    second.command(&["REPLICAOF", "127.0.0.1", &first.port.to_string()]);
    until("the replica has the sweep", async || {
        second.ask(&["EXISTS", "ttg:metadata"]) == "1" || {
            let told = second.ask(&["INFO", "replication"]);
            told.contains("master_link_status:up")
        }
    })
    .await;
    // What a failover does, step by step.
    second.command(&["REPLICAOF", "NO", "ONE"]);
    first.command(&["REPLICAOF", "127.0.0.1", &second.port.to_string()]);
    sentinel.command(&["SENTINEL", "REMOVE", "mymaster"]);
    let port = second.port.to_string();
    sentinel.command(&["SENTINEL", "MONITOR", "mymaster", "127.0.0.1", &port, "1"]);
    let submitted = broker.submit(&SWEEP, 0, 20).await.expect("submits");
    assert_eq!(submitted, 20);
    let onlooker = queue::connect(&Settings::new(second.address()), None).await.expect("connects");
    assert_eq!(onlooker.standing().await.expect("reads").submitted, 20);
}
