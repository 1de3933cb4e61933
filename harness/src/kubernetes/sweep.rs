//! Finds and removes what carries our labels, and nothing else.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Node, PersistentVolumeClaim, Pod, Secret, Service,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{Api, DeleteParams, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::cluster::Cluster;
use super::nodes;
use crate::environment::Unavailable;
use crate::maker::{Maker, RUN};

/// Something that carries our labels.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it is, in lower case.
    pub kind: &'static str,
    /// Its name on the cluster.
    pub name: String,
    /// Which run it belongs to.
    pub run: String,
    /// Who made it, if that can be read.
    pub maker: Option<Maker>,
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

/// Where to look, besides at the nodes, which are in no namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where<'a> {
    /// For namespaces of ours.
    Everywhere,
    /// For objects of ours in this namespace.
    In(&'a str),
}

impl<'a> Where<'a> {
    /// In this namespace, if one is given.
    pub fn of(namespace: Option<&'a str>) -> Self {
        namespace.map_or(Self::Everywhere, Self::In)
    }
}

/// Everything that carries our labels.
///
/// # Errors
/// Where the cluster does not say.
pub async fn list(cluster: &Cluster, place: Where<'_>) -> Result<Vec<Found>, Unavailable> {
    let mut found = nodes_of_ours(cluster).await;
    found.extend(objects(cluster, place).await?);
    Ok(found)
}

/// Nodes that we have cordoned. Who may not see them has not cordoned any.
async fn nodes_of_ours(cluster: &Cluster) -> Vec<Found> {
    list_all::<Node>(cluster, "node").await.unwrap_or_default()
}

/// What is there besides nodes.
async fn objects(cluster: &Cluster, place: Where<'_>) -> Result<Vec<Found>, Unavailable> {
    let Where::In(namespace) = place else {
        return list_all::<Namespace>(cluster, "namespace").await;
    };
    let mut found = Vec::new();
    found.extend(list_in::<StatefulSet>(cluster, namespace, "statefulset").await?);
    found.extend(list_in::<Job>(cluster, namespace, "job").await?);
    found.extend(list_in::<Pod>(cluster, namespace, "pod").await?);
    found.extend(list_in::<Service>(cluster, namespace, "service").await?);
    found.extend(list_in::<NetworkPolicy>(cluster, namespace, "networkpolicy").await?);
    found.extend(list_in::<ConfigMap>(cluster, namespace, "configmap").await?);
    found.extend(list_in::<Secret>(cluster, namespace, "secret").await?);
    found.extend(list_in::<PersistentVolumeClaim>(cluster, namespace, "volumeclaim").await?);
    Ok(found)
}

/// Removes what is wanted of that, and returns it. Namespaces take a while to go.
///
/// # Errors
/// Where something is left; the rest is removed all the same.
pub async fn sweep(
    cluster: &Cluster,
    place: Where<'_>,
    which: &Which,
) -> Result<Vec<Found>, Unavailable> {
    let mut removed = Vec::new();
    let mut all = nodes_of_ours(cluster).await;
    // A node is given back whatever else may be seen.
    let mut problem = objects(cluster, place).await.map(|objects| all.extend(objects));
    for found in all.into_iter().filter(|it| which.holds(it)) {
        match remove(cluster, place, &found).await {
            Ok(()) => removed.push(found),
            Err(error) => problem = problem.and(Err(error)),
        }
    }
    problem.map(|()| removed)
}

async fn remove(cluster: &Cluster, place: Where<'_>, found: &Found) -> Result<(), Unavailable> {
    let name = &found.name;
    if found.kind == "node" {
        return nodes::uncordon(cluster, name).await;
    }
    let Where::In(namespace) = place else {
        return delete(cluster, Api::<Namespace>::all(cluster.client()), name).await;
    };
    macro_rules! delete_in {
        ($kind:ty) => {
            delete(cluster, Api::<$kind>::namespaced(cluster.client(), namespace), name).await
        };
    }
    match found.kind {
        "statefulset" => delete_in!(StatefulSet),
        "job" => delete_in!(Job),
        "pod" => delete_in!(Pod),
        "service" => delete_in!(Service),
        "networkpolicy" => delete_in!(NetworkPolicy),
        "configmap" => delete_in!(ConfigMap),
        "secret" => delete_in!(Secret),
        _ => delete_in!(PersistentVolumeClaim),
    }
}

async fn delete<K>(cluster: &Cluster, api: Api<K>, name: &str) -> Result<(), Unavailable>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let doing = format!("delete {} {name}", K::kind(&()));
    // Whoever was quicker has it deleted.
    let parameters = DeleteParams::background();
    cluster.call_for(&doing, async || api.delete(name, &parameters).await).await.map(drop)
}

async fn list_all<K>(cluster: &Cluster, kind: &'static str) -> Result<Vec<Found>, Unavailable>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + DeserializeOwned,
{
    list_of::<K>(cluster, Api::all(cluster.client()), kind).await
}

async fn list_in<K>(
    cluster: &Cluster,
    namespace: &str,
    kind: &'static str,
) -> Result<Vec<Found>, Unavailable>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    list_of::<K>(cluster, Api::namespaced(cluster.client(), namespace), kind).await
}

async fn list_of<K>(
    cluster: &Cluster,
    api: Api<K>,
    kind: &'static str,
) -> Result<Vec<Found>, Unavailable>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let doing = format!("list {} of ours", K::plural(&()));
    let parameters = ListParams::default().labels(RUN);
    let listed = cluster.call(&doing, async || api.list_metadata(&parameters).await).await?;
    let is_going = |object: &PartialObjectMeta<K>| object.meta().deletion_timestamp.is_some();
    // The server's own filter is for speed: a label that it shows is what counts.
    let found = listed
        .items
        .iter()
        .filter(|it| !is_going(it))
        .filter_map(|object| found(kind, object.name_any(), object.labels()));
    Ok(found.collect())
}

fn found(kind: &'static str, name: String, labels: &BTreeMap<String, String>) -> Option<Found> {
    let run = labels.get(RUN)?.clone();
    Some(Found { kind, name, run, maker: Maker::of(labels) })
}
