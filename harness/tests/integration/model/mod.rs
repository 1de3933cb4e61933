//! A model of a cluster: a real HTTP server on the loopback with an API server's manners, three nodes
//! that exist in name only, and a real process of this machine for every container. The harness speaks
//! to it by its kubeconfig, as to any cluster; rules make it misbehave.

mod api;
mod containers;
mod controllers;
mod hand;
mod logs;
mod network;
mod objects;
mod pods;
mod rules;
mod server;
mod store;
mod streams;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

pub(crate) use network::Network;
pub(crate) use rules::{Answer, Rule};

use store::Store;

/// Nodes of the model.
pub(crate) const NODES: [&str; 3] = ["model-worker", "model-worker2", "model-worker3"];

/// What all parts of the model share.
pub(crate) struct Shared {
    store: Mutex<Store>,
    rules: Mutex<Vec<Rule>>,
    /// What was asked, as `GET /api/v1/pods`.
    asked: Mutex<Vec<String>>,
    /// Data of brokers.
    directory: PathBuf,
    containers: containers::Containers,
    changed: watch::Sender<u64>,
    /// The API server is to be away for so long.
    away: watch::Sender<Option<Duration>>,
    network: Mutex<Network>,
    wires: network::Wires,
}

/// A cluster that runs. It ends, with all its processes, when this is dropped.
pub(crate) struct ModelCluster {
    pub(crate) shared: Arc<Shared>,
    pub(crate) kubeconfig: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl ModelCluster {
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("ttg-model-").tempdir().unwrap();
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::with_nodes(&NODES)),
            rules: Mutex::default(),
            asked: Mutex::default(),
            directory: directory.path().to_owned(),
            containers: containers::Containers::default(),
            changed: watch::Sender::new(0),
            away: watch::Sender::new(None),
            network: Mutex::default(),
            wires: network::Wires::default(),
        });
        let (address_to, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let of_thread = Arc::clone(&shared);
        // Processes are tied to the thread that starts them.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(tokio::task::LocalSet::new().run_until(async move {
                let listener = server::listen().await;
                address_to.send(listener.local_addr().unwrap()).unwrap();
                tokio::task::spawn_local(controllers::run(Arc::clone(&of_thread)));
                tokio::select! {
                    () = server::serve(listener, of_thread) => {}
                    _ = stopped => {}
                }
            }));
        });
        let address = address.recv().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        fs::write(&kubeconfig, kubeconfig_for(address)).unwrap();
        let thread = Some(thread);
        Self { shared, kubeconfig, stop: Some(stop), thread, _directory: directory }
    }

    /// Misbehaves from now on as this says.
    pub(crate) fn rule(&self, rule: Rule) {
        self.shared.rules.lock().unwrap().push(rule);
    }

    /// From now on the network is like this, for Pods that are yet to come.
    pub(crate) fn network(&self, network: Network) {
        *self.shared.network.lock().unwrap() = network;
    }

    /// Names of the Pods that were ever selected by a policy whose name ends so.
    pub(crate) fn selected_by(&self, end: &str) -> Vec<String> {
        let store = self.shared.store.lock().unwrap();
        let policies = store.ever("networkpolicies");
        let policies: Vec<_> =
            policies.iter().filter(|it| store::place(it).1.ends_with(end)).collect();
        let pods = store.ever("pods");
        let is_selected = |pod: &&Value| policies.iter().any(|it| network::selects(it, pod));
        let names: BTreeSet<String> =
            pods.iter().filter(is_selected).map(|pod| store::place(pod).1).collect();
        names.into_iter().collect()
    }

    /// Every object of a resource, such as `pods`.
    pub(crate) fn all(&self, resource: &str) -> Vec<Value> {
        self.shared.store.lock().unwrap().all(resource)
    }

    /// Every object that ever was of a resource, as it was made.
    pub(crate) fn made(&self, resource: &str) -> Vec<Value> {
        let store = self.shared.store.lock().unwrap();
        let of = store.changes.iter().filter(|it| it.resource == resource && it.kind == "ADDED");
        of.map(|change| change.object.clone()).collect()
    }

    /// Puts an object there, as somebody else would.
    pub(crate) fn put(&self, resource: &str, object: Value) {
        self.shared.store.lock().unwrap().put(resource, object);
        self.shared.tell();
    }

    /// Nobody answers for this long; connections of before are gone.
    pub(crate) fn api_server_restarts(&self, takes: Duration) {
        self.shared.away.send_replace(Some(takes));
    }

    /// What was asked of the server so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for ModelCluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Something has changed: whoever watches, looks.
    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// What a request gets instead of its answer, if something.
    fn rule(&self, verb: &str, path: &str) -> Option<Answer> {
        let mut rules = self.rules.lock().unwrap();
        rules.iter_mut().find_map(|rule| rule.meets(verb, path).then(|| rule.answer.clone()))
    }
}

fn kubeconfig_for(server: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: model\n\
         clusters: [{{ name: model, cluster: {{ server: 'http://{server}' }} }}]\n\
         users: [{{ name: somebody, user: {{ token: not-secret }} }}]\n\
         contexts: [{{ name: model, context: {{ cluster: model, user: somebody }} }}]\n"
    )
}
