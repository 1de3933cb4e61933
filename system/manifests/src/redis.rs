//! Redis: every write goes to a log, and nothing is thrown away for want of memory.

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use ttg_contract::fsync::Fsync;
use ttg_contract::redis_memory;

use super::pod::{self, BROKER, BrokerImage, Resources, mount, probe};
use super::storage::DATA;

pub(super) const PORT: i32 = 6379;

/// Processors that it asks for and may have.
const PROCESSORS: [&str; 2] = ["100m", "500m"];

/// What it may use for data, at least, in MiB; a sweep of 600,000 chunks fits.
const MEMORY_MIB: u64 = 192;

/// Its volume, at least, in GiB.
const VOLUME_GIB: u64 = 1;

/// Deliveries that are with workers at once, at most.
const PENDING: u64 = 100_000;

/// Bytes of its log for a chunk: each command as it was sent (908 were measured), and a rewrite of it beside the
/// old one.
const LOG: u64 = 2_500;

/// What a Redis needs for a sweep of so many chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// For data.
    memory_mib: u64,
    /// On its disk.
    volume_gib: u64,
}

impl Size {
    pub(super) fn of(chunks: u64) -> Self {
        let pending = PENDING.min(chunks);
        // A quarter more than was measured, and what it has without data.
        let bytes = redis_memory::whole(chunks, pending) / 4 * 5;
        Self {
            memory_mib: bytes.div_ceil(1 << 20).max(MEMORY_MIB),
            volume_gib: chunks.saturating_mul(LOG).div_ceil(1 << 30).max(VOLUME_GIB),
        }
    }

    /// Of its volume.
    pub(super) fn volume(self) -> String {
        format!("{}Gi", self.volume_gib)
    }

    fn maxmemory(self) -> String {
        format!("{}mb", self.memory_mib)
    }

    /// A rewrite of its log needs some, and so do the clients.
    fn resources(self) -> ResourceRequirements {
        let Self { memory_mib, .. } = self;
        let [asked, most] = PROCESSORS;
        // It asks for what it may need, where that is much: who is promised less is ended first.
        let asks = if memory_mib > MEMORY_MIB { memory_mib } else { 128 };
        let (asks, may) = (format!("{asks}Mi"), format!("{}Mi", memory_mib / 3 * 4));
        Resources { requests: [asked, &asks], limits: [most, &may] }.build()
    }
}

/// Exit code 0 only if the answer is PONG: while it reads its log, it answers LOADING.
const PONG: [&str; 3] = ["sh", "-c", r#"test "$(redis-cli ping)" = PONG"#];

pub(super) fn pod(broker: BrokerImage<'_>, chunks: u64, fsync: Fsync) -> PodSpec {
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
    let size = Size::of(chunks);
    let maxmemory = size.maxmemory();
    let bounds = ["--maxmemory", &maxmemory, "--maxmemory-policy", "noeviction"];
    let command = [&start[..], &fsync.arguments(), &bounds].concat();
    let container = Container {
        name: "redis".to_owned(),
        image: Some(broker.image.to_owned()),
        // Not the image's own entry point, which begins as root in some.
        command: Some(command.into_iter().map(str::to_owned).collect()),
        ports: Some(vec![pod::port("redis", PORT)]),
        resources: Some(size.resources()),
        // Ten minutes for its log.
        startup_probe: Some(probe(&PONG, 1, 5, 600)),
        readiness_probe: Some(probe(&PONG, 2, 5, 3)),
        // An answer, whichever: what loads its data is alive.
        liveness_probe: Some(probe(&["redis-cli", "ping"], 10, 10, 6)),
        volume_mounts: Some(vec![mount(DATA, "/data")]),
        ..Default::default()
    };
    let spec = pod::hardened(BROKER, container, broker.pull_secret);
    PodSpec { termination_grace_period_seconds: Some(30), ..spec }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
    use std::collections::BTreeMap;

    #[test]
    fn a_large_sweep_gets_the_memory_and_the_disk_that_it_takes() {
        let small = Size::of(100);
        assert_eq!((small.maxmemory(), small.volume()), ("192mb".to_owned(), "1Gi".to_owned()));
        let memory = |size: Size| {
            let of = |some: Option<BTreeMap<String, Quantity>>| some.unwrap()["memory"].0.clone();
            let resources = size.resources();
            [of(resources.requests), of(resources.limits)]
        };
        assert_eq!(memory(small), ["128Mi", "256Mi"]);
        let large = Size::of(10_000_000);
        assert_eq!((large.maxmemory(), large.volume()), ("2769mb".to_owned(), "24Gi".to_owned()));
        assert_eq!(memory(large), ["2769Mi", "3692Mi"]);
    }
}
