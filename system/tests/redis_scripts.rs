//! Scripts on Redis are carried out whole or not at all: nothing is undone there, so each is made to
//! fail at each of its commands, by rights that are missing, keys of another type, counters that are
//! no numbers, memory that is full and streams that are at their end; and then nothing has changed.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use rstest::rstest;
use ttg_system::chunk::Sweep;
use ttg_system::kernel::Identity;
use ttg_system::queue::{self, Asker, Broker, Decision, Delivery, KernelCheck, Settings, Token};

use support::bench::computed;
use support::redis_server::RedisServer;

const SWEEP: Sweep = Sweep { start: 0, params: 80, chunk_size: 10 };

/// What calls one script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Join,
    Open,
    Submit,
    Commit,
    Retry,
    Bury,
    Renew,
    Release,
    Leave,
    Survey,
    /// A survey after the server's clock was set back.
    SetBack,
    TakeOver,
    Replay,
    Kernel,
}
use Action::*;

impl Action {
    fn script(self) -> &'static str {
        match self {
            Join => include_str!("../src/queue/redis/lua/join.lua"),
            Open => include_str!("../src/queue/redis/lua/open.lua"),
            Submit => include_str!("../src/queue/redis/lua/submit.lua"),
            Commit => concat!(
                include_str!("../src/queue/redis/lua/settle.lua"),
                include_str!("../src/queue/redis/lua/commit.lua"),
                include_str!("../src/queue/redis/lua/commit_all.lua"),
            ),
            Retry | Bury => include_str!("../src/queue/redis/lua/fail.lua"),
            Renew => include_str!("../src/queue/redis/lua/renew.lua"),
            Release => include_str!("../src/queue/redis/lua/release.lua"),
            Leave => include_str!("../src/queue/redis/lua/leave.lua"),
            Survey | SetBack => include_str!("../src/queue/redis/lua/survey.lua"),
            TakeOver => include_str!("../src/queue/redis/lua/take_over.lua"),
            Replay => include_str!("../src/queue/redis/lua/replay.lua"),
            Kernel => include_str!("../src/queue/redis/lua/kernel.lua"),
        }
    }

    /// The commands of its script, as rights name them.
    fn commands(self) -> BTreeSet<String> {
        let mut script = self.script().to_owned();
        if script.contains("no_counter(") {
            script.push_str("call('HGET', call('HINCRBY',");
        }
        let quoted = |text: &str| text.split('\'').nth(1).unwrap_or_default().to_lowercase();
        let starts = ["call(", "refused("].map(|call| script.match_indices(call));
        let found = starts.into_iter().flatten().map(|(at, _)| {
            let line = script[at..].split(')').next().unwrap_or_default();
            let mut words = line.split('\'').skip(1).step_by(2).map(str::to_lowercase);
            let named =
                words.find(|word| word.chars().all(|c| c.is_ascii_alphabetic() || c == '_'));
            match (named, words.next()) {
                (Some(group), Some(sub)) if group == "xgroup" => format!("{group}|{sub}"),
                (named, _) => named.unwrap_or_else(|| quoted(line)),
            }
        });
        // What a refusal says is no command.
        let is_command = |word: &String| !word.is_empty() && !["nogroup"].contains(&word.as_str());
        found.filter(is_command).collect()
    }
}

/// A server with something to do.
struct Stage {
    server: RedisServer,
    settings: Settings,
}

struct Scene {
    worker: Rc<dyn Broker>,
    other: Rc<dyn Broker>,
    deliveries: Vec<Delivery>,
}

impl Stage {
    fn start() -> Self {
        let server = RedisServer::start();
        let settings = Settings {
            lease: Duration::from_secs(60),
            takeover_interval: Duration::from_nanos(1),
            retry_delay: Duration::ZERO,
            max_retries: 1,
            patience: Duration::from_millis(100),
            ..Settings::new(server.address())
        };
        Self { server, settings }
    }

    async fn connect(&self, worker: Option<&str>) -> Rc<dyn Broker> {
        queue::connect(&self.settings, worker).await.expect("connects")
    }

