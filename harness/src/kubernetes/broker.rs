//! A broker on a cluster: a StatefulSet of one Pod, a Service, and a port of this machine that leads to
//! it. What is done to it is done so that nothing of the old Pod runs beside the new one: both have the
//! same volume.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use ttg_system::manifests::{self, BrokerSpec, Credentials, Engine, Storage};

use super::events::Warnings;
use super::fleet::PodFleet;
use super::forward::{Destination, Forward};
use super::hand::{self, Answer, Hand};
use super::logs::{Output, Sink};
use super::nodes;
use super::patience::{self, Obstacle};
use super::pod::short;
use super::run::Run;
use super::settings;
use super::standing::{self, Standing};
use super::watch::Watched;
use crate::environment::{Seen, Unavailable, greeting};
use crate::plan::{Backend, BrokerStorage, Fsync};

/// How long a broker that is asked to end may take, and one that is killed.
const END: Duration = Duration::from_secs(90);

/// How long a broker that is ready by its own account may take until it serves a client.
const GREETING: Duration = Duration::from_secs(60);

/// How often it is tried.
const LOOK: Duration = Duration::from_millis(50);

/// Name of the volume with its data, in the StatefulSet.
const DATA: &str = "data";

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
    /// Whether signals are to be sent to it.
    pub(crate) has_hand: bool,
    /// User and password, where it has any.
    pub(crate) credentials: Option<(String, String)>,
    /// File for its log.
    pub(crate) log: PathBuf,
}

