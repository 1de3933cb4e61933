//! RabbitMQ in a container.

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::future::BoxFuture;
use testcontainers::{ContainerRequest, CopyDataSource, CopyTargetOptions, GenericImage, ImageExt};

use super::engine::Run;
use super::image::Images;
use super::network::Network;
use super::server::{Flavour, ServerContainer};
use crate::environment::{Unavailable, greeting};

pub(crate) const IMAGES: Images = Images {
    variable: "TTG_RABBITMQ_IMAGE",
    official: "rabbitmq:3-management",
    ours: "ttg-rabbitmq:debian",
};

/// Who holds what can only be seen in the server's trace of every message; and its user comes from
/// other containers.
const CONFIGURATION: &str = "[{rabbit, [{trace_vhosts, [<<\"/\">>]}, {loopback_users, []}]}].\n";

/// Starts RabbitMQ and waits until it serves a client: from `image`, or that of
/// `TTG_RABBITMQ_IMAGE`, or one that is here. With `disk`, in bytes, its data is on a file system
/// of that size; with less than 50 MB free there, it takes no messages.
///
/// # Errors
/// Where there is no image, or it does not start.
pub async fn start(
    run: &Run,
    network: &Network,
    image: Option<&str>,
    disk: Option<u64>,
) -> Result<ServerContainer, Unavailable> {
    let image = IMAGES.choose(run.engine(), image).await;
    ServerContainer::start(run, network, image, disk, Box::new(RabbitMq)).await
}

struct RabbitMq;

impl Flavour for RabbitMq {
    fn host(&self) -> &'static str {
        "ttg-rabbitmq"
    }

    fn port(&self) -> u16 {
        5672
    }

    fn data(&self) -> &'static str {
        "/var/lib/rabbitmq"
    }

    fn configure(&self, request: ContainerRequest<GenericImage>) -> ContainerRequest<GenericImage> {
        let target = CopyTargetOptions::new("/etc/rabbitmq/advanced.config").with_mode(0o644);
        request.with_copy_to(target, CopyDataSource::Data(CONFIGURATION.into()))
    }

    fn greet(&self, port: u16) -> BoxFuture<'static, Option<String>> {
        Box::pin(greeting::rabbitmq(
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            "guest",
            "guest",
        ))
    }
}
