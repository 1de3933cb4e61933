//! What a run needs to be allowed to do on a cluster, and whether it is.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};

use super::cluster::Cluster;
use crate::environment::Unavailable;

/// Who needs a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Every run.
    Always,
    /// A run without `--namespace`.
    OwnNamespace,
    /// Only to know beforehand; a run does without.
    Useful,
    /// The faults drain and cordon.
    Nodes,
}

impl Need {
    /// What its lack costs.
    pub fn lack(self) -> &'static str {
        match self {
            Self::Always => "no scenario runs there",
            Self::OwnNamespace => "name a namespace that is there with --namespace",
            Self::Useful => "nothing: what it would tell is found out otherwise",
            Self::Nodes => "the faults drain and cordon cannot be carried out",
        }
    }
}

/// Verbs on a resource.
#[derive(Debug, Clone, Copy)]
pub struct Right {
    /// API group; empty: the core.
    pub group: &'static str,
    /// Resource, with what is below it.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Who needs them.
    pub need: Need,
}

/// On what a run makes and removes. What is applied is patched, and created where it is not there.
const MAKES: &[&str] = &["create", "delete", "list", "patch"];

/// The same, where one of them is looked at besides: whether an event is about it, or what its address is.
const SEES: &[&str] = &["create", "delete", "get", "list", "patch"];

const fn right(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    need: Need,
) -> Right {
    Right { group, resource, verbs, need }
}

/// Everything. `docs/kubernetes-role.yaml` grants the same.
pub const RIGHTS: &[Right] = &[
    right("", "configmaps", MAKES, Need::Always),
    right("", "events", &["list", "watch"], Need::Always),
    // A StatefulSet makes them.
    right("", "persistentvolumeclaims", &["delete", "get", "list", "watch"], Need::Always),
    right("", "pods", &["create", "delete", "list", "patch", "watch"], Need::Always),
    right("", "pods/eviction", &["create"], Need::Nodes),
    // A WebSocket begins as a GET, and is judged as that by servers before 1.35.
    right("", "pods/exec", &["create", "get"], Need::Always),
    right("", "pods/log", &["get"], Need::Always),
    right("", "pods/portforward", &["create", "get"], Need::Always),
    right("", "secrets", MAKES, Need::Always),
    right("", "services", SEES, Need::Always),
    right("apps", "statefulsets", SEES, Need::Always),
    right("batch", "jobs", SEES, Need::Always),
    right("networking.k8s.io", "networkpolicies", MAKES, Need::Always),
    right("", "namespaces", MAKES, Need::OwnNamespace),
    right("", "nodes", &["list"], Need::Useful),
    right("storage.k8s.io", "storageclasses", &["list"], Need::Useful),
    right("", "nodes", &["get", "list", "patch"], Need::Nodes),
];

/// A right, and which of its verbs are missing.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// Which.
    pub right: Right,
    /// Verbs that are not allowed.
    pub missing: Vec<&'static str>,
}

/// Asks the cluster about each right, in a namespace if one is given.
///
/// # Errors
/// Where the cluster does not answer.
pub async fn review(
    cluster: &Cluster,
    namespace: Option<&str>,
) -> Result<Vec<Reviewed>, Unavailable> {
    let mut reviewed = Vec::new();
    for right in RIGHTS {
        if right.need == Need::OwnNamespace && namespace.is_some() {
            continue;
        }
        let mut missing = Vec::new();
        for verb in right.verbs {
            if !is_allowed(cluster, right, verb, namespace).await? {
                missing.push(*verb);
            }
        }
        reviewed.push(Reviewed { right: *right, missing });
    }
    Ok(reviewed)
}

async fn is_allowed(
    cluster: &Cluster,
    right: &Right,
    verb: &str,
    namespace: Option<&str>,
) -> Result<bool, Unavailable> {
    let (resource, below) = match right.resource.split_once('/') {
        Some((resource, below)) => (resource, Some(below.to_owned())),
        None => (right.resource, None),
    };
    let attributes = ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: below,
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..Default::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..Default::default()
        },
        ..Default::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client());
    let parameters = PostParams::default();
    let answer = cluster
        .call("ask what you are allowed to do", async || api.create(&parameters, &review).await);
    Ok(answer.await?.status.is_some_and(|status| status.allowed))
}

/// Roles that grant all of it, as YAML: one for a namespace, one for the cluster.
pub fn roles() -> String {
    let mut text = String::from(
        "# What the harness needs on a cluster. Made by `harness doctor --role`; bind the Role in the\n\
         # namespace that --namespace names, or the ClusterRoles, so that each run has a namespace of its\n\
         # own.\n",
    );
    let sections = [
        ("Role", "ttg-harness", &[Need::Always][..], "runs in one namespace (--namespace)"),
        (
            "ClusterRole",
            "ttg-harness",
            &[Need::Always, Need::OwnNamespace, Need::Useful][..],
            "runs in namespaces of their own",
        ),
        (
            "ClusterRole",
            "ttg-harness-nodes",
            &[Need::Nodes][..],
            "the faults drain and cordon, besides",
        ),
    ];
    for (kind, name, needs, what) in sections {
        text += &format!(
            "---\n# For {what}.\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  \
             name: {name}\nrules:\n"
        );
        for right in RIGHTS.iter().filter(|right| needs.contains(&right.need)) {
            text += &format!(
                "  - apiGroups: [\"{}\"]\n    resources: [\"{}\"]\n    verbs: [{}]\n",
                right.group,
                right.resource,
                right.verbs.join(", ")
            );
        }
    }
    text
}
