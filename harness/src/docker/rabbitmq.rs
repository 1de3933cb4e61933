//! RabbitMQ in a container.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
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

/// What is left of its disk, in KiB: less than the 50 MB below which it takes nothing, and enough for
/// what it writes all the same. One that cannot write at all loses its queues.
const SPARE_KIB: u64 = 24 << 10;

/// How long it may take to notice that its disk is full: it looks every 10 s at the least.
const NOTICE: Duration = Duration::from_secs(15);

/// How often it is given something, to see whether it takes it.
const LOOK: Duration = Duration::from_millis(50);

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

    fn spare_kib(&self) -> u64 {
        SPARE_KIB
    }

    fn takes_nothing(&self, port: u16) -> BoxFuture<'static, Result<String, Unavailable>> {
        Box::pin(async move {
            match tokio::time::timeout(NOTICE, blocked(port)).await {
                Ok(Ok(())) => Ok(", and it takes nothing (connection.blocked)".to_owned()),
                Ok(Err(error)) => Err(Unavailable(format!("rabbitmq does not answer: {error}"))),
                Err(_) => {
                    Err(Unavailable(format!("rabbitmq still took messages after {NOTICE:?}")))
                }
            }
        })
    }

    fn greet(&self, port: u16) -> BoxFuture<'static, Option<String>> {
        Box::pin(greeting::rabbitmq(
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            "guest",
            "guest",
        ))
    }
}

/// Publishes what goes nowhere until the server says that it takes nothing: it tells only those who
/// try.
async fn blocked(port: u16) -> lapin::Result<()> {
    let address = format!("amqp://127.0.0.1:{port}/%2f");
    let connection = Connection::connect(&address, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    while !connection.status().blocked() {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        channel.basic_publish("".into(), "nowhere".into(), options, b"", properties).await?;
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
