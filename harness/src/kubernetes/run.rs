//! A run on a cluster: its namespace, and the labels of all that it makes there.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cluster::Cluster;
use crate::environment::Unavailable;
use crate::maker::{Maker, RUN};

/// Who says so in what it applies.
pub(super) const MANAGER: &str = "ttg-harness";

/// The standard that every Pod of a run keeps, and that its namespace is told to insist on.
const STANDARD: &str = "pod-security.kubernetes.io/enforce";

/// A run that has its objects on a cluster.
#[derive(Clone)]
pub struct Run {
    cluster: Cluster,
    id: String,
    namespace: String,
    is_own_namespace: bool,
    labels: BTreeMap<String, String>,
}

impl Run {
    /// Makes room for a run: a namespace of its own, or what this one lets it have.
    ///
    /// # Errors
    /// Where the namespace cannot be made, or is not there.
    pub async fn open(
        cluster: Cluster,
        id: &str,
        namespace: Option<&str>,
    ) -> Result<Self, Unavailable> {
        let labels = Maker::this().labels(id);
        let run = Self {
            namespace: namespace.map_or_else(|| format!("ttg-{id}"), str::to_owned),
            is_own_namespace: namespace.is_none(),
            cluster,
            id: id.to_owned(),
            labels,
        };
        if run.is_own_namespace {
            run.create_namespace().await?;
        }
        Ok(run)
    }

    async fn create_namespace(&self) -> Result<(), Unavailable> {
        let mut namespace = Namespace::default();
        let mut labels = self.labels.clone();
        labels.insert(STANDARD.to_owned(), "restricted".to_owned());
        labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
        namespace.metadata.name = Some(self.namespace.clone());
        namespace.metadata.labels = Some(labels);
        let api: Api<Namespace> = Api::all(self.cluster.client());
        let made = put(&self.cluster, &api, &namespace).await;
        made.map(drop).map_err(|Unavailable(why)| {
            Unavailable(format!("{why} (or name a namespace that is there with --namespace)"))
        })
    }

    /// Deletes the namespace that it has to itself, with all that is in it. It takes a while to go.
    pub(super) async fn delete_namespace(&self) -> Result<(), Unavailable> {
        let api: Api<Namespace> = Api::all(self.cluster.client());
        let (name, parameters) = (&self.namespace, DeleteParams::background());
        let doing = format!("delete namespace {name}");
        // 409: it is on its way already.
        let deleted =
            self.cluster.call_for(&doing, async || match api.delete(name, &parameters).await {
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                deleted => deleted.map(drop),
            });
        deleted.await.map(drop)
    }

    /// Its name, as in the labels.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its objects are.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether the namespace is its own, and goes with it.
    pub fn is_own_namespace(&self) -> bool {
        self.is_own_namespace
    }

    /// The cluster that it is on.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What all of its objects are selected by.
    pub(super) fn selector(&self) -> String {
        format!("{RUN}={}", self.id)
    }

    /// A name for something of it: as it is in a namespace of its own, else with the run's.
    pub(super) fn name(&self, of: &str) -> String {
        if self.is_own_namespace { of.to_owned() } else { format!("{of}-{}", self.id) }
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    /// Adds the labels of the run.
    pub(super) fn mark(&self, labels: &mut Option<BTreeMap<String, String>>) {
        let labels = labels.get_or_insert_default();
        labels.extend(self.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// Creates an object, or makes it as it should be, with the run's namespace and labels.
    pub(super) async fn apply<K>(&self, mut object: K) -> Result<K, Unavailable>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        object.meta_mut().namespace = Some(self.namespace.clone());
        self.mark(&mut object.meta_mut().labels);
        put(&self.cluster, &self.api(), &object).await
    }

    /// Deletes an object, with this grace period in seconds, if it is there.
    pub(super) async fn delete<K>(&self, name: &str, grace: Option<u32>) -> Result<(), Unavailable>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = self.api();
        let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::background() };
        let doing = format!("delete {} {name}", K::kind(&()));
        let deleted = self.cluster.call_for(&doing, async || api.delete(name, &params).await);
        deleted.await.map(drop)
    }
}

/// Server-side apply. Fields that somebody else has set meanwhile are taken back: the object is ours.
async fn put<K>(cluster: &Cluster, api: &Api<K>, object: &K) -> Result<K, Unavailable>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    let params = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(object);
    let doing = format!("create {kind} {name}");
    cluster.call(&doing, async || api.patch(&name, &params, &patch).await).await
}
