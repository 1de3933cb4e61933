//! Waiting for a cluster to do what it was told: with an end, and with an eye on what may be in the way.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use super::events::{self, Said, VOLUME};
use super::standing::{About, Doubt};
use super::watch::{Seen, Watched};
use crate::environment::Unavailable;

/// How long anything may take at all: a large image comes slowly.
const START: Duration = Duration::from_secs(300);

/// How long anything is in the way before people are told what is waited for.
const TOLD: Duration = Duration::from_secs(10);

/// The same of a container that is not ready: RabbitMQ takes its time.
const TOLD_READY: Duration = Duration::from_secs(20);

/// How long a Pod may find no node where nobody adds one: an autoscaler looks every ten seconds, and
/// takes a few to decide.
const NO_NODE: Duration = Duration::from_secs(20);

/// How long a node that a cloud adds may take.
const NEW_NODE: Duration = Duration::from_secs(480);

/// How long an image is tried again: the kubelet does it after 10 s, 20 s and 40 s.
const IMAGE: Duration = Duration::from_secs(90);

/// How long a container may end again and again.
const RESTARTS: Duration = Duration::from_secs(30);

/// What is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It may pass.
    Doubtful(Doubt),
    /// It will not.
    Hopeless(String),
}

/// Waits until something is so, or an obstacle is there that does not pass.
pub(super) async fn until<K, T>(
    watched: &Watched<K>,
    mut so: impl FnMut(&Seen<K>) -> Option<Result<T, Obstacle>>,
) -> Result<T, Unavailable>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut wait = Wait::begin(watched);
    loop {
        let seen = wait.patience.seen.clone();
        let decided = watched.until(|now| match so(now) {
            Some(Ok(value)) => Some(Ok(value)),
            Some(Err(Obstacle::Hopeless(why))) => Some(Err(Err(why))),
            Some(Err(Obstacle::Doubtful(why))) if Some(&why) == seen.as_ref() => None,
            Some(Err(Obstacle::Doubtful(why))) => Some(Err(Ok(Some(why)))),
            // A doubt that is gone.
            None => seen.is_some().then_some(Err(Ok(None))),
        });
        tokio::select! {
            decided = decided => match decided? {
                Ok(value) => return Ok(value),
                Err(Ok(doubt)) => wait.take(doubt),
                Err(Err(why)) => return Err(Unavailable(why)),
            },
            at_its_end = wait.goes_on() => if at_its_end {
                return Err(Unavailable(wait.patience.give_up()));
            },
        }
    }
}

/// A wait: its patience, and what people are told of it.
struct Wait<'a, K> {
    watched: &'a Watched<K>,
    patience: Patience,
    events: Option<Arc<Watched<Event>>>,
    told: Option<String>,
}

impl<K> Drop for Wait<'_, K> {
    fn drop(&mut self) {
        self.be_silent();
    }
}

impl<K> Wait<'_, K> {
    fn be_silent(&mut self) {
        if let Some(told) = self.told.take() {
            self.watched.cluster().tell_no_more(&told);
        }
    }
}

impl<'a, K> Wait<'a, K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    fn begin(watched: &'a Watched<K>) -> Self {
        Self { watched, patience: Patience::from(Instant::now()), events: None, told: None }
    }

    fn take(&mut self, doubt: Option<Doubt>) {
        if doubt.is_none() {
            self.be_silent();
        }
        self.patience.take(doubt, Instant::now());
        if self.told.is_some() {
            self.tell();
        }
    }

    /// Waits until there is something to tell, or no patience is left: whether that is so.
    async fn goes_on(&mut self) -> bool {
        let patience = &self.patience;
        let events = self.events.clone();
        let news = async {
            let Some(events) = &events else { return std::future::pending().await };
            let news = events.until(|seen| Some(self.said(seen)).filter(|it| *it != patience.said));
            match news.await {
                Ok(said) => said,
                // Who may not read events is told less.
                Err(_) => std::future::pending().await,
            }
        };
        let said = tokio::select! {
            () = sleep_until(patience.end()) => return true,
            () = sleep_until(patience.is_told()),
                if patience.doubt.is_some() && self.told.is_none() => None,
            said = news => Some(said),
        };
        if self.events.is_none() {
            self.events = self.watched.events().cloned();
        }
        if let Some(said) = said {
            self.patience.learn(said);
        }
        self.tell();
        false
    }

    /// What events say of the Pods that are watched.
    fn said(&self, seen: &Seen<Event>) -> Said {
        let pods: BTreeSet<String> =
            self.watched.now().here.values().filter_map(|it| it.uid()).collect();
        let pod = self.patience.doubt.as_ref().map_or("", |doubt| &doubt.pod);
        events::said(seen, &pods, pod)
    }

    fn tell(&mut self) {
        let Some(line) = self.patience.line() else { return };
        self.watched.cluster().tell_instead(self.told.as_ref(), &line);
        self.told = Some(line);
    }
}

