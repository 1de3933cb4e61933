//! What is done to a broker on a cluster: so that nothing of the old Pod runs beside the new one, which
//! has the same volume.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use tokio::time::timeout;
use ttg_system::manifests::Storage;

use super::start::{greet, ready};
use super::{BrokerPod, DATA, Present};
use crate::environment::{Seen, Server, Unavailable};
use crate::kubernetes::nodes;
use crate::kubernetes::pod::short;
use crate::kubernetes::standing::{self, Standing};
use crate::kubernetes::watch::Watched;

/// How long a broker that is asked to end may take, and one that is killed.
const END: Duration = Duration::from_secs(90);

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
        self.expect_end();
        let before = self.present();
        nodes::evict(&self.run, &self.pod_name()).await?;
        let how = self.gone(&before.uid).await?;
        Ok(format!("pod {} (uid {}) was evicted: it {how}", self.pod_name(), short(&before.uid)))
    }

    async fn settle(&self) -> Seen {
        if !*self.is_down.borrow() {
            return Ok("it is where it was".to_owned());
        }
        self.start_again().await
    }

    async fn ended(&self) -> String {
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

    async fn kill(&self) -> Seen {
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

    async fn stop(&self) -> Seen {
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

    async fn start_again(&self) -> Seen {
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

    async fn wipe(&self) -> Seen {
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

    async fn pause(&self) -> Seen {
        let state = self.send("STOP").await?;
        let pod = self.pod_name();
        if state == 'T' {
            return Ok(format!("the processes of pod {pod} are stopped (state T)"));
        }
        Err(Unavailable(format!("the processes of pod {pod} did not stop (state {state})")))
    }

    async fn resume(&self) -> Seen {
        self.send("CONT").await?;
        Ok(format!("the processes of pod {} go on", self.pod_name()))
    }
}

impl BrokerPod {
    /// What happens to it from now on is meant to, until [`Self::start_again`].
    fn expect_end(&self) {
        self.is_down.send_replace(true);
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