    /// From the beginning: everything up to where the action comes.
    async fn set(&mut self, action: Action) -> Scene {
        self.server.command(&["FLUSHALL"]);
        self.settings.max_retries = u32::from(!matches!(action, Bury | Replay));
        let (worker, other) = (self.connect(Some("worker-1")).await, self.connect(None).await);
        let mut scene = Scene { worker, other, deliveries: Vec::new() };
        if action == Join {
            return scene;
        }
        if action == Open {
            self.server.command(&["XGROUP", "CREATE", "ttg:tasks", "ttg-workers", "0", "MKSTREAM"]);
            return scene;
        }
        scene.other.open(&SWEEP, None).await.expect("opens");
        scene.other.submit(&SWEEP, 0, 4).await.expect("submits");
        scene.deliveries = scene.worker.claim(2, Duration::from_secs(1)).await.expect("claims");
        assert_eq!(scene.deliveries.len(), 2);
        match action {
            Replay => {
                scene.worker.fail(&scene.deliveries[0], "a reason").await.expect("fails");
            }
            TakeOver => scene.worker.release(&scene.tokens()).await.expect("gives back"),
            // So that the commit looks whether it still is.
            Commit => {
                let own = Identity::built_in("reference");
                let written = scene.worker.compute_with(&own, KernelCheck::Record).await;
                written.expect("is written down");
            }
            _ => {}
        }
        if matches!(action, Survey | SetBack | TakeOver) {
            scene.other = self.connect(Some("worker-2")).await;
            // It joins, and has nothing of an earlier life.
            let none = scene.other.take_over(0, &[], Asker::Idle).await.expect("looks");
            assert_eq!(none, []);
        }
        if matches!(action, Survey | SetBack) {
            scene.worker.fail(&scene.deliveries[1], "a reason").await.expect("fails");
        }
        if action == SetBack {
            self.server.command(&["SET", "ttg:clock", "9000000000000"]);
        }
        scene
    }

    /// Every key with its value, as the server would move it elsewhere.
    fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let client = redis::Client::open(self.server.url()).expect("a URL");
        let mut connection = client.get_connection().expect("connects");
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).expect("keys");
        let dump = |key: String| {
            let value = redis::cmd("DUMP").arg(&key).query(&mut connection).expect("a value");
            (key, value)
        };
        keys.into_iter().map(dump).collect()
    }

    /// Whether the action fails, which must change nothing.
    async fn fails(&mut self, action: Action, spoil: impl AsyncFn(&RedisServer)) -> bool {
        let scene = self.set(action).await;
        spoil(&self.server).await;
        let before = self.dump();
        let outcome = scene.act(action).await;
        let after = self.dump();
        if let Err(error) = &outcome {
            let changed: Vec<&String> = before
                .keys()
                .chain(after.keys())
                .filter(|key| before.get(*key) != after.get(*key))
                .collect();
            assert!(changed.is_empty(), "{action:?} changed {changed:?} and failed: {error}");
        }
        outcome.is_err()
    }
}

impl Scene {
    fn tokens(&self) -> Vec<Token> {
        self.deliveries.iter().map(|delivery| delivery.token.clone()).collect()
    }

    async fn act(&self, action: Action) -> queue::Result<()> {
        match action {
            Join => self.worker.take_over(1, &[], Asker::Idle).await.map(drop),
            Open => self.other.open(&SWEEP, None).await.map(drop),
            Submit => self.other.submit(&SWEEP, 4, 8).await.map(drop),
            Commit => {
                let done: Vec<_> =
                    self.deliveries.iter().map(|it| computed(it, "worker-1")).collect();
                self.worker.commit(&done).await.map(drop)
            }
            Retry | Bury => self.worker.fail(&self.deliveries[0], "a reason").await.map(drop),
            Renew => self.worker.renew(&self.tokens()).await.map(drop),
            Release => self.worker.release(&self.tokens()).await,
            Leave => self.worker.leave().await,
            Survey | SetBack | TakeOver => {
                self.other.take_over(2, &[], Asker::Idle).await.map(drop)
            }
            Replay => self.other.sift(&mut |_| Decision::Replay).await.map(drop),
            Kernel => {
                self.worker.compute_with(&Identity::built_in("one"), KernelCheck::Record).await
            }
        }
    }
}

