//! What a cluster says of an object: of one that makes others, such as a StatefulSet, this is the only
//! place that tells why it does not.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Event;

use super::run::Run;
use super::trouble::{MESSAGE, is_too_new};
use super::watch::{Seen, Watched};
use crate::words::quoted_to;

/// Warnings about an object, and those about it alone.
pub(super) struct Warnings {
    watched: Arc<Watched<Event>>,
}

/// Reasons of warnings after which nothing comes of it by itself.
const HOPELESS: [&str; 3] = ["FailedCreate", "ProvisioningFailed", "FailedBinding"];

impl Warnings {
    /// Those about the object of this kind and name.
    pub(super) fn about(run: &Run, kind: &str, name: &str) -> Self {
        let fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
        let what = format!("events of {kind} {name}");
        let watched = Watched::start(run.cluster(), &what, run.api::<Event>(), None, Some(&fields));
        Self { watched }
    }

    /// Waits for one that says that nothing will come of it: one line, with what to do.
    pub(super) async fn hopeless(&self) -> String {
        let found = self.watched.until(|seen: &Seen<Event>| {
            seen.here.values().find_map(|event| of_event(event)).filter(|line| !line.is_empty())
        });
        match found.await {
            Ok(line) => line,
            // Who may not read events learns it from the Pods, or at the end of the time.
            Err(_) => std::future::pending().await,
        }
    }
}

fn of_event(event: &Event) -> Option<String> {
    let reason = event.reason.as_deref()?;
    // That a claim finds no volume is no warning in the eyes of the cluster.
    let is_warning = event.type_.as_deref() == Some("Warning") || reason == "FailedBinding";
    if !is_warning || !HOPELESS.contains(&reason) {
        return None;
    }
    let said = event.message.as_deref().unwrap_or_default();
    if is_too_new(said) {
        return None;
    }
    let object = &event.involved_object;
    let (kind, name) = (object.kind.as_deref()?, object.name.as_deref()?);
    let advice = if said.contains("exceeded quota") || said.contains("failed quota") {
        "run fewer workers, or ask for a larger ResourceQuota in the namespace"
    } else if said.contains("violates PodSecurity") {
        "the Pods of the harness keep the restricted standard: has an admission webhook changed it?"
    } else if said.contains("per Container is") || said.contains("per Pod is") {
        "the namespace has a LimitRange that does not let the requests and limits of \
         docs/kubernetes.md pass: change it, or choose another namespace with --namespace"
    } else if kind == "PersistentVolumeClaim" {
        "kubectl get storageclass shows what there is; --set broker.storage=ephemeral does without a \
         volume"
    } else if said.contains("is forbidden") {
        "ask whoever runs the cluster"
    } else {
        return None;
    };
    let verb = if kind == "PersistentVolumeClaim" { "does not bind" } else { "makes no Pod" };
    Some(format!("{kind} {name} {verb}: {} ({advice})", quoted_to(said, MESSAGE)))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn event(kind: &str, name: &str, reason: &str, message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {"name": "e"}, "type": "Warning", "reason": reason, "message": message,
            "involvedObject": {"kind": kind, "name": name},
        }))
        .unwrap()
    }

    #[test]
    fn why_a_stateful_set_makes_no_pod_and_a_claim_does_not_bind() {
        let quota = event(
            "StatefulSet",
            "ttg-redis",
            "FailedCreate",
            "create Pod ttg-redis-0 in StatefulSet ttg-redis failed error: pods \"ttg-redis-0\" is forbidden: exceeded quota: small, requested: limits.cpu=500m, used: limits.cpu=2, limited: limits.cpu=2",
        );
        assert_snapshot!(of_event(&quota).unwrap(), @r#"StatefulSet ttg-redis makes no Pod: create Pod ttg-redis-0 in StatefulSet ttg-redis failed error: pods "ttg-redis-0" is forbidden: exceeded quota: small, requested: limits.cpu=500m, used: limits.cpu=2, limited: limits.cpu=2 (run fewer workers, or ask for a larger ResourceQuota in the namespace)"#);
        let claim = event(
            "PersistentVolumeClaim",
            "data-ttg-redis-0",
            "ProvisioningFailed",
            "storageclass.storage.k8s.io \"fast\" not found",
        );
        assert_snapshot!(of_event(&claim).unwrap(), @r#"PersistentVolumeClaim data-ttg-redis-0 does not bind: storageclass.storage.k8s.io "fast" not found (kubectl get storageclass shows what there is; --set broker.storage=ephemeral does without a volume)"#);
    }

    #[test]
    fn what_passes_by_itself_is_no_reason_to_give_up() {
        let waits = event("PersistentVolumeClaim", "data", "WaitForFirstConsumer", "waiting");
        assert_eq!(of_event(&waits), None);
        for said in [
            "etcdserver: timed out",
            "pods \"ttg-redis-0\" is forbidden: error looking up service account ttg-1/default: \
             serviceaccount \"default\" not found",
        ] {
            assert_eq!(of_event(&event("StatefulSet", "ttg-redis", "FailedCreate", said)), None);
        }
    }
}
