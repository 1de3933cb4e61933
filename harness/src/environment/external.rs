//! A broker that is there already, named by the same variables of the harness's own environment as
//! `ttg` reads: `BROKER_URL`, or the wire contract's. It must be empty, so that nobody's sweep is
//! touched, and is left empty.

use std::net::SocketAddr;

use tokio::net::lookup_host;
use ttg_system::cli;
use ttg_system::queue::{self, Address, Guest, Settings, Tls};

use super::Unavailable;
use crate::plan::Backend;

/// Somebody else's broker.
pub struct External {
    address: Address,
    at: SocketAddr,
    /// What was there before.
    guest: Guest,
}

impl External {
    /// Finds the one that the environment names, and makes sure that it holds no sweep, and nothing
    /// else of somebody's. Until that is known, nothing is written there.
    ///
    /// # Errors
    /// Where it does not answer, or holds something.
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
        let (settings, said) = (Settings::new(address.clone()), |error: queue::QueueError| {
            Unavailable(error.to_string())
        });
        let guest = Guest::look(&settings).await.map_err(said)?;
        // A journal tells nothing by being there: it has to be read.
        let has_journal = guest.data().is_none() && guest.is_known();
        let sweep = match guest.data().is_some() || has_journal {
            true => {
                queue::connect(&settings, None).await.map_err(said)?.sweep().await.map_err(said)?
            }
            false => None,
        };
        let sweep = sweep.map(|sweep| sweep.to_string());
        match sweep.or_else(|| guest.data().map(str::to_owned)) {
            None => Ok(Self { address, at, guest }),
            Some(there) => {
                guest.leave(&settings).await.map_err(said)?;
                Err(Unavailable(format!(
                    "{address} holds {there}, which is not ours to touch (finish or discard it, or \
                     name another broker)"
                )))
            }
        }
    }

    /// Leaves it as it was found, once the sweep of the run is discarded.
    ///
    /// # Errors
    /// Where it does not answer any more.
    pub async fn leave(&self) -> queue::Result<()> {
        self.guest.leave(&Settings::new(self.address())).await
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
