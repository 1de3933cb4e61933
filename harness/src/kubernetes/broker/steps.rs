//! What is done to a broker on a cluster: so that nothing of the old Pod runs beside the new one, which
//! has the same volume.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use tokio::time::timeout;
use ttg_manifests::Storage;

use super::start::{greet, ready};
use super::{BrokerPod, DATA, Present};
use crate::environment::{Seen, Server, Unavailable};
use crate::kubernetes::nodes;
use crate::kubernetes::pod::short;
use crate::kubernetes::standing::{self, Ended, Standing};
use crate::kubernetes::watch::Watched;

/// How long a broker that is asked to end may take, and one that is killed.
const END: Duration = Duration::from_secs(90);

/// Exit code of a process that a SIGKILL has ended.
const KILLED: i32 = 137;

#[async_trait(?Send)]
impl Server for BrokerPod {
    fn describe(&self) -> String {
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

    fn address(&self) -> SocketAddr {
        self.forward.address()
    }

    fn inside(&self) -> Option<&str> {
        Some(self.host())
    }

    fn credentials(&self) -> Option<(&str, &str)> {
        self.wanted.credentials.as_ref().map(|(user, password)| (&**user, &**password))
    }

    fn node(&self) -> Option<String> {
        let seen = self.pods.now();
        seen.here.get(&self.pod_name()).and_then(|it| standing::node(it).map(str::to_owned))
    }

    async fn evict(&self) -> Seen {
        self.step(async |before| {
            nodes::evict(&self.run, &self.pod_name()).await?;
            let how = told(self.gone(&before.uid).await?);
            Ok(format!("{} was evicted: it {how}", self.named(before)))
        })
        .await
    }

    async fn settle(&self) -> Seen {
        self.start_again().await
    }

    async fn ended(&self) -> String {
        let ended = async || {
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
            (self.present() == before).then_some(how)
        };
        let how = self.down.unmeant(ended).await;
        format!("pod {} of {} ended by itself: {how}", self.pod_name(), self.host())
    }

    async fn kill(&self) -> Seen {
        self.step(async |before| {
            if self.keeps_its_pod() {
                self.send("KILL").await?;
                let how = killed(&self.pod_name(), self.ended_in_place(before).await?)?;
                return Ok(format!("the container of pod {} {how}", self.pod_name()));
            }
            let how = self.killed_with_its_pod(before).await?;
            Ok(format!("{} {how}, and is gone", self.named(before)))
        })
        .await
    }

    async fn stop(&self) -> Seen {
        self.step(async |before| {
            if self.keeps_its_pod() {
                self.send("TERM").await?;
                let how = told(self.ended_in_place(before).await?);
                return Ok(format!("the container of pod {} {how}", self.pod_name()));
            }
            self.scale(0).await?;
            let how = told(self.gone(&before.uid).await?);
            Ok(format!("{} {how}, and is gone", self.named(before)))
        })
        .await
    }

    async fn start_again(&self) -> Seen {
        if !self.down.is_on() {
            // The step has failed before it did anything that lasts.
            return Ok("it is where it was".to_owned());
        }
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
        self.down.end();
        let pod = self.pod_name();
        Ok(match uid == before.uid {
            true => format!("pod {pod} runs, its container started {restarts} times again"),
            false => format!("pod {pod} runs, now uid {}", short(&uid)),
        })
    }

    async fn wipe(&self) -> Seen {
        self.step(async |before| {
            let how = self.killed_with_its_pod(before).await?;
            if self.wanted.spec.storage != Storage::EmptyDir {
                let claim = format!("{DATA}-{}", self.pod_name());
                self.run.delete::<PersistentVolumeClaim>(&claim, None).await?;
                self.claim_gone(&claim).await?;
            }
            Ok(format!("{} {how}, and its data was deleted", self.named(before)))
        })
        .await
    }

    async fn pause(&self) -> Seen {
        self.halt().await?;
        Ok(format!("the processes of pod {} are stopped (state T)", self.pod_name()))
    }

    async fn resume(&self) -> Seen {
        self.send("CONT").await?;
        Ok(format!("the processes of pod {} go on", self.pod_name()))
    }
}

impl BrokerPod {
    /// Carries out a step that ends it: what happens to it is meant to, until [`Self::start_again`].
    /// One that fails is undone as far as may be.
    async fn step(&self, step: impl AsyncFnOnce(&Present) -> Seen) -> Seen {
        let before = self.present();
        self.down.begin();
        let done = step(&before).await;
        if done.is_err() {
            self.undo(&before).await;
        }
        done
    }

