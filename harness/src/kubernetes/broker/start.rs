//! How a broker on a cluster is started, and followed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use ttg_manifests::{BrokerSpec, Credentials, Engine};

use super::{BrokerPod, DATA, Present, pod_of};
use crate::environment::{Downtime, Unavailable, greeting};
use crate::kubernetes::events::Warnings;
use crate::kubernetes::fleet::PodFleet;
use crate::kubernetes::forward::{Destination, Forward};
use crate::kubernetes::hand::{self, Hand};
use crate::kubernetes::logs::{Output, Sink};
use crate::kubernetes::patience::{self, Obstacle};
use crate::kubernetes::run::Run;
use crate::kubernetes::settings;
use crate::kubernetes::standing::{self, Standing};
use crate::kubernetes::watch::Watched;
use crate::plan::{Backend, BrokerStorage, Fsync};

/// How long a broker that is ready by its own account may take until it serves a client.
const GREETING: Duration = Duration::from_secs(60);

/// How often it is tried.
const LOOK: Duration = Duration::from_millis(50);

/// A broker that is to be.
pub(crate) struct BrokerWanted {
    /// Redis or RabbitMQ.
    pub(crate) backend: Backend,
    /// Image.
    pub(crate) image: String,
    /// When Redis has what it confirms on its disk.
    pub(crate) fsync: Fsync,
    /// Where its data is, if the scenario says so.
    pub(crate) storage: Option<BrokerStorage>,
    /// Chunks of the sweep.
    pub(crate) chunks: u64,
    /// Whether signals are to be sent to it.
    pub(crate) has_hand: bool,
    /// User and password, where it has any.
    pub(crate) credentials: Option<(String, String)>,
    /// File for its log.
    pub(crate) log: PathBuf,
}

/// The same, with its objects.
pub(super) struct Wanted {
    pub(super) spec: BrokerSpec,
    pub(super) has_hand: bool,
    pub(super) credentials: Option<(String, String)>,
    pub(super) log: PathBuf,
}

impl PodFleet {
    /// Starts the run's broker: it serves a client then.
    pub(crate) async fn start_broker(&self, of: BrokerWanted) -> Result<BrokerPod, Unavailable> {
        let (name, engine) = match of.backend {
            Backend::RabbitMq => {
                let name = self.run.name("ttg-rabbitmq");
                let credentials =
                    Credentials { secret: name.clone(), content: of.credentials.clone() };
                (name, Engine::RabbitMq { credentials, trace: true })
            }
            _ => (self.run.name("ttg-redis"), Engine::Redis { fsync: of.fsync }),
        };
        let spec = BrokerSpec {
            name,
            namespace: None,
            engine,
            image: of.image,
            storage: settings::storage(self.run.cluster(), of.storage.as_ref()).await,
            chunks: of.chunks,
            labels: self.labels(None),
            peers: Vec::new(),
            pull_secret: None,
        };
        let BrokerWanted { has_hand, credentials, log, .. } = of;
        let wanted = Wanted { spec, has_hand, credentials, log };
        BrokerPod::start(&self.run, &self.pods, wanted).await
    }
}

impl BrokerPod {
    /// Makes its objects, and waits until it serves a client.
    async fn start(
        run: &Run,
        pods: &Arc<Watched<Pod>>,
        wanted: Wanted,
    ) -> Result<Self, Unavailable> {
        let image = wanted.spec.image.clone();
        let container = apply(run, &wanted).await?;
        let pod = pod_of(&wanted.spec);
        let (uid, restarts) = ready(run, pods, &wanted.spec, &container, None).await?;
        let destination = Destination {
            run: run.clone(),
            pods: Arc::clone(pods),
            pod: pod.clone(),
            container: container.clone(),
            port: wanted.spec.engine.port(),
        };
        let forward = Forward::listen(destination).await?;
        let greeting = greet(&wanted, forward.address()).await?;
        let hand = wanted.has_hand.then(|| Hand::of(run, &pod));
        if let Some(hand) = &hand {
            hand.reach_out().await?;
        }
        let logs = keep_logs(run, pods, &pod, &container, &wanted.log);
        Ok(Self {
            run: run.clone(),
            pods: Arc::clone(pods),
            forward,
            container,
            hand,
            greeting,
            image,
            down: Downtime::default(),
            present: Mutex::new(Present { uid, restarts }),
            logs,
            wanted,
        })
    }
}

