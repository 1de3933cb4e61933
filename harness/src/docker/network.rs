//! The network of a run.

use std::net::IpAddr;

use testcontainers::bollard::models::NetworkCreateRequest;

use super::engine::{Run, failed};
use crate::environment::Unavailable;

/// A bridge between the containers of a run, on which they find each other by name.
#[derive(Debug, Clone)]
pub struct Network {
    name: String,
    gateway: IpAddr,
}

impl Network {
    /// Makes one. It goes with what else the run leaves (`sweep`), once its containers are gone.
    ///
    /// # Errors
    /// Where Docker cannot.
    pub async fn create(run: &Run) -> Result<Self, Unavailable> {
        let docker = run.engine().docker();
        let name = run.name("ttg");
        // Not by the library that starts the containers: its networks carry no labels.
        let request = NetworkCreateRequest {
            name: name.clone(),
            labels: Some(run.labels()),
            ..Default::default()
        };
        docker.create_network(request).await.map_err(failed("create a network"))?;
        let seen = docker
            .inspect_network(&name, None)
            .await
            .map_err(failed("show the network it created"))?;
        let gateways = seen.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let gateway = gateways.into_iter().find_map(|it| it.gateway?.parse().ok());
        let gateway = gateway
            .ok_or_else(|| Unavailable(format!("docker gave the network {name} no gateway")))?;
        Ok(Self { name, gateway })
    }

    /// Its name on the engine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of this machine on it: what listens there is reached from its containers.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }
}
