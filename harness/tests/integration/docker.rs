//! Containers of the harness: what is done to them, and that none is left behind. They need Docker
//! and the images of `ci/images`.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use ttg_harness::docker::{
    Bind, Ended, Engine, Network, Run, ServerContainer, Which, WorkerContainer, WorkerSpec, list,
    start_rabbitmq, start_redis, sweep,
};
use ttg_harness::environment::{Server, Unavailable};
use ttg_harness::plan::Fsync;

use crate::support::{Sandbox, eventually, finish};

const MIB: u64 = 1 << 20;

/// A run of a test on the engine: what it made goes when it is over.
struct Stage {
    run: Run,
    network: Network,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let engine = Engine::connect().await.unwrap();
        let run = engine.run(&format!("{name}-{}", std::process::id()));
        let network = Network::create(&run).await.unwrap();
        Self { run, network }
    }

    async fn redis(&self, disk: Option<u64>) -> ServerContainer {
        start_redis(&self.run, &self.network, None, Fsync::Always, disk).await.unwrap()
    }

    fn which(&self) -> Which {
        Which::Run(self.run.id().to_owned())
    }

    async fn close(self) {
        sweep(self.run.engine(), &self.which()).await.unwrap();
        let left = list(self.run.engine()).await.unwrap();
        assert!(left.iter().all(|it| it.run != self.run.id()), "{left:?}");
    }
}

/// One command to a Redis server.
async fn ask(
    server: &ServerContainer,
    words: &[&str],
) -> Result<Option<String>, redis::RedisError> {
    let address = server.address();
    let client = redis::Client::open((address.ip().to_string(), address.port()))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await
}

/// A worker that waits for a broker.
fn worker(stage: &Stage, sandbox: &Sandbox, name: &str) -> WorkerSpec {
    let environment = [
        ("USE_QUEUE", "true"),
        ("QUEUE_BACKEND", "redis"),
        ("WORKER_ID", "1"),
        ("LOG_FORMAT", "json"),
    ];
    WorkerSpec {
        name: name.to_owned(),
        image: "ttg-worker:dev".to_owned(),
        command: vec!["worker".to_owned()],
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        network: Some(stage.network.name().to_owned()),
        user: None,
        memory: None,
        helper: None,
        binds: Vec::<Bind>::new(),
        stdout: sandbox.path().join(format!("{name}.out")),
        stderr: sandbox.path().join(format!("{name}.log")),
    }
}

fn docker(arguments: &[&str]) -> String {
    let said = finish(Command::new("docker").args(arguments).stdin(Stdio::null()));
    assert_eq!(said.code, Some(0), "docker {arguments:?}: {said}");
    said.stdout.trim().to_owned()
}

fn exists(container: &str) -> bool {
    finish(Command::new("docker").args(["inspect", container])).code == Some(0)
}

#[tokio::test]
async fn a_killed_redis_comes_back_on_its_port_with_its_data() {
    let stage = Stage::new("kill").await;
    let redis = stage.redis(None).await;
    let (address, pid) = (redis.address(), redis.pid().await.unwrap());
    ask(&redis, &["SET", "key", "kept"]).await.unwrap();

    let killed = redis.kill().await.unwrap();
    assert!(killed.ends_with("exited with code 137"), "{killed}");
    assert!(ask(&redis, &["PING"]).await.is_err());
    let started = redis.start_again().await.unwrap();

    let now = redis.pid().await.unwrap();
    assert!(started.ends_with(&format!("runs, now process {now}")), "{started}");
    assert!(now != pid && redis.address() == address);
    assert_eq!(ask(&redis, &["GET", "key"]).await.unwrap().as_deref(), Some("kept"));
    let stopped = redis.stop().await.unwrap();
    assert!(stopped.ends_with("exited with code 0"), "{stopped}");
    drop(redis);
    stage.close().await;
}

#[tokio::test]
async fn a_wiped_redis_is_empty() {
    let stage = Stage::new("wipe").await;
    let redis = stage.redis(None).await;
    ask(&redis, &["SET", "key", "lost"]).await.unwrap();
    let wiped = redis.wipe().await.unwrap();
    assert!(wiped.contains("its data were deleted"), "{wiped}");
    redis.start_again().await.unwrap();
    assert_eq!(ask(&redis, &["GET", "key"]).await.unwrap(), None);
    drop(redis);
    stage.close().await;
}