/// Makes the objects; returns the name of the container.
async fn apply(run: &Run, wanted: &Wanted) -> Result<String, Unavailable> {
    let mut broker = ttg_manifests::broker(&wanted.spec);
    let pod = broker.stateful_set.spec.as_mut().and_then(|it| it.template.spec.as_mut());
    let mut container = String::new();
    if let Some(pod) = pod {
        if wanted.has_hand {
            hand::add(pod, &wanted.spec.image, hand::Ends::Never);
        }
        if let Some(first) = pod.containers.first_mut() {
            container.clone_from(&first.name);
            // Only the scenario ends it: the kubelet would end one that is stopped for a while.
            first.liveness_probe = None;
        }
    }
    if let Some(secret) = broker.secret {
        run.apply(secret).await?;
    }
    if let Some(config_map) = broker.config_map {
        run.apply(config_map).await?;
    }
    run.apply(broker.network_policy).await?;
    run.apply(broker.service).await?;
    run.apply(broker.stateful_set).await?;
    Ok(container)
}

/// Waits until the broker's Pod is ready, another one or its container started anew where there was one
/// before; returns its uid, and how often its container was started again.
pub(super) async fn ready(
    run: &Run,
    pods: &Watched<Pod>,
    spec: &BrokerSpec,
    container: &str,
    before: Option<&Present>,
) -> Result<(String, i32), Unavailable> {
    let name = pod_of(spec);
    let of_set = Warnings::about(run, "StatefulSet", &spec.name);
    let of_claim = Warnings::about(run, "PersistentVolumeClaim", &format!("{DATA}-{name}"));
    let ready = patience::until(pods, |seen| {
        let pod = seen.here.get(&name)?;
        let now = (pod.uid().unwrap_or_default(), standing::restarts(pod, container).0);
        let is_old = before.is_some_and(|it| it.uid == now.0 && it.restarts == now.1);
        if standing::is_ready(pod) && !is_old {
            return Some(Ok(now));
        }
        match standing::of(pod, container) {
            Standing::Hopeless(why) => Some(Err(Obstacle::Hopeless(why))),
            Standing::Doubtful(why) => Some(Err(Obstacle::Doubtful(why))),
            Standing::Running if !is_old => Some(Err(Obstacle::Doubtful(standing::not_ready(pod)))),
            _ => None,
        }
    });
    tokio::select! {
        ready = ready => ready,
        why = of_set.hopeless() => Err(Unavailable(why)),
        why = of_claim.hopeless() => Err(Unavailable(why)),
    }
}

/// Waits until it serves a client of this machine, and says what it calls itself.
pub(super) async fn greet(wanted: &Wanted, at: SocketAddr) -> Result<String, Unavailable> {
    let deadline = Instant::now() + GREETING;
    loop {
        let greeting = match (&wanted.spec.engine, &wanted.credentials) {
            (Engine::RabbitMq { .. }, Some((user, password))) => {
                greeting::rabbitmq(at, user, password).await
            }
            _ => greeting::redis(at).await,
        };
        match greeting {
            Some(greeting) => return Ok(greeting),
            None if Instant::now() >= deadline => {
                return Err(Unavailable(format!(
                    "pod {} is ready, but no client of this machine reaches it within {GREETING:?} (a \
                     port-forward of kubectl would show why)",
                    pod_of(&wanted.spec)
                )));
            }
            None => sleep(LOOK).await,
        }
    }
}

/// Follows what the broker writes, whichever Pod it is in.
fn keep_logs(
    run: &Run,
    pods: &Arc<Watched<Pod>>,
    pod: &str,
    container: &str,
    log: &Path,
) -> JoinHandle<()> {
    let (run, pods, log) = (run.clone(), Arc::clone(pods), log.to_owned());
    let (pod, container) = (pod.to_owned(), container.to_owned());
    tokio::spawn(async move {
        let mut before: Option<(String, i32)> = None;
        loop {
            let next = pods.until(|seen| {
                let found = seen.here.get(&pod)?;
                let now = (found.uid()?, standing::restarts(found, &container).0);
                (before.as_ref() != Some(&now)).then_some(now)
            });
            let Ok(now) = next.await else { return };
            let output = Output {
                run: run.clone(),
                pods: Arc::clone(&pods),
                pod: pod.clone(),
                uid: now.0.clone(),
                container: container.clone(),
            };
            let mut sink = Sink { log: Sink::append(&log).await, ..Sink::default() };
            output.follow(&mut sink).await;
            before = Some(now);
        }
    })
}
