//! A broker that is there already, named by the wire contract's variables in the harness's own
//! environment. It must be empty, so that nobody's sweep is touched, and is left empty.

use std::env;
use std::net::SocketAddr;

use tokio::net::lookup_host;
use ttg_system::queue::rabbitmq::{Secret, Server};
use ttg_system::queue::{self, Address, Settings};

use super::Unavailable;
use crate::plan::Backend;

/// Somebody else's broker.
pub struct External {
    address: Address,
    at: SocketAddr,
}

impl External {
    /// Finds the one that the environment names, and makes sure that it holds no sweep.
    ///
    /// # Errors
    /// Where it does not answer, or holds a sweep.
    pub(super) async fn find(backend: Backend) -> Result<Self, Unavailable> {
        let address = match backend {
            Backend::RabbitMq => rabbitmq()?,
            _ => Address::Redis {
                host: variable("REDIS_HOST", "127.0.0.1"),
                port: number("REDIS_PORT", 6379)?,
                db: number("REDIS_DB", 0)?,
            },
        };
        let (host, port) = match &address {
            Address::RabbitMq(server) => (server.host.clone(), server.port),
            Address::Redis { host, port, .. } => (host.clone(), *port),
            Address::Embedded(_) => unreachable!("a file is no external broker"),
        };
        let found = lookup_host((host.as_str(), port)).await.map(|mut found| found.next());
        let Ok(Some(at)) = found else {
            return Err(Unavailable(format!("{address}: the host {host:?} is not known here")));
        };
        let broker = queue::connect(&Settings::new(address.clone()), None)
            .await
            .map_err(|error| Unavailable(error.to_string()))?;
        match broker.sweep().await {
            Ok(None) => Ok(Self { address, at }),
            Ok(Some(sweep)) => Err(Unavailable(format!(
                "{address} holds {sweep}, which is not ours to touch (finish or discard it, or name \
                 another broker)"
            ))),
            Err(error) => Err(Unavailable(error.to_string())),
        }
    }

    pub(super) fn address(&self) -> Address {
        self.address.clone()
    }

    pub(super) fn listens(&self) -> SocketAddr {
        self.at
    }

    pub(super) fn backend(&self) -> Backend {
        match self.address {
            Address::RabbitMq(_) => Backend::RabbitMq,
            _ => Backend::Redis,
        }
    }

    /// What else a process must be told to reach it.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        match &self.address {
            Address::RabbitMq(server) => vec![
                ("RABBITMQ_USER", server.user.clone()),
                ("RABBITMQ_PASSWORD", server.password.0.clone()),
                ("RABBITMQ_VHOST", server.vhost.clone()),
            ],
            Address::Redis { db, .. } => vec![("REDIS_DB", db.to_string())],
            Address::Embedded(_) => Vec::new(),
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("{}, somebody else's", self.address)
    }
}

fn rabbitmq() -> Result<Address, Unavailable> {
    let mut server =
        Server::at(&variable("RABBITMQ_HOST", "127.0.0.1"), number("RABBITMQ_PORT", 5672)?);
    server.user = variable("RABBITMQ_USER", "guest");
    server.password = Secret(variable("RABBITMQ_PASSWORD", "guest"));
    server.vhost = variable("RABBITMQ_VHOST", "/");
    Ok(Address::RabbitMq(Box::new(server)))
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> Result<T, Unavailable> {
    let Ok(text) = env::var(name) else { return Ok(default) };
    text.parse().map_err(|_| Unavailable(format!("{name} is {text:?}, but must be a number")))
}
