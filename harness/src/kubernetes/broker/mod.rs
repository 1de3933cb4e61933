//! A broker on a cluster: a StatefulSet of one Pod, a Service, and a port of this machine that leads to
//! it.

mod start;
mod steps;

use std::sync::{Arc, Mutex};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinHandle;
use ttg_manifests::{BrokerSpec, Engine, Storage};

pub(crate) use self::start::BrokerWanted;
use self::start::Wanted;
use super::forward::Forward;
use super::hand::{Answer, Hand};
use super::run::Run;
use super::watch::Watched;
use crate::environment::{Downtime, Unavailable};

/// Name of the volume with its data, in the StatefulSet.
const DATA: &str = "data";

/// A broker that runs.
pub struct BrokerPod {
    run: Run,
    pods: Arc<Watched<Pod>>,
    forward: Forward,
    wanted: Wanted,
    container: String,
    hand: Option<Hand>,
    greeting: String,
    image: String,
    /// A step has ended it, and may start it again.
    down: Downtime,
    /// The Pod that serves, or served last, and how often its container was started in it.
    present: Mutex<Present>,
    logs: JoinHandle<()>,
}

/// A life of the broker: it ends where one of these changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Present {
    uid: String,
    restarts: i32,
}

impl Drop for BrokerPod {
    fn drop(&mut self) {
        self.logs.abort();
    }
}

impl BrokerPod {
    /// Its name in the cluster.
    fn host(&self) -> &str {
        &self.wanted.spec.name
    }

    /// The Secret that holds them.
    pub(crate) fn secret(&self) -> Option<&str> {
        match &self.wanted.spec.engine {
            Engine::RabbitMq { credentials, .. } => Some(&credentials.secret),
            Engine::Redis { .. } => None,
        }
    }

    fn present(&self) -> Present {
        self.present.lock().expect("nobody panics with it").clone()
    }

    fn pod_name(&self) -> String {
        pod_of(&self.wanted.spec)
    }

    /// Its data would go with its Pod: only the container is ended.
    fn keeps_its_pod(&self) -> bool {
        self.wanted.spec.storage == Storage::EmptyDir
    }

    async fn send(&self, signal: &str) -> Result<char, Unavailable> {
        let Some(hand) = &self.hand else {
            return Err(Unavailable("the broker was started without a hand".to_owned()));
        };
        match hand.send(signal).await? {
            Answer::Sent { state, .. } => Ok(state),
            Answer::Gone => {
                Err(Unavailable(format!("the process of pod {} is gone", self.pod_name())))
            }
        }
    }

    async fn scale(&self, replicas: i32) -> Result<(), Unavailable> {
        let api: Api<StatefulSet> = self.run.api();
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        let name = self.host();
        let doing = format!("scale StatefulSet {name}");
        let scaled = self
            .run
            .cluster()
            .call(&doing, async || api.patch(name, &PatchParams::default(), &patch).await);
        scaled.await.map(drop)
    }
}

fn pod_of(spec: &BrokerSpec) -> String {
    format!("{}-0", spec.name)
}
