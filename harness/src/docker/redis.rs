//! Redis in a container.

use std::time::Duration;

use futures_util::future::BoxFuture;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};

use super::engine::Run;
use super::image::Images;
use super::network::Network;
use super::server::{Flavour, ServerContainer};
use crate::environment::Unavailable;
use crate::plan::Fsync;

const IMAGES: Images =
    Images { variable: "TTG_REDIS_IMAGE", official: "redis:7.2-alpine", ours: "ttg-redis:debian" };

/// How long it may take to answer one client.
const ANSWER: Duration = Duration::from_secs(2);

/// Starts Redis and waits until it answers: from `image`, or that of `TTG_REDIS_IMAGE`, or one that
/// is here. With `disk`, in bytes, its data is on a file system of that size.
///
/// # Errors
/// Where there is no image, or it does not start.
pub async fn start(
    run: &Run,
    network: &Network,
    image: Option<&str>,
    fsync: Fsync,
    disk: Option<u64>,
) -> Result<ServerContainer, Unavailable> {
    let image = IMAGES.choose(run.engine(), image).await;
    ServerContainer::start(run, network, image, disk, Box::new(Redis { fsync })).await
}

struct Redis {
    fsync: Fsync,
}

impl Flavour for Redis {
    fn host(&self) -> &'static str {
        "ttg-redis"
    }

    fn port(&self) -> u16 {
        6379
    }

    fn data(&self) -> &'static str {
        "/data"
    }

    fn configure(&self, request: ContainerRequest<GenericImage>) -> ContainerRequest<GenericImage> {
        request.with_cmd([
            "redis-server",
            "--bind",
            "0.0.0.0",
            // Reached only through the run's network and a port of the loopback.
            "--protected-mode",
            "no",
            "--dir",
            "/data",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            self.fsync.word(),
        ])
    }

    fn greet(&self, port: u16) -> BoxFuture<'static, Option<String>> {
        let asked = async move {
            let client = redis::Client::open(("127.0.0.1", port)).ok()?;
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            // It may listen before it has its data, and refuses then.
            redis::cmd("PING").query_async::<String>(&mut connection).await.ok()?;
            let info: String =
                redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
            let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
            Some(format!("redis {}", version.trim()))
        };
        Box::pin(async move { tokio::time::timeout(ANSWER, asked).await.ok()? })
    }
}
