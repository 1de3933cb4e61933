//! Who may speak to a broker: the sweep's own Pods, and whoever is named.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::labels::{Component, Labels, matching};

/// Whoever may speak to a broker beside the sweep's own Pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// All Pods of a namespace, such as KEDA's operator.
    Namespace(String),
}

impl Peer {
    fn build(&self) -> NetworkPolicyPeer {
        let Self::Namespace(name) = self;
        let labels = BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]);
        NetworkPolicyPeer { namespace_selector: Some(matching(labels)), ..Default::default() }
    }
}

/// Only the sweep's Pods, and `others`, reach the broker, and only on this port. A port-forward is
/// not concerned: it comes from the broker's own node.
pub(super) fn policy(
    labels: &Labels,
    component: Component,
    name: &str,
    namespace: Option<&str>,
    port: i32,
    others: &[Peer],
) -> NetworkPolicy {
    let own =
        NetworkPolicyPeer { pod_selector: Some(matching(labels.project())), ..Default::default() };
    let from = std::iter::once(own).chain(others.iter().map(Peer::build)).collect();
    NetworkPolicy {
        metadata: labels.metadata(component, name, namespace),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(matching(labels.selector(component))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(from),
                ports: Some(vec![NetworkPolicyPort {
                    port: Some(IntOrString::Int(port)),
                    protocol: Some("TCP".to_owned()),
                    end_port: None,
                }]),
            }]),
            egress: None,
        }),
    }
}