#[tokio::test]
async fn a_paused_redis_does_not_answer_until_it_is_resumed() {
    let stage = Stage::new("pause").await;
    let redis = stage.redis(None).await;
    let paused = redis.pause().await.unwrap();
    assert!(paused.ends_with("is paused"), "{paused}");
    assert!(ask(&redis, &["PING"]).await.is_err());
    let resumed = redis.resume().await.unwrap();
    assert!(resumed.ends_with("runs on"), "{resumed}");
    assert_eq!(ask(&redis, &["PING"]).await.unwrap().as_deref(), Some("PONG"));
    drop(redis);
    stage.close().await;
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_keeps_what_it_has_over_a_kill() {
    let stage = Stage::new("disk").await;
    let redis = stage.redis(Some(16 * MIB)).await;
    ask(&redis, &["SET", "key", "kept"]).await.unwrap();
    let filled = redis.fill_disk().await.unwrap();
    assert_eq!(filled, "0 KiB free at /data");
    let big = "x".repeat(64 * 1024);
    // With `appendfsync always` a server that cannot write gives up.
    assert!(ask(&redis, &["SET", "big", &big]).await.is_err());
    let freed = redis.free_disk().await.unwrap();
    assert!(freed.contains("it had ended for want of space (exit code 1)"), "{freed}");
    assert!(freed.contains("runs, now process"), "{freed}");
    assert_eq!(ask(&redis, &["GET", "key"]).await.unwrap().as_deref(), Some("kept"));
    drop(redis);
    stage.close().await;
}

#[tokio::test]
async fn without_a_disk_of_its_own_none_is_filled() {
    let stage = Stage::new("no-disk").await;
    let redis = stage.redis(None).await;
    let Unavailable(why) = redis.fill_disk().await.unwrap_err();
    assert_eq!(why, "the server was started without a disk of its own");
    drop(redis);
    stage.close().await;
}

#[tokio::test]
async fn rabbitmq_comes_back_after_a_kill_and_is_found_by_name() {
    let (stage, sandbox) = (Stage::new("rabbitmq").await, Sandbox::new());
    let rabbitmq = start_rabbitmq(&stage.run, &stage.network, None, None).await.unwrap();
    let mut spec = worker(&stage, &sandbox, "coordinator");
    spec.command = vec!["coordinator".to_owned()];
    spec.environment.retain(|(name, _)| name != "QUEUE_BACKEND");
    spec.environment.push(("QUEUE_BACKEND".to_owned(), "rabbitmq".to_owned()));
    let coordinator = WorkerContainer::start(&stage.run, &spec).await.unwrap();
    let ended = coordinator.wait().await.unwrap();
    let said = std::fs::read_to_string(&spec.stderr).unwrap();
    assert_eq!(ended, Ended { code: 0, out_of_memory: false }, "{said}");

    rabbitmq.kill().await.unwrap();
    rabbitmq.start_again().await.unwrap();
    // It finds the tasks that are there, and submits none again.
    let again = WorkerSpec { name: "again".to_owned(), ..spec };
    let coordinator = WorkerContainer::start(&stage.run, &again).await.unwrap();
    assert_eq!(coordinator.wait().await.unwrap().code, 0);
    let said = std::fs::read_to_string(&again.stdout).unwrap();
    assert!(said.contains("\"chunks_submitted\":0"), "{said}");
    drop((coordinator, rabbitmq));
    stage.close().await;
}

#[tokio::test]
async fn a_worker_may_do_little_and_dies_of_what_it_is_sent() {
    let (stage, sandbox) = (Stage::new("worker").await, Sandbox::new());
    let redis = stage.redis(None).await;
    let worker = WorkerContainer::start(&stage.run, &worker(&stage, &sandbox, "w1")).await.unwrap();
    let shown = docker(&[
        "inspect",
        "--format",
        "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} \
         {{.Config.Hostname}} {{.Config.User}} {{.State.Pid}}",
        worker.id(),
    ]);
    let wanted = format!("true [ALL] [no-new-privileges:true] w1 65532:65532 {}", worker.pid());
    assert_eq!(shown, wanted);
    assert!(worker.address().is_some() && stage.network.gateway().is_ipv4());
    let slow = worker.update_cpu(Some(0.1)).await.unwrap();
    assert!(slow.ends_with("has 10 ms of a processor in 100 ms"), "{slow}");
    worker.update_cpu(None).await.unwrap();
    worker.kill("SIGKILL").await.unwrap();
    assert_eq!(worker.wait().await.unwrap(), Ended { code: 137, out_of_memory: false });
    worker.remove().await.unwrap();
    drop(redis);
    stage.close().await;
}

#[tokio::test]
async fn the_kernel_ends_a_worker_whose_container_is_out_of_memory() {
    let (stage, sandbox) = (Stage::new("memory").await, Sandbox::new());
    let redis = stage.redis(None).await;
    let mut spec = worker(&stage, &sandbox, "w1");
    spec.memory = Some(64 * MIB);
    spec.helper = Some(Path::new(env!("CARGO_BIN_EXE_harness")).to_owned());
    let worker = WorkerContainer::start(&stage.run, &spec).await.unwrap();
    let seen = ttg_harness::docker::exhaust_memory(&worker).await.unwrap();
    assert!(seen.ends_with("was out of memory and exited with code 137"), "{seen}");
    drop((worker, redis));
    stage.close().await;
}

#[tokio::test]
async fn everything_carries_the_labels_and_a_strangers_container_survives() {
    let stage = Stage::new("labels").await;
    let redis = stage.redis(None).await;
    let stranger = format!("stranger-{}", std::process::id());
    docker(&["create", "--name", &stranger, "--label", "org.example=1", "ttg-worker:dev"]);

    let mine = |all: Vec<ttg_harness::docker::Found>| -> HashMap<&'static str, usize> {
        let mut kinds = HashMap::new();
        for found in all.iter().filter(|it| it.run == stage.run.id()) {
            assert!(found.in_use(), "{found:?}");
            *kinds.entry(found.kind.word()).or_default() += 1;
        }
        kinds
    };
    let log = "{{json .HostConfig.LogConfig.Config}}";
    let log = docker(&["inspect", "--format", log, redis.id()]);
    assert_eq!(log, r#"{"max-file":"2","max-size":"64m"}"#, "its output is bounded");
    let kinds = mine(list(stage.run.engine()).await.unwrap());
    assert_eq!(kinds, HashMap::from([("container", 2), ("network", 1), ("volume", 1)]));

    // It belongs to a harness that lives: this one.
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["cleanup", "--force"]);
    assert_eq!(said.code, Some(0), "{said}");
    let line = format!("in use    container   ttg-redis-{0} of {0}", stage.run.id());
    assert!(said.stdout.contains(&line), "{said}");
    assert!(exists(redis.id()) && exists(&stranger));
    drop(redis);
    stage.close().await;
    assert!(exists(&stranger));
    docker(&["rm", &stranger]);
}

