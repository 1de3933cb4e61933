//! A port of this machine that leads to a broker's Pod, whichever that is at the moment. Each connection
//! has a port-forward of its own; where one breaks, its client comes again, as after any broken
//! connection, and is led to the Pod that is there then.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::run::Run;
use super::standing::{self, Standing};
use super::watch::{Seen, Watched};
use crate::environment::Unavailable;

/// How long a connection waits for a Pod that runs; after that its client may come again.
const POD: Duration = Duration::from_secs(2);

/// How long the API server may take to open a way to it.
const OPEN: Duration = Duration::from_secs(10);

/// Where connections lead.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) run: Run,
    pub(super) pods: Arc<Watched<Pod>>,
    /// Name of the Pod, which those that come after it have too.
    pub(super) pod: String,
    pub(super) container: String,
    pub(super) port: u16,
}

/// The port. It is closed, with all its connections, when this is dropped.
pub(super) struct Forward {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forward {
    pub(super) async fn listen(to: Destination) -> Result<Self, Unavailable> {
        let no_port =
            |error: std::io::Error| Unavailable(format!("no free port on 127.0.0.1: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(no_port)?;
        let address = listener.local_addr().map_err(no_port)?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        connections.spawn(lead(client, to.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, task })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Leads a connection to the Pod, until one side ends it or the Pod goes. An error ends it too.
async fn lead(mut client: TcpStream, to: Destination) {
    let _ = client.set_nodelay(true);
    let Ok(Ok(uid)) = timeout(POD, to.pods.until(|seen| to.running(seen))).await else { return };
    let api: Api<Pod> = Api::namespaced(to.run.cluster().streams(), to.run.namespace());
    let Ok(Ok(mut forward)) = timeout(OPEN, api.portforward(&to.pod, &[to.port])).await else {
        return;
    };
    let Some(mut pod) = forward.take_stream(to.port) else { return };
    let refused = forward.take_error(to.port);
    let refused = async {
        let said = match refused {
            Some(refused) => refused.await,
            None => None,
        };
        if said.is_none() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut pod) => {}
        // The way stays open for a while although nobody is at its end any more.
        _ = to.pods.until(|seen| (to.running(seen).as_ref() != Some(&uid)).then_some(())) => {}
        () = refused => {}
    }
    forward.abort();
}

impl Destination {
    /// Uid of the Pod, and how often its container was started, if it runs.
    fn running(&self, seen: &Seen<Pod>) -> Option<(String, i32)> {
        let pod = seen.here.get(&self.pod)?;
        let runs = standing::of(pod, &self.container) == Standing::Running;
        runs.then(|| (pod.uid().unwrap_or_default(), standing::restarts(pod, &self.container).0))
    }
}
