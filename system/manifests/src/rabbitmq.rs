//! RabbitMQ: one node, whose data belongs to a name that never changes.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, PodSpec, Secret, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::pod::{
    self, BROKER, BrokerImage, Resources, mount, probe, scratch, secret_variable, variable,
};
use super::storage::DATA;

pub(super) const PORT: i32 = 5672;

/// Its volume, at least, in GiB; more for a sweep of more than 700,000 chunks.
const VOLUME_GIB: u64 = 2;

/// Bytes of its disk for a chunk: its task and its result, each in its queue and in the journal (1,300 were
/// measured, and what is settled goes late).
const CHUNK: u64 = 3_000;

/// The size of its volume for so many chunks. Its memory does not grow with them: it keeps them on the disk.
pub(super) fn volume(chunks: u64) -> String {
    format!("{}Gi", chunks.saturating_mul(CHUNK).div_ceil(1 << 30).max(VOLUME_GIB))
}

/// Key of the user's name in a Secret.
pub const USERNAME_KEY: &str = "username";

/// Key of the password in a Secret.
pub const PASSWORD_KEY: &str = "password";

const RESOURCES: Resources = Resources { requests: ["200m", "256Mi"], limits: ["1000m", "1Gi"] };

/// Where its settings are.
const SETTINGS: &str = "/etc/ttg";

/// Where its user's home is; not among the data, because nobody but the user may read the cookie
/// there, and a volume's files are its group's as well.
const HOME: &str = "/var/lib/ttg";

/// Its own ping; each time another Erlang is started, which takes a second or more.
const PING: [&str; 3] = ["rabbitmq-diagnostics", "--quiet", "ping"];

/// It has started whole.
const RUNS: [&str; 3] = ["rabbitmq-diagnostics", "--quiet", "check_running"];

/// It takes connections where it listens; of one that has not started yet, that is nowhere.
const SERVES: [&str; 3] = ["rabbitmq-diagnostics", "--quiet", "check_port_connectivity"];

/// Its user comes from other Pods. It takes no more messages from 640 of the 1024 MB that it may
/// have (a node's memory would be what it sees, where control groups are hidden from it), or where
/// less than 100 MB of its disk are free.
const CONFIGURATION: &str = "\
loopback_users = none
log.console = true
log.console.level = info
vm_memory_high_watermark.absolute = 640MB
disk_free_limit.absolute = 100MB
";

/// As before, and every message is traced, so that an onlooker knows who holds what.
const TRACED: &str = "[{rabbit, [{trace_vhosts, [<<\"/\">>]}]}].\n";

const NOT_TRACED: &str = "[].\n";

/// Where the user and password of the broker come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the Secret, with the keys `username` and `password`.
    pub secret: String,
    /// What it is to hold; none: somebody else has made it.
    pub content: Option<(String, String)>,
}

impl Credentials {
    pub(super) fn build(&self, metadata: ObjectMeta) -> Option<Secret> {
        let (user, password) = self.content.as_ref()?;
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = [(USERNAME_KEY, user), (PASSWORD_KEY, password)];
        Some(Secret {
            metadata: ObjectMeta { name: Some(self.secret.clone()), ..metadata },
            type_: Some("Opaque".to_owned()),
            data: Some(data.map(|(key, value)| (key.to_owned(), bytes(value))).into()),
            ..Default::default()
        })
    }
}

pub(super) fn config_map(metadata: ObjectMeta, trace: bool) -> ConfigMap {
    let advanced = if trace { TRACED } else { NOT_TRACED };
    ConfigMap {
        metadata,
        data: Some(BTreeMap::from([
            ("rabbitmq.conf".to_owned(), CONFIGURATION.to_owned()),
            ("advanced.config".to_owned(), advanced.to_owned()),
        ])),
        ..Default::default()
    }
}

pub(super) fn pod(broker: BrokerImage<'_>, name: &str, credentials: &Credentials) -> PodSpec {
    let environment = vec![
        secret_variable("RABBITMQ_DEFAULT_USER", &credentials.secret, USERNAME_KEY),
        secret_variable("RABBITMQ_DEFAULT_PASS", &credentials.secret, PASSWORD_KEY),
        // Its data is in a directory of this name, and no other node has to find it.
        variable("RABBITMQ_NODENAME", "rabbit@localhost"),
        variable("RABBITMQ_CONFIG_FILE", &format!("{SETTINGS}/rabbitmq.conf")),
        variable("RABBITMQ_ADVANCED_CONFIG_FILE", &format!("{SETTINGS}/advanced.config")),
        variable("RABBITMQ_LOGS", "-"),
        // So that the first process of the container is the server, and hears its signals.
        variable("RUNNING_UNDER_SYSTEMD", "true"),
        variable("HOME", HOME),
        // A dump of a crash is as large as its memory, and would fill the Pod's directories.
        variable("ERL_CRASH_DUMP_SECONDS", "0"),
    ];
    let container = Container {
        name: "rabbitmq".to_owned(),
        image: Some(broker.image.to_owned()),
        // Not the image's own entry point, which begins as root in some.
        command: Some(vec!["rabbitmq-server".to_owned()]),
        env: Some(environment),
        ports: Some(vec![pod::port("amqp", PORT)]),
        resources: Some(RESOURCES.build()),
        // Ten minutes for its queues.
        startup_probe: Some(probe(&RUNS, 3, 20, 200)),
        readiness_probe: Some(probe(&SERVES, 30, 20, 3)),
        liveness_probe: Some(probe(&PING, 60, 30, 3)),
        volume_mounts: Some(vec![
            mount(DATA, "/var/lib/rabbitmq"),
            mount("home", HOME),
            mount("logs", "/var/log/rabbitmq"),
            mount("settings", SETTINGS),
        ]),
        ..Default::default()
    };
    let mut spec = pod::hardened(BROKER, container, broker.pull_secret);
    let settings = ConfigMapVolumeSource { name: name.to_owned(), ..Default::default() };
    spec.volumes.get_or_insert_default().extend([
        scratch("home", "16Mi"),
        scratch("logs", "64Mi"),
        Volume { name: "settings".to_owned(), config_map: Some(settings), ..Default::default() },
    ]);
    // To close its queues properly; a killed one has to look through them when it comes back.
    PodSpec { termination_grace_period_seconds: Some(60), ..spec }
}
