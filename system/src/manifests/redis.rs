//! Redis: every write goes to a log, and nothing is thrown away for want of memory.

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::{Deserialize, Serialize};

use super::broker::BrokerSpec;
use super::pod::{self, BROKER, Resources, mount, probe};
use super::storage::DATA;

pub(super) const PORT: i32 = 6379;
pub(super) const VOLUME: &str = "1Gi";

const RESOURCES: Resources = Resources { requests: ["100m", "128Mi"], limits: ["500m", "256Mi"] };

/// Exit code 0 only if the answer is PONG: while it reads its log, it answers LOADING.
const PONG: [&str; 3] = ["sh", "-c", r#"test "$(redis-cli ping)" = PONG"#];

/// When what Redis confirms is on the disk, and no longer only with the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// Before it is confirmed.
    Always,
    /// Within a second or two.
    EverySec,
    /// When the operating system sees fit.
    No,
}

impl Fsync {
    /// Its name in Redis's settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySec => "everysec",
            Self::No => "no",
        }
    }

    /// Arguments to a Redis that keeps what it confirms, wherever it is started: every write goes to a
    /// log, and to nothing else.
    pub fn arguments(self) -> [&'static str; 6] {
        ["--save", "", "--appendonly", "yes", "--appendfsync", self.word()]
    }
}

pub(super) fn pod(broker: &BrokerSpec, fsync: Fsync) -> PodSpec {
    let start = [
        "redis-server",
        "--bind",
        "*",
        // Of IPv6 too, where there is any.
        "-::*",
        // It has no password: who may reach it, the NetworkPolicy says.
        "--protected-mode",
        "no",
        "--dir",
        "/data",
    ];
    // Of 256 MiB: a rewrite of its log needs some, and so do the clients.
    let bounds = ["--maxmemory", "192mb", "--maxmemory-policy", "noeviction"];
    let command = [&start[..], &fsync.arguments(), &bounds].concat();
    let container = Container {
        name: "redis".to_owned(),
        image: Some(broker.image.clone()),
        // Not the image's own entry point, which begins as root in some.
        command: Some(command.into_iter().map(str::to_owned).collect()),
        ports: Some(vec![super::broker::port("redis", PORT)]),
        resources: Some(RESOURCES.build()),
        // Ten minutes for its log.
        startup_probe: Some(probe(&PONG, 1, 5, 600)),
        readiness_probe: Some(probe(&PONG, 2, 5, 3)),
        // An answer, whichever: what loads its data is alive.
        liveness_probe: Some(probe(&["redis-cli", "ping"], 10, 10, 6)),
        volume_mounts: Some(vec![mount(DATA, "/data")]),
        ..Default::default()
    };
    let spec = pod::hardened(BROKER, container, broker.pull_secret.as_deref());
    PodSpec { termination_grace_period_seconds: Some(30), ..spec }
}
