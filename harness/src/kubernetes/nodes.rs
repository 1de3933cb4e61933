//! Nodes: what a fault does to them, and that it is undone. A node is nobody's own, so one that we have
//! cordoned says so by our labels.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use kube::ResourceExt;
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams};
use kube::core::Status;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::fleet::PodFleet;
use super::patience;
use super::run::Run;
use super::trouble::MESSAGE;
use super::watch::Watched;
use crate::environment::{Seen, Unavailable};
use crate::maker::{Maker, RUN};
use crate::words::quoted_to;

/// Takes a node out of the scheduler's sight. False where somebody else has already.
async fn cordon(run: &Run, name: &str) -> Result<bool, Unavailable> {
    let (cluster, api) = (run.cluster(), nodes(run.cluster()));
    let doing = format!("look at node {name}");
    let node = cluster.call(&doing, async || api.get(name).await).await?;
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        return Ok(false);
    }
    let labels = Maker::this().labels(run.id());
    patch(
        cluster,
        "cordon",
        name,
        &json!({
            "metadata": { "labels": labels }, "spec": { "unschedulable": true },
        }),
    )
    .await
    .map(|()| true)
}

/// Gives a node back, where this run has cordoned it.
async fn give_back(run: &Run, name: &str) -> Result<(), Unavailable> {
    let (cluster, api) = (run.cluster(), nodes(run.cluster()));
    let doing = format!("look at node {name}");
    let node = cluster.call_for(&doing, async || api.get(name).await).await?;
    let is_ours = |node: &Node| node.labels().get(RUN).is_some_and(|it| it == run.id());
    match node.is_some_and(|node| is_ours(&node)) {
        true => uncordon(cluster, name).await,
        false => Ok(()),
    }
}

/// Gives a node that we have cordoned back.
pub(super) async fn uncordon(cluster: &Cluster, name: &str) -> Result<(), Unavailable> {
    let ours = Maker::this().labels("");
    let none: BTreeMap<&String, Value> = ours.keys().map(|name| (name, Value::Null)).collect();
    patch(
        cluster,
        "uncordon",
        name,
        &json!({
            "metadata": { "labels": none }, "spec": { "unschedulable": null },
        }),
    )
    .await
}

/// Asks for a Pod of ours to be moved off its node.
pub(super) async fn evict(run: &Run, pod: &str) -> Result<(), Unavailable> {
    let api: Api<Pod> = run.api();
    let doing = format!("evict pod {pod}");
    let parameters = EvictParams::default();
    let asked = run.cluster().call_for(&doing, async || match api.evict(pod, &parameters).await {
        Err(kube::Error::Api(status)) if is_of_a_budget(&status) => Ok(Some(status.message)),
        asked => asked.map(|_| None),
    });
    match asked.await?.flatten() {
        None => Ok(()),
        Some(why) => Err(Unavailable(format!(
            "pod {pod} may not be evicted: {} (a PodDisruptionBudget that is not ours selects it)",
            quoted_to(&why, MESSAGE)
        ))),
    }
}

/// Whether an eviction is refused for the sake of other Pods: a server with too much to do answers with
/// the same code.
fn is_of_a_budget(status: &Status) -> bool {
    let causes = status.details.as_ref().map(|it| &it.causes[..]).unwrap_or_default();
    status.code == 429 && causes.iter().any(|cause| cause.reason == "DisruptionBudget")
}

impl Cluster {
    /// How many nodes take Pods. Nothing, where nodes may not be seen.
    pub(crate) async fn nodes(&self) -> Option<usize> {
        let takes_pods = |node: &Node| {
            let spec = node.spec.as_ref();
            let taints = spec.and_then(|it| it.taints.as_deref()).unwrap_or_default();
            spec.and_then(|it| it.unschedulable) != Some(true)
                && taints.iter().all(|taint| taint.effect == "PreferNoSchedule")
        };
        list(self).await.ok().map(|nodes| nodes.iter().filter(|node| takes_pods(node)).count())
    }
}

impl PodFleet {
    /// Takes a node out of the scheduler's sight. Returns what was seen.
    pub(crate) async fn cordon(&self, node: &str) -> Seen {
        // Before it is tried: an answer may be lost.
        self.cordoned.borrow_mut().insert(node.to_owned());
        match cordon(&self.run, node).await? {
            true => Ok(format!("node {node} takes no more Pods")),
            false => Err(Unavailable(format!("somebody else has cordoned node {node} already"))),
        }
    }

    /// Gives it back, if it was us who took it.
    pub(crate) async fn uncordon(&self, node: &str) -> Result<(), Unavailable> {
        give_back(&self.run, node).await?;
        self.cordoned.borrow_mut().remove(node);
        Ok(())
    }

    /// Gives all back that are not yet.
    pub(super) async fn uncordon_all(&self) -> Result<(), Unavailable> {
        let mut problem = Ok(());
        for node in self.cordoned.take() {
            problem = problem.and(give_back(&self.run, &node).await);
        }
        problem
    }
}

/// Waits until every node is ready, and says how many there are.
pub(crate) async fn ready(cluster: &Cluster) -> Result<usize, Unavailable> {
    let watched = Watched::start(cluster, "nodes", nodes(cluster), None, None);
    let is_ready = |node: &Node| {
        let conditions = node.status.as_ref().and_then(|it| it.conditions.as_deref());
        let ready = |it: &NodeCondition| it.type_ == "Ready" && it.status == "True";
        conditions.unwrap_or_default().iter().any(ready)
    };
    patience::until(&watched, |seen| {
        let all = !seen.here.is_empty() && seen.here.values().all(|node| is_ready(node));
        all.then_some(Ok(seen.here.len()))
    })
    .await
}

/// Names of images that the nodes say they have. Nothing, where nodes may not be seen.
pub(super) async fn images(cluster: &Cluster) -> Vec<String> {
    list(cluster).await.map_or_else(
        |_| Vec::new(),
        |nodes| {
            let of = |node: Node| node.status.and_then(|it| it.images).unwrap_or_default();
            nodes.into_iter().flat_map(of).flat_map(|it| it.names.unwrap_or_default()).collect()
        },
    )
}

async fn list(cluster: &Cluster) -> Result<Vec<Node>, Unavailable> {
    let api = nodes(cluster);
    let parameters = ListParams::default();
    cluster.call("list nodes", async || api.list(&parameters).await).await.map(|it| it.items)
}

async fn patch(
    cluster: &Cluster,
    verb: &str,
    name: &str,
    patch: &Value,
) -> Result<(), Unavailable> {
    let api = nodes(cluster);
    let doing = format!("{verb} node {name}");
    let patch = Patch::Merge(patch);
    let parameters = PatchParams::default();
    let patched = cluster.call(&doing, async || api.patch(name, &parameters, &patch).await);
    patched.await.map(drop)
}

fn nodes(cluster: &Cluster) -> Api<Node> {
    Api::all(cluster.client())
}
