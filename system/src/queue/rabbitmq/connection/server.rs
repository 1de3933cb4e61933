//! Where a RabbitMQ server is, and who we are to it.

use std::fmt;
use std::time::Duration;

use crate::queue::rabbitmq::topology::Queues;
use crate::queue::{Secret, Tls};

/// A server, and the queues on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password of that user.
    pub password: Secret,
    /// Virtual host.
    pub vhost: String,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Tls>,
    /// Seconds between heartbeats; without, it follows from the lease.
    pub heartbeat: Option<u16>,
    /// How long a server is waited for that lacks memory or disk; without, as long as one that
    /// does not answer.
    pub blocked_timeout: Option<Duration>,
    /// Names and kind of the queues.
    pub queues: Queues,
}

impl Server {
    /// A server that knows only its first user, `guest`.
    pub fn at(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            user: "guest".to_owned(),
            password: Secret("guest".to_owned()),
            vhost: "/".to_owned(),
            tls: None,
            heartbeat: None,
            blocked_timeout: None,
            queues: Queues::default(),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls.is_some() { " over TLS" } else { "" };
        write!(f, "rabbitmq at {}:{}{tls}, vhost {}", self.host, self.port, self.vhost)
    }
}