#[rstest]
#[case::join(Join, &[])]
#[case::open(Open, &[])]
#[case::submit(Submit, &[])]
// Where nothing may be renamed the script adds all results itself; only of a task that is with nobody is
// looked whether it is there; the stream is not at its end, and nothing is trimmed.
#[case::commit(Commit, &["renamenx", "xdel", "xinfo", "xrange", "xtrim"])]
#[case::retry(Retry, &["hget", "hincrby", "setbit", "xadd"])]
#[case::bury(Bury, &["time", "zadd"])]
#[case::renew(Renew, &[])]
#[case::release(Release, &[])]
#[case::leave(Leave, &[])]
#[case::survey(Survey, &["set", "xclaim", "zincrby", "zrange"])]
#[case::set_back(SetBack, &["set"])]
#[case::take_over(TakeOver, &[])]
#[case::replay(Replay, &[])]
#[case::kernel(Kernel, &[])]
#[tokio::test]
async fn a_right_that_is_missing_changes_nothing(#[case] action: Action, #[case] unused: &[&str]) {
    let mut stage = Stage::start();
    assert!(!stage.fails(action, async |_| {}).await, "it can be done");
    let commands = action.commands();
    assert!(commands.len() >= 2, "{commands:?}");
    let mut spared = Vec::new();
    for command in &commands {
        let deny = async |server: &RedisServer| {
            server.command(&["ACL", "SETUSER", "default", &format!("-{command}")]);
        };
        if !stage.fails(action, deny).await {
            spared.push(command.as_str());
        }
        stage.server.command(&["ACL", "SETUSER", "default", "+@all"]);
    }
    assert_eq!(spared, unused, "of {commands:?}");
}

const KEYS: [&str; 12] = [
    "ttg:tasks",
    "ttg:results",
    "ttg:metadata",
    "ttg:tasks:dlq",
    "ttg:tasks:retry",
    "ttg:committed",
    "ttg:dead",
    "ttg:releases",
    "ttg:progress",
    "ttg:members",
    "ttg:store",
    "ttg:kernels",
];

#[rstest]
#[tokio::test]
async fn a_key_of_another_type_changes_nothing(
    #[values(
        Join, Open, Submit, Commit, Retry, Bury, Renew, Release, Leave, Survey, TakeOver, Replay,
        Kernel
    )]
    action: Action,
) {
    let mut stage = Stage::start();
    let mut failures = 0;
    // What is not its script's is looked at once it has done its work.
    let keys = KEYS.into_iter().filter(|key| match action {
        Join => ["ttg:tasks", "ttg:members", "ttg:store"].contains(key),
        TakeOver => ["ttg:tasks", "ttg:members", "ttg:releases", "ttg:progress"].contains(key),
        _ => true,
    });
    for key in keys {
        let spoil = async |server: &RedisServer| {
            server.command(&["DEL", key]);
            match key {
                "ttg:committed" | "ttg:dead" | "ttg:store" => server.command(&["RPUSH", key, "x"]),
                _ => server.command(&["SET", key, "x"]),
            }
        };
        failures += usize::from(stage.fails(action, spoil).await);
    }
    assert!(failures > 0, "some key matters to it");
}

#[rstest]
#[case::committed(Commit, "committed")]
#[case::dead(Bury, "dead")]
#[case::undead(Replay, "dead")]
#[case::redelivered(TakeOver, "redelivered")]
#[tokio::test]
async fn a_counter_that_is_no_number_changes_nothing(#[case] action: Action, #[case] field: &str) {
    let mut stage = Stage::start();
    let spoil = async |server: &RedisServer| {
        server.command(&["HSET", "ttg:progress", field, "many"]);
    };
    assert!(stage.fails(action, spoil).await);
}

#[rstest]
#[case::commit(Commit, "ttg:results")]
#[case::bury(Bury, "ttg:tasks:dlq")]
#[case::submit(Submit, "ttg:tasks")]
#[case::survey(Survey, "ttg:tasks")]
#[case::replay(Replay, "ttg:tasks")]
#[tokio::test]
async fn a_stream_at_its_end_changes_nothing(#[case] action: Action, #[case] stream: &str) {
    let last = "18446744073709551615-18446744073709551615";
    let mut stage = Stage::start();
    let spoil = async |server: &RedisServer| server.command(&["XADD", stream, last, "a", "b"]);
    assert!(stage.fails(action, spoil).await);
}

#[rstest]
#[tokio::test]
async fn memory_that_is_full_changes_nothing(
    #[values(Open, Submit, Commit, Retry, Bury, TakeOver, Replay, Kernel)] action: Action,
) {
    let mut stage = Stage::start();
    let spoil = async |server: &RedisServer| server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(stage.fails(action, spoil).await);
    stage.server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(!stage.fails(action, async |_| {}).await, "and it goes on");
}
