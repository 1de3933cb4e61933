//! Redis in a container.

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future::BoxFuture;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};

use super::engine::Run;
use super::image::Images;
use super::network::Network;
use super::server::{Flavour, ServerContainer};
use crate::environment::{Unavailable, greeting};
use crate::plan::Fsync;

pub(crate) const IMAGES: Images =
    Images { variable: "TTG_REDIS_IMAGE", official: "redis:7.2-alpine", ours: "ttg-redis:debian" };

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
        // Reached only through the run's network and a port of the loopback.
        let start =
            ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data"];
        request.with_cmd([&start[..], &self.fsync.arguments()].concat())
    }

    fn greet(&self, port: u16) -> BoxFuture<'static, Option<String>> {
        Box::pin(greeting::redis(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }
}