/// Arguments that make something a harness's of this machine that has ended, but for this label.
async fn of_a_dead_harness(run: &str, but: Option<(&str, &str)>) -> Vec<String> {
    let mut owner = Command::new("true").spawn().unwrap();
    let pid = owner.id().to_string();
    owner.wait().unwrap();
    let mut labels = Engine::connect().await.unwrap().run(run).labels();
    let dead = [("io.ttg.harness.owner", pid.as_str()), ("io.ttg.harness.owner-started", "1")];
    for (name, value) in dead.into_iter().chain(but) {
        let former = labels.insert(name.to_owned(), value.to_owned());
        assert!(former.is_some(), "{name} is no label of ours");
    }
    let arguments = labels.into_iter().map(|(name, value)| format!("--label={name}={value}"));
    arguments.collect()
}

/// Runs that start at the same moment find the same to remove.
#[tokio::test]
async fn two_who_remove_the_same_at_once_are_both_content() {
    let (run, engine) = (format!("both-{}", std::process::id()), Engine::connect().await.unwrap());
    let labels = of_a_dead_harness(&run, None).await;
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    docker(&[&["volume", "create"][..], &labels, &[&run]].concat());
    let volume = format!("--volume={run}:/data");
    for number in 0..8 {
        let name = format!("{run}-{number}");
        let create = [&["create", "--name", &name, &volume][..], &labels, &["ttg-worker:dev"]];
        docker(&create.concat());
    }
    let both = Which::Run(run.clone());
    let (one, other) = tokio::join!(sweep(&engine, &both), sweep(&engine, &both));
    one.unwrap();
    other.unwrap();
    assert!(list(&engine).await.unwrap().iter().all(|found| found.run != run));
}

