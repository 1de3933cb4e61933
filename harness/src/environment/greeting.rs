//! Whether a broker serves a client, and what it calls itself: that a port is open says little.

use std::net::SocketAddr;
use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

/// How long it may take to answer one client.
const ANSWER: Duration = Duration::from_secs(5);

/// That of Redis, with its version, once it serves.
pub(crate) async fn redis(at: SocketAddr) -> Option<String> {
    let asked = async {
        let client = redis::Client::open((at.ip().to_string(), at.port())).ok()?;
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        // It may listen before it has its data, and refuses then.
        redis::cmd("PING").query_async::<String>(&mut connection).await.ok()?;
        let info: String =
            redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
        Some(format!("redis {}", version.trim()))
    };
    timeout(ANSWER, asked).await.ok()?
}

/// That of RabbitMQ, once it serves.
pub(crate) async fn rabbitmq(at: SocketAddr, user: &str, password: &str) -> Option<String> {
    let uri = AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: user.to_owned(), password: password.to_owned() },
            host: at.ip().to_string(),
            port: at.port(),
        },
        vhost: "/".to_owned(),
        query: AMQPQueryString::default(),
    };
    let asked = async {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect_uri(uri, properties).await.ok()?;
        // A connection may be had before there is anything to use it for.
        connection.create_channel().await.ok()?;
        let _ = connection.close(200, "ready".into()).await;
        Some("rabbitmq".to_owned())
    };
    timeout(ANSWER, asked).await.ok()?
}
