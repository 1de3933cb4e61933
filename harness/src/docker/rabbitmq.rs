//! RabbitMQ in a container.

use std::time::Duration;

use futures_util::future::BoxFuture;
use lapin::{Connection, ConnectionProperties};
use testcontainers::{ContainerRequest, CopyDataSource, CopyTargetOptions, GenericImage, ImageExt};

use super::engine::Run;
use super::image::Images;
use super::network::Network;
use super::server::{Flavour, ServerContainer};
use crate::environment::Unavailable;

const IMAGES: Images = Images {
    variable: "TTG_RABBITMQ_IMAGE",
    official: "rabbitmq:3-management",
    ours: "ttg-rabbitmq:debian",
};

/// How long it may take to answer one client.
const ANSWER: Duration = Duration::from_secs(5);

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
        let asked = async move {
            let address = format!("amqp://127.0.0.1:{port}/%2f");
            let connection =
                Connection::connect(&address, ConnectionProperties::default()).await.ok()?;
            // A connection may be had before there is anything to use it for.
            connection.create_channel().await.ok()?;
            let _ = connection.close(200, "ready".into()).await;
            Some("rabbitmq".to_owned())
        };
        Box::pin(async move { tokio::time::timeout(ANSWER, asked).await.ok()? })
    }
}
