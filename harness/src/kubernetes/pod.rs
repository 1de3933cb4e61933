//! A process of the system in a Pod.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use rustix::process::Signal;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::hand::{self, Answer, Hand};
use super::logs::{Output, Sink};
use super::nodes;
use super::policy::{self, Cut};
use super::run::Run;
use super::standing::{self, Ended, Standing};
use super::watch::Watched;
use crate::environment::{Contained, Seen, Unavailable};

/// Characters of a uid that people are shown: enough to tell two apart.
const SHOWN: usize = 8;

/// How long an evicted Pod may take to leave: its grace period and more.
const EVICTED: Duration = Duration::from_secs(60);

/// A Pod whose first container is a process of the system.
pub struct PodProcess {
    run: Run,
    pods: Arc<Watched<Pod>>,
    name: String,
    uid: String,
    container: String,
    hand: Option<Hand>,
    /// Letter of the process's state, as far as it is known to us: nobody but we stops it.
    state: Cell<char>,
    /// We have it deleted with no grace.
    was_deleted: Cell<bool>,
    /// It is cut off by this.
    cut: RefCell<Option<Cut>>,
}

/// How a Pod's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodEnd {
    /// The container's end was seen.
    Seen {
        /// 128 and the signal's number if of a signal.
        code: i32,
    },
    /// It is gone, and nobody saw how; by us or by somebody else.
    Unseen {
        /// Whether it was by us, with a grace period of 0.
        by_us: bool,
    },
}

impl PodEnd {
    fn of(ended: &Ended) -> Self {
        match ended.was_seen() {
            true => Self::Seen { code: ended.code },
            false => Self::Unseen { by_us: false },
        }
    }
}

impl PodProcess {
    pub(super) fn of(run: &Run, pods: &Arc<Watched<Pod>>, pod: &Pod) -> Self {
        let name = pod.name_any();
        let containers = pod.spec.as_ref().map(|it| &it.containers[..]).unwrap_or_default();
        let container = containers.first().map(|it| it.name.clone()).unwrap_or_default();
        Self {
            hand: hand::is_in(pod).then(|| Hand::of(run, &name)),
            run: run.clone(),
            pods: Arc::clone(pods),
            uid: pod.uid().unwrap_or_default(),
            name,
            container,
            state: Cell::new('S'),
            was_deleted: Cell::new(false),
            cut: RefCell::default(),
        }
    }

    /// `pod worker-1 (uid 3f2a9c01)`.
    pub fn describe(&self) -> String {
        format!("pod {} (uid {})", self.name, short(&self.uid))
    }

    /// Name of the Pod.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The node that it is on, once it is on one.
    pub fn node(&self) -> Option<String> {
        let seen = self.pods.now();
        let (pod, _) = seen.find(&self.uid)?;
        standing::node(pod).map(str::to_owned)
    }

    /// Letter of the process's state: `T` where we have stopped it.
    pub fn state(&self) -> char {
        self.state.get()
    }

    /// Follows what it writes, until it has ended: all of it goes to `log` and to `pipe`, and what is
    /// JSON to `reports` too.
    pub(crate) fn follow_output(
        &self,
        log: PathBuf,
        reports: Option<PathBuf>,
        pipe: Option<DuplexStream>,
    ) -> JoinHandle<()> {
        let output = Output {
            run: self.run.clone(),
            pods: Arc::clone(&self.pods),
            pod: self.name.clone(),
            uid: self.uid.clone(),
            container: self.container.clone(),
        };
        tokio::spawn(async move {
            let log = Sink::append(&log).await;
            let reports = match reports {
                Some(path) => Sink::append(&path).await,
                None => None,
            };
            output.follow(&mut Sink { log, reports, pipe }).await;
        })
    }