/// The same, with its objects.
struct Wanted {
    spec: BrokerSpec,
    has_hand: bool,
    credentials: Option<(String, String)>,
    log: PathBuf,
}

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
    is_down: watch::Sender<bool>,
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
            labels: self.labels(None),
            peers: Vec::new(),
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
            is_down: watch::Sender::new(false),
            present: Mutex::new(Present { uid, restarts }),
            logs,
            wanted,
        })
    }

    /// Where it is reached from this machine.
    pub(crate) fn address(&self) -> SocketAddr {
        self.forward.address()
    }

    /// Its name in the cluster.
    pub(crate) fn host(&self) -> &str {
        &self.wanted.spec.name
    }

    /// User and password, where it has any.
    pub(crate) fn credentials(&self) -> Option<(&str, &str)> {
        self.wanted.credentials.as_ref().map(|(user, password)| (&**user, &**password))
    }

    /// The Secret that holds them.
    pub(crate) fn secret(&self) -> Option<&str> {
        match &self.wanted.spec.engine {
            Engine::RabbitMq { credentials, .. } => Some(&credentials.secret),
            Engine::Redis { .. } => None,
        }
    }

    /// For people, with what its storage permits to be lost.
    pub(crate) fn describe(&self) -> String {
        let storage = match &self.wanted.spec.storage {
            Storage::Claim { class: Some(class) } => format!("volume of StorageClass {class}"),
            Storage::Claim { class: None } => "volume of the default StorageClass".to_owned(),
            Storage::EmptyDir => {
                "data in an emptyDir, lost with its Pod (a restart of its container keeps it)"
                    .to_owned()
            }
        };
        let pod = self.pod_name();
        let node =
            self.pods.now().here.get(&pod).and_then(|it| standing::node(it).map(str::to_owned));
        let node = node.map_or_else(String::new, |node| format!(" on node {node}"));
        let (greeting, image) = (&self.greeting, &self.image);
        format!("{greeting} (image {image}) in pod {pod}{node}, {storage}")
    }

    /// The node that it is on.
    pub(crate) fn node(&self) -> Option<String> {
        let seen = self.pods.now();
        seen.here.get(&self.pod_name()).and_then(|it| standing::node(it).map(str::to_owned))
    }

    /// Waits for an end that no step caused, and says how it came.
    pub(crate) async fn ended(&self) -> String {
        loop {
            let _ = self.is_down.subscribe().wait_for(|down| !down).await;
            let before = self.present();
            let ended = self.pods.until(|seen| {
                let pod = seen.find(&before.uid).map(|(pod, is_here)| (Arc::clone(pod), is_here));
                let Some((pod, is_here)) = pod else { return Some("its pod is gone".to_owned()) };
                let (restarts, last) = standing::restarts(&pod, &self.container);
                match standing::of(&pod, &self.container) {
                    Standing::Ended(ended) => Some(ended.describe()),
                    _ if restarts > before.restarts => {
                        Some(last.map_or_else(|| "restarted".to_owned(), |last| last.describe()))
                    }
                    _ if is_here => None,
                    _ => Some("its pod was deleted".to_owned()),
                }
            });
            let how = ended.await.unwrap_or_else(|Unavailable(why)| why);
            if *self.is_down.borrow() || self.present() != before {
                continue;
            }
            return format!("pod {} of {} ended by itself: {how}", self.pod_name(), self.host());
        }
    }

    /// What happens to it from now on is meant to, until [`Self::start_again`].
    pub(crate) fn expect_end(&self) {
        self.is_down.send_replace(true);
    }

    /// Kills it (SIGKILL); with a volume of its own, the Pod goes too.
    pub(crate) async fn kill(&self) -> Seen {
        self.expect_end();
        let before = self.present();
        if self.keeps_its_pod() {
            self.send("KILL").await?;
            return self.ended_in_place(&before).await;
        }
        // It is stopped first: the kubelet sends a SIGTERM, which it is not to hear.
        self.send("STOP").await?;
        self.scale(0).await?;
        self.leaves(&before.uid).await?;
        self.send("KILL").await?;
        let how = self.gone(&before.uid).await?;
        Ok(format!("pod {} (uid {}) {how}, and is gone", self.pod_name(), short(&before.uid)))
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn stop(&self) -> Seen {
        self.expect_end();
        let before = self.present();
        if self.keeps_its_pod() {
            self.send("TERM").await?;
            return self.ended_in_place(&before).await;
        }
        self.scale(0).await?;
        let how = self.gone(&before.uid).await?;
        Ok(format!("pod {} (uid {}) {how}, and is gone", self.pod_name(), short(&before.uid)))
    }

    /// Waits until it serves again, with its data.
    pub(crate) async fn start_again(&self) -> Seen {
        let before = self.present();
        self.scale(1).await?;
        let (uid, restarts) =
            ready(&self.run, &self.pods, &self.wanted.spec, &self.container, Some(&before)).await?;
        greet(&self.wanted, self.address()).await?;
        *self.present.lock().expect("nobody panics with it") =
            Present { uid: uid.clone(), restarts };
        if let Some(hand) = &self.hand {
            hand.reach_out().await?;
        }
        self.is_down.send_replace(false);
        let pod = self.pod_name();
        Ok(match uid == before.uid {
            true => format!("pod {pod} runs, its container started {restarts} times again"),
            false => format!("pod {pod} runs, now uid {}", short(&uid)),
        })
    }

    /// Kills it, and deletes its data.
    pub(crate) async fn wipe(&self) -> Seen {
        let before = self.present();
        self.expect_end();
        self.send("STOP").await?;
        self.scale(0).await?;
        self.leaves(&before.uid).await?;
        self.send("KILL").await?;
        let how = self.gone(&before.uid).await?;
        if self.wanted.spec.storage != Storage::EmptyDir {
            let claim = format!("{DATA}-{}", self.pod_name());
            self.run.delete::<PersistentVolumeClaim>(&claim, None).await?;
            self.claim_gone(&claim).await?;
        }
        let old = short(&before.uid);
        Ok(format!("pod {} (uid {old}) {how}, and its data was deleted", self.pod_name()))
    }

    /// Asks for its Pod to be moved off its node, and waits until it has left.
    pub(crate) async fn evict(&self) -> Seen {
        self.expect_end();
        let before = self.present();
        nodes::evict(&self.run, &self.pod_name()).await?;
        let how = self.gone(&before.uid).await?;
        Ok(format!("pod {} (uid {}) was evicted: it {how}", self.pod_name(), short(&before.uid)))
    }

    /// Where it was evicted, waits until it serves again.
    pub(crate) async fn settle(&self) -> Seen {
        if !*self.is_down.borrow() {
            return Ok("it is where it was".to_owned());
        }
        self.start_again().await
    }

    /// Stops its processes.
    pub(crate) async fn pause(&self) -> Seen {
        let state = self.send("STOP").await?;
        let pod = self.pod_name();
        if state == 'T' {
            return Ok(format!("the processes of pod {pod} are stopped (state T)"));
        }
        Err(Unavailable(format!("the processes of pod {pod} did not stop (state {state})")))
    }

    /// Lets them go on.
    pub(crate) async fn resume(&self) -> Seen {
        self.send("CONT").await?;
        Ok(format!("the processes of pod {} go on", self.pod_name()))
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

    /// Waits until the API says that the Pod is to go: its container is not started again then.
    async fn leaves(&self, uid: &str) -> Result<(), Unavailable> {
        let leaves = self.pods.until(|seen| match seen.find(uid) {
            Some((pod, true)) => pod.metadata.deletion_timestamp.as_ref().map(|_| ()),
            _ => Some(()),
        });
        self.within(leaves, "was not deleted").await
    }

    /// Waits until the Pod is gone, and says how its container ended.
    async fn gone(&self, uid: &str) -> Seen {
        let gone = self.pods.until(|seen| match seen.find(uid) {
            Some((_, true)) => None,
            Some((pod, false)) => Some(match standing::of(pod, &self.container) {
                Standing::Ended(ended) => ended.describe(),
                _ => "ended, how was not seen".to_owned(),
            }),
            None => Some("ended, how was not seen".to_owned()),
        });
        self.within(gone, "does not go").await
    }

    async fn claim_gone(&self, claim: &str) -> Result<(), Unavailable> {
        let fields = format!("metadata.name={claim}");
        let api = self.run.api::<PersistentVolumeClaim>();
        let claims = Watched::start(self.run.cluster(), "volume claims", api, None, Some(&fields));
        let gone = claims.until(|seen| seen.here.is_empty().then_some(()));
        self.within(gone, "keeps its volume claim").await
    }

    /// Waits until the container was started again in its Pod, and says how it ended.
    async fn ended_in_place(&self, before: &Present) -> Seen {
        let ended = self.pods.until(|seen| {
            let (pod, is_here) = seen.find(&before.uid)?;
            let (restarts, last) = standing::restarts(pod, &self.container);
            match standing::of(pod, &self.container) {
                Standing::Ended(ended) => Some(ended.describe()),
                _ if restarts > before.restarts => Some(last?.describe()),
                _ if is_here => None,
                _ => Some("went with its pod".to_owned()),
            }
        });
        let how = self.within(ended, "does not end").await?;
        Ok(format!("the container of pod {} {how}", self.pod_name()))
    }

    async fn within<T>(
        &self,
        what: impl Future<Output = Result<T, Unavailable>>,
        else_it: &str,
    ) -> Result<T, Unavailable> {
        timeout(END, what).await.unwrap_or_else(|_| {
            Err(Unavailable(format!("pod {} {else_it} within {END:?}", self.pod_name())))
        })
    }
}

fn pod_of(spec: &BrokerSpec) -> String {
    format!("{}-0", spec.name)
}

/// Makes the objects; returns the name of the container.
async fn apply(run: &Run, wanted: &Wanted) -> Result<String, Unavailable> {
    let mut broker = manifests::broker(&wanted.spec);
    // An address that stays: the names of Pods that come back are answered wrongly by the cluster's
    // DNS for as long as it keeps answers, which is half a minute.
    if let Some(service) = &mut broker.service.spec {
        service.cluster_ip = None;
    }
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
async fn ready(
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
async fn greet(wanted: &Wanted, at: SocketAddr) -> Result<String, Unavailable> {
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