/// What is in the way, since when, and how long it may be.
struct Patience {
    begun: Instant,
    since: Instant,
    /// As it is told: with what was known before.
    doubt: Option<Doubt>,
    /// As it was seen last: whoever looks for another compares it with this.
    seen: Option<Doubt>,
    said: Said,
}

impl Patience {
    fn from(begun: Instant) -> Self {
        Self { begun, since: begun, doubt: None, seen: None, said: Said::default() }
    }

    /// Other words for a doubt are no other doubt.
    fn take(&mut self, doubt: Option<Doubt>, now: Instant) {
        let is_same = match (&self.doubt, &doubt) {
            (Some(before), Some(doubt)) => before.pod == doubt.pod && kind(before) == kind(doubt),
            _ => false,
        };
        if !is_same {
            self.since = now;
        }
        self.seen.clone_from(&doubt);
        self.doubt = match (self.doubt.take(), doubt) {
            // The reason was said before.
            (Some(before), Some(doubt)) if is_same && doubt.about == About::ImageAgain => {
                Some(Doubt { line: before.line, ..doubt })
            }
            (_, doubt) => doubt,
        };
    }

    fn learn(&mut self, said: Said) {
        self.said = said;
    }

    fn is_told(&self) -> Instant {
        let about = self.doubt.as_ref().map(|doubt| doubt.about);
        self.since + if about == Some(About::Ready) { TOLD_READY } else { TOLD }
    }

    fn end(&self) -> Instant {
        let last = self.begun + START;
        let Some(doubt) = &self.doubt else {
            // Once the node is there, the rest takes its time.
            return if self.said.adds_nodes { last + NEW_NODE } else { last };
        };
        match doubt.about {
            About::Node if self.said.adds_nodes => self.since + NEW_NODE,
            About::Node => last.min(self.since + NO_NODE),
            About::Volume => last.min(self.since + VOLUME),
            About::Image | About::ImageAgain => self.since + IMAGE,
            About::Restarts => self.since + RESTARTS,
            About::Ready => self.since + START,
        }
    }

    /// What is waited for.
    fn line(&self) -> Option<String> {
        let doubt = self.doubt.as_ref()?;
        let what = match doubt.about {
            About::Node if self.said.adds_nodes => "a node that the cluster adds",
            About::Node => "a node",
            About::Volume => "a volume",
            About::Image | About::ImageAgain => "an image",
            About::Restarts => "a container that stays",
            About::Ready => "a container that is ready",
        };
        Some(format!("{what} is waited for: {}", self.why(doubt)))
    }

    fn why(&self, doubt: &Doubt) -> String {
        let Doubt { about, line, .. } = doubt;
        match (&self.said.unhealthy, &self.said.adds_none) {
            (Some(said), _) if *about == About::Ready => format!("{line}: {said}"),
            (_, Some(said)) if *about == About::Node && !self.said.adds_nodes => {
                format!("{line}; the cluster adds none: {said}")
            }
            _ => line.clone(),
        }
    }

    /// Why no more is waited.
    fn give_up(&self) -> String {
        match &self.doubt {
            Some(doubt) if doubt.about == About::Ready => {
                format!("{} (within {START:?}; the broker's log says more)", self.why(doubt))
            }
            Some(doubt) if doubt.about == About::Node && self.said.adds_nodes => format!(
                "{}; the cluster was adding a node, which has not come within {NEW_NODE:?}",
                doubt.line
            ),
            Some(doubt) => self.why(doubt),
            None => format!(
                "nothing has come of it within {START:?} (kubectl describe pod, and kubectl get events, in \
                 its namespace say more)"
            ),
        }
    }
}