    /// Makes ready to send signals, once there is somebody who can.
    pub(super) async fn prepare(&self) {
        let Some(hand) = &self.hand else { return };
        if wait_until_it_runs(&self.pods, &self.uid, hand::CONTAINER).await.is_ok() {
            // Else the first signal says what is wrong.
            let _ = hand.reach_out().await;
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> PodEnd {
        let ended = self.pods.until(|seen| match seen.find(&self.uid) {
            Some((pod, is_here)) => match standing::of(pod, &self.container) {
                Standing::Ended(ended) => Some(PodEnd::of(&ended)),
                _ if is_here => None,
                _ => Some(PodEnd::Unseen { by_us: self.was_deleted.get() }),
            },
            // It was made just now, and the watch has not come to it.
            None => None,
        });
        match ended.await {
            Ok(ended) => ended,
            // Of a cluster that is gone nothing is known.
            Err(_) => PodEnd::Unseen { by_us: false },
        }
    }

    /// Sends a signal (`STOP`) to its process.
    pub(crate) async fn send(&self, signal: &str) -> Result<(), Unavailable> {
        match self.hand()?.send(signal).await? {
            Answer::Sent { state, .. } => self.state.set(state),
            Answer::Gone => {
                return Err(Unavailable(format!("the process of pod {} is gone", self.name)));
            }
        }
        Ok(())
    }

    /// Whoever sends signals to it, and sees its connections.
    pub(super) fn hand(&self) -> Result<&Hand, Unavailable> {
        let none = || Unavailable(format!("pod {} was started without a hand", self.name));
        self.hand.as_ref().ok_or_else(none)
    }

    /// Labels of the Pod.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let seen = self.pods.now();
        seen.find(&self.uid).map(|(pod, _)| pod.labels().clone()).unwrap_or_default()
    }

    /// Whether signals can be sent to it.
    pub(crate) fn has_hand(&self) -> bool {
        self.hand.is_some()
    }

    /// Deletes the Pod, with this grace period in seconds.
    pub(crate) async fn delete(&self, grace: u32) -> Result<(), Unavailable> {
        if grace == 0 {
            self.was_deleted.set(true);
        }
        self.run.delete::<Pod>(&self.name, Some(grace)).await
    }
}

#[async_trait(?Send)]
impl Contained for PodProcess {
    async fn signal(&self, signal: Signal) -> bool {
        if !self.has_hand() {
            /// As long as Kubernetes gives a Pod.
            const GRACE: u32 = 30;
            return match signal {
                Signal::KILL => self.delete(0).await.is_ok(),
                Signal::TERM => self.delete(GRACE).await.is_ok(),
                _ => false,
            };
        }
        let name = match signal {
            Signal::KILL => "KILL",
            Signal::STOP => "STOP",
            Signal::CONT => "CONT",
            _ => "TERM",
        };
        self.send(name).await.is_ok()
    }

    fn describe(&self) -> Option<String> {
        Some(self.describe())
    }

    fn state(&self) -> Option<char> {
        Some(self.state())
    }

    fn node(&self) -> Option<String> {
        self.node()
    }

    async fn runs(&self) -> Result<(), Unavailable> {
        wait_until_it_runs(&self.pods, &self.uid, &self.container).await?;
        match &self.hand {
            // A fault may come soon.
            Some(_) => wait_until_it_runs(&self.pods, &self.uid, hand::CONTAINER).await,
            None => Ok(()),
        }
    }

    async fn delete(&self) -> Seen {
        self.delete(0).await?;
        Ok(format!("{} was deleted with no grace", self.describe()))
    }

    async fn cut_off(&self, host: &str, port: u16) -> Seen {
        let cut = policy::cut(&self.run, self, (host, port)).await?;
        let bites = tokio::select! {
            bites = cut.bites(self) => bites,
            _ = self.ended() => Err(Unavailable(format!(
                "{} had ended before it was seen whether it was cut off",
                self.describe()
            ))),
        };
        self.cut.replace(Some(cut));
        bites
    }

    async fn mend(&self) -> Result<(), Unavailable> {
        let cut = self.cut.take();
        match cut {
            Some(cut) => cut.mend().await,
            None => Ok(()),
        }
    }

    async fn evict(&self) -> Seen {
        let node = self.node().unwrap_or_default();
        nodes::evict(&self.run, &self.name).await?;
        let how = match timeout(EVICTED, self.ended()).await {
            Ok(PodEnd::Seen { code, .. }) => format!("it exited with code {code}"),
            Ok(PodEnd::Unseen { .. }) => "it is gone".to_owned(),
            Err(_) => return Err(Unavailable(format!("{} does not leave", self.describe()))),
        };
        Ok(format!("{} was evicted from node {node}: {how}", self.describe()))
    }

    async fn limit_cpu(&self, _: Option<f64>) -> Seen {
        Err(Unavailable("a Pod's share of a CPU stays as it is".to_owned()))
    }

    fn takes_turns(&self) -> bool {
        true
    }

    async fn exhaust_memory(&self) -> Seen {
        Err(Unavailable("nobody else's memory counts against a Pod's container".to_owned()))
    }
}

/// The beginning of a uid.
pub(super) fn short(uid: &str) -> &str {
    &uid[..uid.len().min(SHOWN)]
}

/// Waits until a container runs, or has run. A doubt that lasts is an error, as what is hopeless is at
/// once.
pub(super) async fn wait_until_it_runs(
    pods: &Watched<Pod>,
    uid: &str,
    container: &str,
) -> Result<(), Unavailable> {
    super::patience::until(pods, |seen| {
        let (pod, is_here) = seen.find(uid)?;
        match standing::of(pod, container) {
            Standing::Running | Standing::Ended(_) => Some(Ok(())),
            Standing::Hopeless(why) => Some(Err(super::patience::Obstacle::Hopeless(why))),
            Standing::Doubtful(why) => Some(Err(super::patience::Obstacle::Doubtful(why))),
            Standing::Starting if is_here => None,
            Standing::Starting => Some(Err(super::patience::Obstacle::Hopeless(format!(
                "pod {} was deleted before it ran",
                pod.name_any()
            )))),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_the_kubelet_made_up_is_not_ours() {
        let of = |reason: &str| PodEnd::of(&Ended { code: 137, reason: reason.to_owned() });
        assert_eq!(of("Error"), PodEnd::Seen { code: 137 });
        assert_eq!(of("ContainerStatusUnknown"), PodEnd::Unseen { by_us: false });
    }
}
