//! A broker that is there already, named by the same variables of the harness's own environment as
//! `ttg` reads: `BROKER_URL`, or the wire contract's. It must be empty, so that nobody's sweep is
//! touched, and is left empty.

use std::net::SocketAddr;

use tokio::net::lookup_host;
use ttg_system::cli;
use ttg_system::queue::{self, Address, Settings, Tls};

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
        let address = cli::address_of_environment(backend.name(), "127.0.0.1");
        let address = address.map_err(Unavailable)?;
        let (host, port) = match &address {
            Address::RabbitMq(server) => (server.host.clone(), server.port),
            Address::Redis(server) if server.sentinels.is_some() => {
                return Err(Unavailable(format!(
                    "{address}: a run needs one server that stays where it is, so name the master \
                     itself (rediss:// or redis://)"
                )));
            }
            Address::Redis(server) => (server.host.clone(), server.port),
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

    /// What a process must be told to reach it at this host and port.
    pub(super) fn variables(&self, host: String, port: u16) -> Vec<(&'static str, String)> {
        let mut address = self.address.clone();
        match &mut address {
            Address::RabbitMq(server) => {
                known_as(server.tls.as_mut(), &server.host);
                (server.host, server.port) = (host, port);
            }
            Address::Redis(server) => {
                known_as(server.tls.as_mut(), &server.host);
                (server.host, server.port) = (host, port);
            }
            Address::Embedded(_) => {}
        }
        address.environment()
    }

    pub(super) fn describe(&self) -> String {
        format!("{}, somebody else's", self.address)
    }
}

/// Its certificate stays that of its own host, whichever way it is reached.
fn known_as(tls: Option<&mut Tls>, host: &str) {
    if let Some(tls) = tls {
        tls.server_name.get_or_insert_with(|| host.to_owned());
    }
}
