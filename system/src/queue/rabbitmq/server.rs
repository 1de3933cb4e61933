//! Where a RabbitMQ server is, and who we are to it.

use std::fmt;

use super::Queues;

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
            queues: Queues::default(),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rabbitmq at {}:{}, vhost {}", self.host, self.port, self.vhost)
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
