//! What a cluster says of an object: of one that makes others, such as a StatefulSet, this is the only
//! place that tells why it does not; of a Pod, it tells what the Pod itself does not show.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use super::run::Run;
use super::trouble::{MESSAGE, is_too_new};
use super::watch::{Seen, Watched};
use crate::words::quoted_to;

/// Warnings about an object, and those about it alone: not about one that had its name before.
pub(super) struct Warnings {
    run: Run,
    kind: &'static str,
    name: String,
    watched: Arc<Watched<Event>>,
}

/// What an event means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    /// Nothing comes of it by itself.
    Hopeless(String),
    /// It is tried again.
    Doubtful(String),
}

/// How long a volume that could not be made is tried for.
pub(super) const VOLUME: Duration = Duration::from_secs(45);

/// What of an object says whether an event is about it.
struct Present {
    uid: String,
    is_bound: bool,
}

impl Warnings {
    /// Those about the object of this kind and name.
    pub(super) fn about(run: &Run, kind: &'static str, name: &str) -> Self {
        let fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
        let what = format!("events of {kind} {name}");
        let watched = Watched::start(run.cluster(), &what, run.api::<Event>(), None, Some(&fields));
        Self { run: run.clone(), kind, name: name.to_owned(), watched }
    }

    /// Waits for one that says that nothing will come of it: one line, with what to do.
    pub(super) async fn hopeless(&self) -> String {
        let mut of_others = BTreeSet::new();
        let mut doubt: Option<(String, Instant)> = None;
        loop {
            let is_in_doubt = doubt.is_some();
            let found = self.watched.until(|seen: &Seen<Event>| {
                let ours = seen.here.iter().filter(|(name, _)| !of_others.contains(*name));
                let means = |(name, event): (&String, &Arc<Event>)| {
                    let meaning = of_event(event)?;
                    let is_news = !is_in_doubt || matches!(meaning, Meaning::Hopeless(_));
                    is_news.then(|| (name.clone(), event.involved_object.uid.clone(), meaning))
                };
                ours.filter_map(means).next()
            });
            let end = doubt.as_ref().map_or_else(Instant::now, |(_, since)| *since + VOLUME);
            let found = tokio::select! {
                found = found => found,
                () = sleep_until(end), if is_in_doubt => {
                    let present = self.present().await;
                    if let Some((line, _)) = doubt.filter(|_| present.is_none_or(|it| !it.is_bound)) {
                        return line;
                    }
                    // It has bound: what is seen from now on is of later.
                    return std::future::pending().await;
                }
            };
            // Who may not read events learns it from the Pods, or at the end of the time.
            let Ok((event, uid, meaning)) = found else { return std::future::pending().await };
            let present = self.present().await;
            if uid.is_some() && present.is_some_and(|it| Some(it.uid) != uid) {
                of_others.insert(event);
                continue;
            }
            match meaning {
                Meaning::Hopeless(line) => return line,
                Meaning::Doubtful(line) => doubt = Some((line, Instant::now())),
            }
        }
    }

    /// The object as it is: without a uid where there is none. Nothing, where that may not be seen.
    async fn present(&self) -> Option<Present> {
        match self.kind {
            "Job" => self.get::<Job>(|_| false).await,
            "StatefulSet" => self.get::<StatefulSet>(|_| false).await,
            _ => {
                let is_bound = |claim: &PersistentVolumeClaim| {
                    let phase = claim.status.as_ref().and_then(|it| it.phase.as_deref());
                    phase == Some("Bound")
                };
                self.get(is_bound).await
            }
        }
    }

    async fn get<K>(&self, is_bound: impl Fn(&K) -> bool) -> Option<Present>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let (api, name) = (self.run.api::<K>(), &self.name);
        let doing = format!("look at {} {name}", self.kind);
        let found = self.run.cluster().call_for(&doing, async || api.get(name).await).await.ok()?;
        let is_bound = found.as_ref().is_some_and(is_bound);
        Some(Present { uid: found.and_then(|it| it.uid()).unwrap_or_default(), is_bound })
    }
}

/// What events say of Pods that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// A node is being added for one of them.
    pub(super) adds_nodes: bool,
    /// Why none is added for the one that is meant.
    pub(super) adds_none: Option<String>,
    /// Why that one is not ready.
    pub(super) unhealthy: Option<String>,
}

/// What is said of the Pods with these uids, and of one of them.
pub(super) fn said(seen: &Seen<Event>, pods: &BTreeSet<String>, pod: &str) -> Said {
    let of = |reasons: &'static [&str]| {
        seen.here.values().filter(move |event| {
            event.reason.as_deref().is_some_and(|reason| reasons.contains(&reason))
        })
    };
    let uid = |event: &Event| event.involved_object.uid.clone().unwrap_or_default();
    // Cluster Autoscaler's, and Karpenter's. The first is not said of Pods for which there is room on a
    // node that comes for another.
    let mut added = of(&["TriggeredScaleUp", "Nominated"]);
    let last = |reasons: &'static [&str]| {
        let last = of(reasons).filter(|event| uid(event) == pod).max_by_key(|event| at(event))?;
        let words: Vec<&str> = last.message.as_deref()?.split_whitespace().collect();
        Some(quoted_to(&words.join(" "), MESSAGE))
    };
    Said {
        adds_nodes: added.any(|event| pods.contains(&uid(event))),
        adds_none: last(&["NotTriggerScaleUp"]),
        unhealthy: last(&["Unhealthy"]),
    }
}