    /// Lets it go on. Where it is as before, nothing has happened; else another life of it comes, and is
    /// waited for by [`Self::start_again`].
    async fn undo(&self, before: &Present) {
        // What the step has met with is told already.
        if self.is_as(before) {
            let _ = self.send("CONT").await;
        }
        let _ = self.scale(1).await;
        if self.is_as(before) {
            self.down.end();
        }
    }

    fn is_as(&self, before: &Present) -> bool {
        let seen = self.pods.now();
        let Some((pod, true)) = seen.find(&before.uid) else { return false };
        pod.metadata.deletion_timestamp.is_none()
            && standing::of(pod, &self.container) == Standing::Running
            && standing::restarts(pod, &self.container).0 == before.restarts
    }

    /// `pod ttg-redis-0 (uid 3f2a9c01)`, of the life before.
    fn named(&self, before: &Present) -> String {
        format!("pod {} (uid {})", self.pod_name(), short(&before.uid))
    }

    /// Stops its processes.
    async fn halt(&self) -> Result<(), Unavailable> {
        let (state, pod) = (self.send("STOP").await?, self.pod_name());
        match state {
            'T' => Ok(()),
            _ => {
                Err(Unavailable(format!("the processes of pod {pod} did not stop (state {state})")))
            }
        }
    }

    /// Kills it with its Pod, and says how it ended.
    async fn killed_with_its_pod(&self, before: &Present) -> Seen {
        // It is stopped first: the kubelet sends a SIGTERM, which it is not to hear.
        self.halt().await?;
        self.scale(0).await?;
        self.leaves(&before.uid).await?;
        self.send("KILL").await?;
        killed(&self.pod_name(), self.gone(&before.uid).await?)
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
    async fn gone(&self, uid: &str) -> Result<Option<Ended>, Unavailable> {
        let gone = self.pods.until(|seen| match seen.find(uid) {
            Some((_, true)) => None,
            Some((pod, false)) => Some(match standing::of(pod, &self.container) {
                Standing::Ended(ended) => Some(ended),
                _ => None,
            }),
            None => Some(None),
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
    async fn ended_in_place(&self, before: &Present) -> Result<Option<Ended>, Unavailable> {
        let ended = self.pods.until(|seen| {
            let (pod, is_here) = seen.find(&before.uid)?;
            let (restarts, last) = standing::restarts(pod, &self.container);
            match standing::of(pod, &self.container) {
                Standing::Ended(ended) => Some(Some(ended)),
                _ if restarts > before.restarts => Some(last),
                _ if is_here => None,
                _ => Some(None),
            }
        });
        self.within(ended, "does not end").await
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

/// How a container ended.
fn told(ended: Option<Ended>) -> String {
    ended.map_or_else(|| "ended, and nobody saw how".to_owned(), |it| it.describe())
}

/// The same, where it must have been by a SIGKILL.
fn killed(pod: &str, ended: Option<Ended>) -> Seen {
    match &ended {
        Some(it) if it.was_seen() && it.code == KILLED => Ok(it.describe()),
        _ => Err(Unavailable(format!(
            "the container of pod {pod} {}, and not by SIGKILL (code {KILLED})",
            told(ended)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_to_end_by_a_sigkill_was_killed() {
        let killed = |code: i32, reason: &str| {
            killed("broker-0", Some(Ended { code, reason: reason.to_owned() }))
        };
        assert_eq!(killed(137, "Error").unwrap(), "exited with code 137");
        for (code, reason, seen) in [
            (0, "Completed", "exited with code 0"),
            (143, "Error", "exited with code 143"),
            (137, "ContainerStatusUnknown", "ended, and nobody saw how"),
        ] {
            let Err(Unavailable(why)) = killed(code, reason) else { panic!("{code} {reason}") };
            assert_eq!(
                why,
                format!("the container of pod broker-0 {seen}, and not by SIGKILL (code 137)")
            );
        }
        assert!(super::killed("broker-0", None).is_err());
    }
}
