//! Finds and removes what carries our labels, and nothing else.

use std::collections::HashMap;

use testcontainers::bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveVolumeOptions,
};

use super::container::remove;
use super::engine::{Engine, failed};
use crate::environment::Unavailable;
use crate::maker::{Maker, RUN};

/// What kind of thing it is, in the order in which they can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Running or not.
    Container,
    /// Once no container is on it.
    Network,
    /// Once no container has it.
    Volume,
}

impl Kind {
    /// In lower case.
    pub fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// Something that carries our labels.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Its name on the engine.
    pub name: String,
    /// Which run it belongs to.
    pub run: String,
    /// Who made it, if that can be read.
    pub maker: Option<Maker>,
    id: String,
}

impl Found {
    /// Whether it may be in use: only of a harness of this machine can be seen that it is not.
    pub fn in_use(&self) -> bool {
        self.maker.as_ref().is_none_or(|maker| !maker.is_dead())
    }
}

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// What belongs to one run.
    Run(String),
    /// What harnesses of this machine that are dead have left.
    DeadOwners,
}

impl Which {
    fn holds(&self, found: &Found) -> bool {
        match self {
            Self::Run(run) => found.run == *run,
            Self::DeadOwners => !found.in_use(),
        }
    }
}

/// Everything that carries our labels, in the order in which it can be removed.
///
/// # Errors
/// Where the engine does not say.
pub async fn list(engine: &Engine) -> Result<Vec<Found>, Unavailable> {
    let docker = engine.docker();
    let filters = Some(HashMap::from([("label".to_owned(), vec![RUN.to_owned()])]));
    let options =
        ListContainersOptions { all: true, filters: filters.clone(), ..Default::default() };
    let containers =
        docker.list_containers(Some(options)).await.map_err(failed("list its containers"))?;
    let options = ListNetworksOptions { filters: filters.clone() };
    let networks =
        docker.list_networks(Some(options)).await.map_err(failed("list its networks"))?;
    let options = ListVolumesOptions { filters };
    let volumes = docker.list_volumes(Some(options)).await.map_err(failed("list its volumes"))?;
    let containers = containers.into_iter().filter_map(|it| {
        let id = it.id?;
        let name =
            it.names.and_then(|names| Some(names.first()?.trim_start_matches('/').to_owned()));
        found(Kind::Container, name.unwrap_or_else(|| id.clone()), id, &it.labels?)
    });
    let networks =
        networks.into_iter().filter_map(|it| found(Kind::Network, it.name?, it.id?, &it.labels?));
    let volumes = volumes
        .volumes
        .unwrap_or_default()
        .into_iter()
        .filter_map(|it| found(Kind::Volume, it.name.clone(), it.name, &it.labels));
    let mut all: Vec<Found> = containers.chain(networks).chain(volumes).collect();
    all.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(all)
}

/// Removes what is wanted of that, and returns it.
///
/// # Errors
/// Where something is left; the rest is removed all the same.
pub async fn sweep(engine: &Engine, which: &Which) -> Result<Vec<Found>, Unavailable> {
    let mut removed = Vec::new();
    let mut problem = Ok(());
    for found in list(engine).await?.into_iter().filter(|it| which.holds(it)) {
        match remove_one(engine, &found).await {
            Ok(()) => removed.push(found),
            Err(error) => problem = problem.and(Err(error)),
        }
    }
    problem.map(|()| removed)
}

/// The engine's own filter is for speed: a label that it shows is what counts.
fn found(kind: Kind, name: String, id: String, labels: &HashMap<String, String>) -> Option<Found> {
    let run = labels.get(RUN)?.clone();
    let labels = labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Some(Found { kind, name, run, maker: Maker::of(&labels), id })
}

async fn remove_one(engine: &Engine, found: &Found) -> Result<(), Unavailable> {
    let removed = match found.kind {
        Kind::Container => remove(engine, &found.id).await,
        Kind::Network => {
            let removed = engine.docker().remove_network(&found.id).await;
            removed.map_err(failed("remove a network"))
        }
        Kind::Volume => {
            let options = RemoveVolumeOptions { force: false };
            let removed = engine.docker().remove_volume(&found.id, Some(options)).await;
            removed.map_err(failed("remove a volume"))
        }
    };
    match removed {
        // Somebody else was quicker.
        Err(Unavailable(why)) if why.contains("404") => Ok(()),
        other => other,
    }
}
