//! What a cluster does by itself: it makes the Pods of Jobs and StatefulSets, finds a node for each, and
//! clears namespaces away.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::objects::{is_leaving, owner, text};
use super::{NODES, Shared, pods};

/// Looks at everything whenever something has changed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.changed.subscribe();
    let mut jobs_begun = HashSet::new();
    loop {
        changed.borrow_and_update();
        make_pods_of_jobs(&shared, &mut jobs_begun);
        make_pods_of_sets(&shared);
        clear_orphans(&shared);
        clear_namespaces(&shared);
        schedule(&shared);
        if changed.changed().await.is_err() {
            return;
        }
    }
}

fn all(shared: &Shared, resource: &str) -> Vec<Value> {
    shared.store.lock().unwrap().all(resource)
}

fn put(shared: &Shared, resource: &str, object: Value) {
    shared.store.lock().unwrap().put(resource, object);
    shared.tell();
}

/// A Pod by the template of its maker.
fn made_by(maker: &Value, kind: &str, name: &str) -> Value {
    let template = &maker["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = json!(name);
    metadata["namespace"] = maker["metadata"]["namespace"].clone();
    metadata["ownerReferences"] = json!([{ "apiVersion": "v1", "kind": kind, "controller": true,
        "name": maker["metadata"]["name"], "uid": maker["metadata"]["uid"] }]);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] })
}

fn make_pods_of_jobs(shared: &Shared, begun: &mut HashSet<String>) {
    for job in all(shared, "jobs") {
        if !begun.insert(text(&job, &["metadata", "uid"]).to_owned()) {
            continue;
        }
        let name = text(&job, &["metadata", "name"]);
        let indexed = text(&job, &["spec", "completionMode"]) == "Indexed";
        for index in 0..job["spec"]["completions"].as_u64().unwrap_or(1) {
            let mut pod = made_by(&job, "Job", &format!("{name}-{index}-x7k2q"));
            pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = json!(name);
            if indexed {
                let index = index.to_string();
                pod["metadata"]["annotations"] =
                    json!({ "batch.kubernetes.io/job-completion-index": index });
                let first = &mut pod["spec"]["containers"][0];
                let variable = json!({ "name": "JOB_COMPLETION_INDEX", "value": index });
                first["env"].as_array_mut().unwrap().push(variable);
            }
            put(shared, "pods", pod);
        }
    }
}

fn make_pods_of_sets(shared: &Shared) {
    for set in all(shared, "statefulsets") {
        let namespace = text(&set, &["metadata", "namespace"]);
        let name = format!("{}-0", text(&set, &["metadata", "name"]));
        let pod = shared.store.lock().unwrap().get("pods", namespace, &name).cloned();
        match (set["spec"]["replicas"].as_u64(), pod) {
            (Some(1), None) => {
                for claim in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
                    let claim_name = format!("{}-{name}", text(claim, &["metadata", "name"]));
                    if shared
                        .store
                        .lock()
                        .unwrap()
                        .get("persistentvolumeclaims", namespace, &claim_name)
                        .is_some()
                    {
                        continue;
                    }
                    let mut claim = claim.clone();
                    claim["metadata"]["name"] = json!(claim_name);
                    claim["metadata"]["namespace"] = json!(namespace);
                    put(shared, "persistentvolumeclaims", claim);
                }
                put(shared, "pods", made_by(&set, "StatefulSet", &name));
            }
            (Some(0), Some(pod)) if !is_leaving(&pod) => {
                pods::delete(shared, namespace, &name, None);
            }
            _ => {}
        }
    }
}

/// Pods whose maker is gone.
fn clear_orphans(shared: &Shared) {
    let makers: HashSet<String> = ["jobs", "statefulsets"]
        .iter()
        .flat_map(|it| all(shared, it))
        .map(|it| text(&it, &["metadata", "uid"]).to_owned())
        .collect();
    for pod in all(shared, "pods") {
        let maker = owner(&pod);
        if !maker.is_empty() && !makers.contains(maker) && !is_leaving(&pod) {
            let of = |field| text(&pod, &["metadata", field]);
            pods::delete(shared, of("namespace"), of("name"), None);
        }
    }
}

fn clear_namespaces(shared: &Shared) {
    for namespace in all(shared, "namespaces").iter().filter(|it| is_leaving(it)) {
        let name = text(namespace, &["metadata", "name"]);
        let content = shared.store.lock().unwrap().of_namespace(name);
        if content.is_empty() {
            shared.store.lock().unwrap().remove("namespaces", "", name);
            shared.tell();
            continue;
        }
        for (resource, object) in content {
            if resource != "pods" {
                shared.store.lock().unwrap().remove(&resource, name, &object);
                shared.tell();
                continue;
            }
            let pod = shared.store.lock().unwrap().get("pods", name, &object).cloned();
            if pod.is_some_and(|pod| !is_leaving(&pod)) {
                pods::delete(shared, name, &object, Some(1));
            }
        }
    }
}

/// The node with the fewest Pods takes the next.
fn schedule(shared: &Arc<Shared>) {
    for pod in all(shared, "pods") {
        if !text(&pod, &["spec", "nodeName"]).is_empty() || is_leaving(&pod) {
            continue;
        }
        let pods = all(shared, "pods");
        let on =
            |node: &str| pods.iter().filter(|it| text(it, &["spec", "nodeName"]) == node).count();
        let open = |node: &&&str| {
            let store = shared.store.lock().unwrap();
            store
                .get("nodes", "", node)
                .is_some_and(|it| it["spec"]["unschedulable"] != json!(true))
        };
        let node = NODES.iter().filter(open).min_by_key(|node| on(node));
        let (namespace, name) = super::store::place(&pod);
        match node {
            Some(node) => pods::start(shared, &namespace, &name, node),
            None => pods::wait(
                shared,
                &namespace,
                &name,
                "0/3 nodes are available: 3 node(s) were unschedulable.",
            ),
        }
    }
}
