//! What may be evicted at once, such as when a node is drained.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::broker::BrokerSpec;
use super::labels::{Component, Labels, matching};
use super::storage::Storage;

/// How many Pods an eviction leaves, or takes at most.
enum Bound {
    AtLeast(i32),
    AtMost(i32),
}

/// Workers without a controller do not come back: the last one stays until its sweep is complete.
pub fn lone_workers_budget(labels: &Labels, namespace: Option<&str>) -> PodDisruptionBudget {
    // Of such Pods Kubernetes only takes a number that is left, not one that may go.
    budget(labels, Component::Worker, "ttg-worker", namespace, &Bound::AtLeast(1))
}

/// Workers of a StatefulSet come back elsewhere: one at a time.
pub fn scaled_workers_budget(labels: &Labels, namespace: Option<&str>) -> PodDisruptionBudget {
    budget(labels, Component::Worker, "ttg-worker", namespace, &Bound::AtMost(1))
}

/// A broker with a volume comes back with its data; one without takes the sweep with it, and is not
/// evicted.
pub fn broker_budget(spec: &BrokerSpec) -> PodDisruptionBudget {
    let bound = Bound::AtMost(i32::from(spec.storage != Storage::EmptyDir));
    let namespace = spec.namespace.as_deref();
    budget(&spec.labels, spec.engine.component(), &spec.name, namespace, &bound)
}

fn budget(
    labels: &Labels,
    component: Component,
    name: &str,
    namespace: Option<&str>,
    bound: &Bound,
) -> PodDisruptionBudget {
    let (min_available, max_unavailable) = match *bound {
        Bound::AtLeast(count) => (Some(IntOrString::Int(count)), None),
        Bound::AtMost(count) => (None, Some(IntOrString::Int(count))),
    };
    PodDisruptionBudget {
        metadata: labels.metadata(component, name, namespace),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(matching(labels.selector(component))),
            min_available,
            max_unavailable,
            // One that does not work is not worth keeping.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        status: None,
    }
}