fn kind(doubt: &Doubt) -> About {
    if doubt.about == About::ImageAgain { About::Image } else { doubt.about }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn doubt(about: About, line: &str) -> Option<Doubt> {
        Some(Doubt { about, pod: "uid-1".to_owned(), line: line.to_owned() })
    }

    /// Of a wait that has this doubt from its beginning, in seconds: its end.
    fn ends(about: About, said: Said) -> (u64, Patience) {
        let begun = Instant::now();
        let mut patience = Patience::from(begun);
        patience.take(doubt(about, "pod a finds no node: 0/3"), begun);
        patience.learn(said);
        ((patience.end() - begun).as_secs(), patience)
    }

    #[test]
    fn a_pod_that_finds_no_node_is_given_up_unless_one_is_added() {
        let (end, patience) = ends(About::Node, Said::default());
        assert_eq!(end, 20);
        assert_snapshot!(patience.line().unwrap(), @"a node is waited for: pod a finds no node: 0/3");
        assert_snapshot!(patience.give_up(), @"pod a finds no node: 0/3");
        let max = "pod didn't trigger scale-up: 1 max node group size reached";
        let none = Said { adds_none: Some(max.to_owned()), ..Said::default() };
        assert_snapshot!(ends(About::Node, none).1.give_up(), @"pod a finds no node: 0/3; the cluster adds none: pod didn't trigger scale-up: 1 max node group size reached");
        let adds = Said { adds_nodes: true, ..Said::default() };
        let (end, mut patience) = ends(About::Node, adds);
        assert_eq!(end, 480);
        assert_snapshot!(patience.line().unwrap(), @"a node that the cluster adds is waited for: pod a finds no node: 0/3");
        assert_snapshot!(patience.give_up(), @"pod a finds no node: 0/3; the cluster was adding a node, which has not come within 480s");
        patience.take(None, patience.begun + Duration::from_secs(200));
        assert_eq!((patience.end() - patience.begun).as_secs(), 780, "the image takes its time");
    }

    #[test]
    fn why_an_image_was_not_pulled_is_not_forgotten() {
        let begun = Instant::now();
        let mut patience = Patience::from(begun);
        patience.take(doubt(About::Image, "image a: i/o timeout"), begun);
        let again = doubt(About::ImageAgain, "image a: ImagePullBackOff");
        patience.take(again.clone(), begun + TOLD);
        assert_eq!(patience.seen, again, "it is no news when it is seen again");
        assert_eq!((patience.end() - begun).as_secs(), 90, "it is the same doubt");
        assert_eq!(patience.give_up(), "image a: i/o timeout");
        patience.take(doubt(About::Image, "image a: bad gateway"), begun + 2 * TOLD);
        assert_eq!(patience.give_up(), "image a: bad gateway");
        patience.take(doubt(About::Node, "no node"), begun + 2 * TOLD);
        assert_eq!((patience.end() - begun).as_secs(), 40, "another doubt has its own time");
    }

    #[test]
    fn why_a_container_is_not_ready_is_told() {
        let said = "Startup probe failed: LOADING Redis is loading the dataset in memory";
        let said = Said { unhealthy: Some(said.to_owned()), ..Said::default() };
        let (end, patience) = ends(About::Ready, said);
        assert_eq!(end, 300);
        assert_snapshot!(patience.line().unwrap(), @"a container that is ready is waited for: pod a finds no node: 0/3: Startup probe failed: LOADING Redis is loading the dataset in memory");
        assert_snapshot!(patience.give_up(), @"pod a finds no node: 0/3: Startup probe failed: LOADING Redis is loading the dataset in memory (within 300s; the broker's log says more)");
    }

    #[test]
    fn other_doubts_have_their_time() {
        for (about, end) in [(About::Volume, 45), (About::Restarts, 30)] {
            assert_eq!(ends(about, Said::default()).0, end);
        }
    }
}
