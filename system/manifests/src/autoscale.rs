//! Workers that come and go with the load: by their processors (HorizontalPodAutoscaler), or by what
//! is queued (KEDA).

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};
use serde_json::{Value, json};

use super::broker::Engine;
use super::labels::{Component, matching};
use super::process::ProcessSpec;

/// Namespace in which KEDA's operator runs unless somebody chose another.
pub const KEDA: &str = "keda";

/// Share of the processor that workers ask for, in percent, above which there are to be more.
const BUSY: i32 = 70;

/// Chunks that wait, for each worker that there is to be.
const CHUNKS_PER_WORKER: &str = "10";

/// Chunks that a worker may hold, for each worker that there is to be: none that works is taken away.
const HELD_PER_WORKER: &str = "1";

/// Between how many workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// As many at least, and at first.
    pub min: i32,
    /// As many at most.
    pub max: i32,
}

/// Workers that can be scaled: a StatefulSet, since each needs a number of its own, which it finds at
/// the end of its Pod's name. They come and go in any order.
pub fn scaled_workers(process: &ProcessSpec, replicas: i32) -> StatefulSet {
    let labels = &process.labels;
    let mut template = process.template("Always");
    let name = EnvVar {
        name: "WORKER_NAME".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: "metadata.name".to_owned(),
            }),
            ..Default::default()
        }),
    };
    for container in template.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.env.get_or_insert_default().push(name.clone());
    }
    StatefulSet {
        metadata: labels.metadata(Component::Worker, &process.name, process.namespace.as_deref()),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            pod_management_policy: Some("Parallel".to_owned()),
            // Nobody calls a worker, so there is no such Service.
            service_name: Some(process.name.clone()),
            selector: matching(labels.selector(Component::Worker)),
            template,
            ..Default::default()
        }),
        status: None,
    }
}

/// More workers while those there are busy. Needs the cluster's metrics server.
pub fn horizontal(process: &ProcessSpec, range: Range) -> HorizontalPodAutoscaler {
    let target = MetricTarget {
        type_: "Utilization".to_owned(),
        average_utilization: Some(BUSY),
        ..Default::default()
    };
    HorizontalPodAutoscaler {
        metadata: process.labels.metadata(
            Component::Worker,
            &process.name,
            process.namespace.as_deref(),
        ),
        spec: Some(HorizontalPodAutoscalerSpec {
            min_replicas: Some(range.min),
            max_replicas: range.max,
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "StatefulSet".to_owned(),
                name: process.name.clone(),
            },
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricSource { name: "cpu".to_owned(), target }),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        status: None,
    }
}

/// KEDA's objects (`keda.sh/v1alpha1`): as many workers as what is queued asks for. Its operator is in
/// another namespace, so the broker must be named with its own.
pub fn keda(process: &ProcessSpec, engine: &Engine, host: &str, range: Range) -> Vec<Value> {
    let metadata = json!(process.labels.metadata(
        Component::Worker,
        &process.name,
        process.namespace.as_deref(),
    ));
    let (mut objects, triggers) = match engine {
        Engine::Redis { .. } => (Vec::new(), redis_triggers(host)),
        Engine::RabbitMq { credentials, .. } => {
            let key = |name: &str, key: &str| json!({ "parameter": name, "name": credentials.secret, "key": key });
            let authentication = json!({
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "TriggerAuthentication",
                "metadata": metadata,
                "spec": { "secretTargetRef": [
                    key("username", super::USERNAME_KEY),
                    key("password", super::PASSWORD_KEY),
                ] },
            });
            (vec![authentication], rabbitmq_triggers(host, &process.name))
        }
    };
    objects.push(json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": process.name },
            "minReplicaCount": range.min,
            "maxReplicaCount": range.max,
            "triggers": triggers,
        },
    }));
    objects
}

/// What waits to be delivered (Redis 7 or newer tells), and what is being worked on.
fn redis_triggers(host: &str) -> Value {
    let trigger = |count: &str, target: &str| {
        json!({
            "type": "redis-streams",
            "metadata": {
                "address": format!("{host}:{}", super::redis::PORT),
                "stream": "ttg:tasks",
                "consumerGroup": "ttg-workers",
                count: target,
            },
        })
    };
    json!(
        [trigger("lagCount", CHUNKS_PER_WORKER), trigger("pendingEntriesCount", HELD_PER_WORKER),]
    )
}

/// What waits to be delivered; what is being worked on, AMQP does not tell.
fn rabbitmq_triggers(host: &str, authentication: &str) -> Value {
    json!([{
        "type": "rabbitmq",
        "metadata": {
            "protocol": "amqp",
            "host": format!("amqp://{host}:{}/", super::rabbitmq::PORT),
            "queueName": "ttg.tasks",
            "mode": "QueueLength",
            "value": CHUNKS_PER_WORKER,
        },
        "authenticationRef": { "name": authentication },
    }])
}
