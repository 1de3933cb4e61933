//! What the harness has made on a cluster, as the API server gets it: `ci/schemas` holds these snapshots
//! against the published schemas.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;
use ttg_manifests::document;

use crate::model::ModelCluster;
use crate::restricted::violations;
use crate::support::{Sandbox, finish, struck};

/// Runs a scenario of one fault, in a namespace of its own.
fn after(backend: &str, fault: &str) -> ModelCluster {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let file = struck(&sandbox, "kubernetes", backend, fault, "");
    let mut harness = sandbox.harness(&["run", &file, "--seed", "7"]);
    for chosen in ["TTG_WORKER_IMAGE", "TTG_REDIS_IMAGE", "TTG_RABBITMQ_IMAGE"] {
        harness.env_remove(chosen);
    }
    let said = finish(harness.env("KUBECONFIG", &model.kubeconfig));
    assert!(matches!(said.code, Some(0 | 2)), "{said}");
    model
}

/// An object without what a server adds, and with what differs from run to run replaced.
fn plain(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    let run = metadata["labels"]["io.ttg.harness.run"].as_str().unwrap().to_owned();
    for added in ["creationTimestamp", "resourceVersion", "uid"] {
        metadata.remove(added);
    }
    if object["kind"] == "Service" {
        object["spec"].as_object_mut().unwrap().remove("clusterIP");
    }
    replace(&mut object, &run);
    object
}

fn replace(value: &mut Value, run: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                let instead = match &**name {
                    "io.ttg.harness.owner" => "4711",
                    "io.ttg.harness.owner-started" => "815",
                    "io.ttg.harness.host" => "machine.0123.402",
                    "app.kubernetes.io/version" => "<version>",
                    "password" => "bm90LWEtcmVhbC1vbmU=",
                    "value" if value.as_str().is_some_and(|it| it.contains("serve()")) => {
                        "<hand.sh>"
                    }
                    _ => {
                        replace(value, run);
                        continue;
                    }
                };
                *value = instead.into();
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|it| replace(it, run)),
        Value::String(text) => *text = text.replace(run, "a1b2c3d4"),
        _ => {}
    }
}

fn assert_looks_like(name: &str, objects: &[&Value]) {
    let documents: Vec<String> =
        objects.iter().map(|object| document(&plain((*object).clone()))).collect();
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(format!("object_{name}"), documents.join("---\n"));
    });
}

/// The objects of these resources with the run's labels, as they were made, sorted by name.
fn made(model: &ModelCluster, resources: &[&str]) -> Vec<Value> {
    let mut all = Vec::new();
    for resource in resources {
        let mut of = model.made(resource);
        of.retain(|it| it["metadata"]["labels"].get("io.ttg.harness.run").is_some());
        of.sort_by_key(|it| it["metadata"]["name"].to_string());
        all.extend(of);
    }
    all
}

fn is_called(object: &Value, name: &str) -> bool {
    object["metadata"]["name"] == name
}

fn named<'a>(objects: &'a [Value], name: &str) -> &'a Value {
    let found = objects.iter().find(|it| is_called(it, name));
    found.unwrap_or_else(|| panic!("no {name} among {objects:#?}"))
}

#[test]
fn a_run_on_redis() {
    let model = after("redis", "partition: { worker: 0, for: 100ms }");
    assert_looks_like("namespace", &made(&model, &["namespaces"]).iter().collect::<Vec<_>>());
    let broker = made(&model, &["services", "statefulsets"]);
    assert_looks_like("broker_redis", &broker.iter().collect::<Vec<_>>());
    let policies = made(&model, &["networkpolicies"]);
    assert_looks_like("cut", &[named(&policies, "ttg-worker-0-cut")]);
    assert_looks_like("worker_with_hand", &[named(&model.made("pods"), "ttg-worker-0")]);
    assert_looks_like("role_with_hand", &[named(&model.made("jobs"), "ttg-coordinator")]);
}

#[test]
fn a_run_on_rabbitmq_whose_broker_is_struck() {
    let model = after("rabbitmq", "pause: { role: broker, for: 100ms }");
    let broker = made(&model, &["secrets", "configmaps", "services", "statefulsets"]);
    assert_looks_like("broker_with_hand", &broker.iter().collect::<Vec<_>>());
}

#[test]
fn a_run_in_static_mode() {
    let model = after("static", "pause: { worker: 0, for: 100ms }");
    // In clusters before, each is a Pod of its own.
    assert_looks_like("static_mode_since_1_29", &[named(&model.made("jobs"), "ttg-workers")]);
    let lives = model.made("pods");
    assert!(lives.iter().all(|pod| pod["spec"]["activeDeadlineSeconds"].is_u64()), "{lives:#?}");
}

#[test]
fn every_pod_that_has_a_hand_passes_the_standard_restricted() {
    let model = after("redis", "kill: { role: broker }");
    let pods = model.made("pods");
    let names: Vec<&str> = pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
    for pod in &pods {
        let spec: PodSpec = serde_json::from_value(pod["spec"].clone()).unwrap();
        assert_eq!(spec.containers.len(), 2, "{names:?}");
        assert_eq!(violations(&spec), [""; 0], "{pod:#}");
    }
    for name in ["ttg-redis-0", "ttg-worker-0"] {
        assert!(names.contains(&name), "{names:?}");
    }
}