#[tokio::test]
async fn what_another_machines_harness_has_is_left_alone() {
    let (run, sandbox) = (format!("elsewhere-{}", std::process::id()), Sandbox::new());
    let host = ("io.ttg.harness.host", "elsewhere.0123.4026531836");
    let labels = of_a_dead_harness(&run, Some(host)).await;
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    docker(&[&["create", "--name", &run][..], &labels, &["ttg-worker:dev"]].concat());

    let said = sandbox.run(&["cleanup", "--force"]);
    assert_eq!(said.code, Some(0), "{said}");
    let words = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = format!("in use container {run} of {run}, of another machine (elsewhere), which");
    assert!(words.contains(&told), "{said}");
    assert!(exists(&run));
    // Nor does a run that begins here.
    let engine = Engine::connect().await.unwrap();
    sweep(&engine, &Which::DeadOwners).await.unwrap();
    assert!(exists(&run));
    docker(&["rm", &run]);
}

#[tokio::test]
async fn what_a_dead_harness_left_is_removed() {
    let (dead, sandbox) = (format!("dead-{}", std::process::id()), Sandbox::new());
    let labels = of_a_dead_harness(&dead, None).await;
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let made = |command: &[&str]| docker(&[command, &labels[..], &[&dead]].concat());
    made(&["volume", "create"]);
    made(&["network", "create"]);
    let mount = format!("{dead}:/data");
    let container =
        ["run", "--detach", "--network", &dead, "--volume", &mount, "--entrypoint", "tail"];
    let server = ["ttg-foreign:debian", "-f", "/dev/null"];
    let id = docker(&[&container[..], &labels[..], &server[..]].concat());

    let said = sandbox.run(&["cleanup", "--dry-run"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.contains(&format!("left over network     {dead} of {dead}")), "{said}");
    assert!(exists(&id));
    let said = sandbox.run(&["cleanup", "--force"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.contains(&format!("removed   volume      {dead} of {dead}")), "{said}");
    assert!(!exists(&id) && !exists(&dead));
    assert!(!docker(&["volume", "ls", "--quiet"]).contains(&dead));
}

#[test]
fn cleanup_wants_to_be_told_whether_to_remove() {
    let said = Sandbox::new().run(&["cleanup"]);
    assert_eq!(said.code, Some(64), "{said}");
    assert!(said.stderr.contains("--dry-run") && said.stderr.contains("--force"), "{said}");
}

#[test]
fn without_docker_cleanup_says_so_and_goes_on() {
    let sandbox = Sandbox::new();
    let host = format!("unix://{}/no.sock", sandbox.path().display());
    let said = finish(sandbox.harness(&["cleanup", "--dry-run"]).env("DOCKER_HOST", &host));
    assert_eq!(said.code, Some(0), "{said}");
    let words: Vec<&str> = said.stdout.split_whitespace().collect();
    let text = words.join(" ");
    assert!(text.contains("not here docker docker does not answer at unix://"), "{said}");
    assert!(text.contains("(start it, or use --environment process)"), "{said}");
    assert!(said.stdout.lines().all(|line| line.chars().count() <= 80 || !line.contains(' ')));
}

#[test]
fn a_process_of_a_dead_run_is_ended() {
    let sandbox = Sandbox::new();
    let mark = sandbox.path().join("gone");
    let mut left = Command::new("tail")
        .args(["-f", "/dev/null"])
        .env("TTG_HARNESS_RUN", &mark)
        .spawn()
        .unwrap();
    let said = sandbox.run(&["cleanup", "--force"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.contains(&format!("removed   process     {} of", left.id())), "{said}");
    eventually(|| match left.try_wait() {
        Ok(Some(_)) => Ok(()),
        other => Err(format!("it lives: {other:?}")),
    });
}
