//! The network between Pods and brokers. Where it is to heed policies, a wire leads from each Pod to the
//! broker: a port of this machine that is the Pod's alone, and on which nothing passes while the Pod is
//! cut off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::objects::{has_labels, text};
use super::{Shared, store};

/// What the network makes of a NetworkPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Network {
    /// Nothing.
    #[default]
    Heedless,
    /// It keeps out new connections, and leaves alone what is open.
    NewOnly,
    /// Nothing passes any more.
    Strict,
}

/// A connection that leads to a broker.
#[derive(Debug, Default)]
struct Connection {
    /// Something of the Pod waits to be sent.
    waits: AtomicBool,
}

/// The connections of all Pods, by uid.
#[derive(Default)]
pub(super) struct Wires(Mutex<HashMap<String, Vec<Weak<Connection>>>>);

impl Wires {
    fn open(&self, uid: &str) -> Vec<Arc<Connection>> {
        let all = self.0.lock().unwrap();
        all.get(uid).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    fn add(&self, uid: &str) -> Arc<Connection> {
        let connection = Arc::new(Connection::default());
        let mut all = self.0.lock().unwrap();
        all.entry(uid.to_owned()).or_default().push(Arc::downgrade(&connection));
        connection
    }
}

/// Whether a connection to an address can be had from a Pod. Whoever is cut off and asks for a name waits
/// for its answer until nobody waits for his.
pub(super) async fn reach(shared: &Shared, uid: &str, address: &str) -> String {
    if is_cut(shared, uid) {
        if address.parse::<std::net::IpAddr>().is_err() {
            std::future::pending::<()>().await;
        }
        return "cut".to_owned();
    }
    let services = shared.store.lock().unwrap().all("services");
    let is_it = |it: &Value| {
        text(it, &["spec", "clusterIP"]) == address || text(it, &["metadata", "name"]) == address
    };
    if services.iter().any(is_it) { "reached" } else { "cut" }.to_owned()
}

/// What the tables of a Pod's connections would say.
pub(super) fn open(shared: &Shared, uid: &str) -> String {
    let row = |it: &Arc<Connection>| match it.waits.load(Ordering::Relaxed) {
        true => " 0000001A/00000003",
        false => " 00000000/00000000",
    };
    let rows: String = shared.wires.open(uid).iter().map(row).collect();
    format!("open{rows}")
}

/// Whether a policy that the network heeds lets nothing of a Pod out.
fn is_cut(shared: &Shared, uid: &str) -> bool {
    if *shared.network.lock().unwrap() == Network::Heedless {
        return false;
    }
    let store = shared.store.lock().unwrap();
    let pods = store.all("pods");
    let Some(pod) = pods.iter().find(|pod| text(pod, &["metadata", "uid"]) == uid) else {
        return false;
    };
    store
        .all("networkpolicies")
        .iter()
        .any(|policy| selects(policy, pod) && lets_nothing_out(policy))
}

/// Whether a policy is about a Pod.
pub(super) fn selects(policy: &Value, pod: &Value) -> bool {
    let labels = policy["spec"]["podSelector"]["matchLabels"].as_object();
    let pairs = labels.into_iter().flatten();
    let selector = pairs.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("")));
    store::place(policy).0 == store::place(pod).0
        && has_labels(pod, &selector.collect::<Vec<_>>().join(","))
}

fn lets_nothing_out(policy: &Value) -> bool {
    let spec = &policy["spec"];
    let types = spec["policyTypes"].as_array().into_iter().flatten();
    types.into_iter().any(|it| it == &json!("Egress"))
        && spec["egress"].as_array().is_none_or(Vec::is_empty)
}

/// Waits until a Pod is not cut off.
async fn passes(shared: &Shared, uid: &str) {
    let mut changed = shared.changed.subscribe();
    while is_cut(shared, uid) {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

/// A wire from a Pod to a broker's port; its own port.
pub(super) fn wire(shared: &Arc<Shared>, uid: &str, broker: u16) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (shared, uid) = (Arc::clone(shared), uid.to_owned());
    tokio::task::spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (shared, uid) = (Arc::clone(&shared), uid.clone());
            tokio::task::spawn_local(async move { connect(&shared, &uid, socket, broker).await });
        }
    });
    port
}

/// A connection: it is there once it may be.
async fn connect(shared: &Shared, uid: &str, from: TcpStream, broker: u16) {
    passes(shared, uid).await;
    let Ok(to) = TcpStream::connect(("127.0.0.1", broker)).await else { return };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let connection = shared.wires.add(uid);
    let ((from, back), (answers, to)) = (from.into_split(), to.into_split());
    // Whichever side ends it.
    tokio::select! {
        () = carry(shared, uid, from, to, Some(&connection)) => {}
        () = carry(shared, uid, answers, back, None) => {}
    }
}

async fn carry(
    shared: &Shared,
    uid: &str,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    asks: Option<&Arc<Connection>>,
) {
    let is_strict = *shared.network.lock().unwrap() == Network::Strict;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if is_strict && is_cut(shared, uid) {
            asks.inspect(|it| it.waits.store(true, Ordering::Relaxed));
            passes(shared, uid).await;
            asks.inspect(|it| it.waits.store(false, Ordering::Relaxed));
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
