//! Where a Redis server is, and who we are to it.

use std::fmt;

use crate::queue::{Secret, Tls};

/// A server, or the Sentinels that know which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address; with Sentinels, of the first of them.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database number.
    pub db: i64,
    /// User; without, the server's default one.
    pub username: Option<String>,
    /// Password of that user.
    pub password: Option<Secret>,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Tls>,
    /// Who knows where the server is, if that changes.
    pub sentinels: Option<Sentinels>,
}

/// Processes that watch over servers, and say which of them is the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentinels {
    /// Where each of them is.
    pub addresses: Vec<(String, u16)>,
    /// What they call the master.
    pub master: String,
}

impl Server {
    /// A server without users, passwords and encryption.
    pub fn at(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            db: 0,
            username: None,
            password: None,
            tls: None,
            sentinels: None,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sentinels {
            None => write!(f, "redis at {}:{}", self.host, self.port)?,
            Some(Sentinels { addresses, master }) => {
                let all: Vec<String> =
                    addresses.iter().map(|(host, port)| format!("{host}:{port}")).collect();
                write!(f, "redis master {master} of the sentinels {}", all.join(", "))?;
            }
        }
        let tls = if self.tls.is_some() { " over TLS" } else { "" };
        write!(f, "{tls}, database {}", self.db)
    }
}