/// When something was seen last.
fn at(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|it| it.last_observed_time.as_ref()).map(|it| it.0);
    let last = event.last_timestamp.as_ref().map(|it| it.0);
    series.or(last).or(event.event_time.as_ref().map(|it| it.0))
}

/// Reasons of warnings after which nothing comes of it by itself, or nothing for long.
const GRAVE: [&str; 3] = ["FailedCreate", "ProvisioningFailed", "FailedBinding"];

fn of_event(event: &Event) -> Option<Meaning> {
    let reason = event.reason.as_deref()?;
    // That a claim finds no volume is no warning in the eyes of the cluster.
    let is_warning = event.type_.as_deref() == Some("Warning") || reason == "FailedBinding";
    if !is_warning || !GRAVE.contains(&reason) {
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
    let line = format!("{kind} {name} {verb}: {} ({advice})", quoted_to(said, MESSAGE));
    // Whoever makes volumes comes again, unless it does not know of which class.
    let is_tried_again =
        reason == "ProvisioningFailed" && !said.starts_with("storageclass.storage.k8s.io");
    Some(if is_tried_again { Meaning::Doubtful(line) } else { Meaning::Hopeless(line) })
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

    fn hopeless(event: &Event) -> String {
        match of_event(event).unwrap() {
            Meaning::Hopeless(line) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn why_a_stateful_set_makes_no_pod_and_a_claim_does_not_bind() {
        let quota = event(
            "StatefulSet",
            "ttg-redis",
            "FailedCreate",
            "create Pod ttg-redis-0 in StatefulSet ttg-redis failed error: pods \"ttg-redis-0\" is forbidden: exceeded quota: small, requested: limits.cpu=500m, used: limits.cpu=2, limited: limits.cpu=2",
        );
        assert_snapshot!(hopeless(&quota), @r#"StatefulSet ttg-redis makes no Pod: create Pod ttg-redis-0 in StatefulSet ttg-redis failed error: pods "ttg-redis-0" is forbidden: exceeded quota: small, requested: limits.cpu=500m, used: limits.cpu=2, limited: limits.cpu=2 (run fewer workers, or ask for a larger ResourceQuota in the namespace)"#);
        let claim = event(
            "PersistentVolumeClaim",
            "data-ttg-redis-0",
            "ProvisioningFailed",
            "storageclass.storage.k8s.io \"fast\" not found",
        );
        assert_snapshot!(hopeless(&claim), @r#"PersistentVolumeClaim data-ttg-redis-0 does not bind: storageclass.storage.k8s.io "fast" not found (kubectl get storageclass shows what there is; --set broker.storage=ephemeral does without a volume)"#);
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

    #[test]
    fn whoever_makes_volumes_comes_again() {
        let said = "failed to provision volume with StorageClass \"fast\": rpc error: code = \
                    ResourceExhausted desc = datastore 'a' not found";
        let failed = event("PersistentVolumeClaim", "data", "ProvisioningFailed", said);
        assert!(matches!(of_event(&failed), Some(Meaning::Doubtful(_))));
        let unbound = "no persistent volumes available for this claim and no storage class is set";
        let failed = event("PersistentVolumeClaim", "data", "FailedBinding", unbound);
        assert!(matches!(of_event(&failed), Some(Meaning::Hopeless(_))));
    }

    #[test]
    fn what_is_said_of_a_pod_is_found_by_its_uid() {
        let of = |name: &str, uid: &str, reason: &str, message: &str, at: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {"name": name}, "reason": reason, "message": message, "lastTimestamp": at,
                "involvedObject": {"kind": "Pod", "name": "ttg-redis-0", "uid": uid},
            }))
            .unwrap()
        };
        let mut seen = Seen::nothing();
        let mut put = |event: Event| seen.here.insert(event.name_any(), Arc::new(event));
        put(of("a", "1", "Unhealthy", "Startup probe failed:\n LOADING", "2026-01-01T00:00:02Z"));
        put(of("b", "1", "Unhealthy", "Startup probe failed: refused", "2026-01-01T00:00:01Z"));
        put(of("c", "0", "Unhealthy", "of one before", "2026-01-01T00:00:03Z"));
        put(of("d", "0", "TriggeredScaleUp", "pod triggered scale-up", "2026-01-01T00:00:03Z"));
        let now = BTreeSet::from(["1".to_owned()]);
        let unhealthy = Some("Startup probe failed: LOADING".to_owned());
        assert_eq!(said(&seen, &now, "1"), Said { unhealthy, ..Said::default() });
        let both = BTreeSet::from(["0".to_owned(), "1".to_owned()]);
        assert!(said(&seen, &both, "2").adds_nodes, "a node comes for another Pod of the run");
    }
}
