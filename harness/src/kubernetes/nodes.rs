//! Nodes: what a fault does to them, and that it is undone. A node is nobody's own, so one that we have
//! cordoned says so by our labels.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, EvictParams, ListParams, Patch, PatchParams};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::label::{Maker, RUN};
use super::run::Run;
use crate::environment::Unavailable;

/// Takes a node out of the scheduler's sight. False where somebody else has already.
pub(super) async fn cordon(run: &Run, name: &str) -> Result<bool, Unavailable> {
    let (cluster, api) = (run.cluster(), nodes(run.cluster()));
    let doing = format!("look at node {name}");
    let node = cluster.call(&doing, async || api.get(name).await).await?;
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        return Ok(false);
    }
    let labels = Maker::this().labels(run.id());
    patch(cluster, "cordon", name, &json!({
        "metadata": { "labels": labels }, "spec": { "unschedulable": true },
    }))
    .await
    .map(|()| true)
}

/// Gives a node that we have cordoned back.
pub(super) async fn uncordon(cluster: &Cluster, name: &str) -> Result<(), Unavailable> {
    let ours = Maker::this().labels("");
    let none: BTreeMap<&String, Value> = ours.keys().map(|name| (name, Value::Null)).collect();
    patch(cluster, "uncordon", name, &json!({
        "metadata": { "labels": none }, "spec": { "unschedulable": null },
    }))
    .await
}

/// Asks for a Pod of ours to be moved off its node. False where a disruption budget does not let it.
pub(super) async fn evict(run: &Run, pod: &str) -> Result<bool, Unavailable> {
    let api: Api<Pod> = run.api();
    let doing = format!("evict pod {pod}");
    let parameters = EvictParams::default();
    let place = run.cluster().place(&doing);
    match api.evict(pod, &parameters).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 429 => Ok(false),
        Err(error) => Err(Unavailable(super::trouble::of_call(&error, &place))),
    }
}

/// Names of images that the nodes say they have. Nothing, where nodes may not be seen.
pub(super) async fn images(cluster: &Cluster) -> Vec<String> {
    list(cluster).await.map_or_else(|_| Vec::new(), |nodes| {
        let of = |node: Node| node.status.and_then(|it| it.images).unwrap_or_default();
        nodes.into_iter().flat_map(of).flat_map(|it| it.names.unwrap_or_default()).collect()
    })
}

/// How many nodes take Pods. Nothing, where nodes may not be seen.
pub(super) async fn count(cluster: &Cluster) -> Option<usize> {
    let takes_pods = |node: &Node| {
        let spec = node.spec.as_ref();
        let taints = spec.and_then(|it| it.taints.as_deref()).unwrap_or_default();
        spec.and_then(|it| it.unschedulable) != Some(true)
            && taints.iter().all(|taint| taint.effect == "PreferNoSchedule")
    };
    list(cluster).await.ok().map(|nodes| nodes.iter().filter(|node| takes_pods(node)).count())
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

/// Whether a run has labelled it.
pub(super) fn is_of(run: &Run, node: &Node) -> bool {
    node.labels().get(RUN).is_some_and(|id| id == run.id())
}
