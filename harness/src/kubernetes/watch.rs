//! Objects as they are now, kept up to date by one watch: whoever waits looks here, and asks nobody.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::trouble;
use crate::environment::Unavailable;

/// The server ends each watch after so many seconds: it bounds how long a connection may be dead
/// without anybody noticing.
pub(super) const WATCH_S: u32 = 30;

/// Pauses between attempts to watch again: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a watch has seen.
#[derive(Debug, Clone)]
pub(super) struct Seen<K> {
    /// By name.
    pub(super) here: BTreeMap<String, Arc<K>>,
    /// Those that are gone, as they were last, by uid.
    pub(super) gone: BTreeMap<String, Arc<K>>,
    /// All that there was at the beginning is known.
    is_listed: bool,
    /// Why nothing more will be seen.
    broken: Option<String>,
}

impl<K: Resource> Seen<K> {
    pub(super) fn nothing() -> Self {
        Self { here: BTreeMap::new(), gone: BTreeMap::new(), is_listed: false, broken: None }
    }

    fn put(&mut self, object: K) {
        let name = object.name_any();
        if let Some(before) = self.here.get(&name).filter(|it| it.uid() != object.uid()).cloned() {
            // Its end was missed; another has its name.
            self.bury(&before);
        }
        self.here.insert(name, Arc::new(object));
    }

    fn bury(&mut self, object: &Arc<K>) {
        if let Some(uid) = object.uid() {
            self.gone.insert(uid, Arc::clone(object));
        }
    }

    fn remove(&mut self, object: K) {
        let (name, uid) = (object.name_any(), object.uid());
        if self.here.get(&name).is_some_and(|it| it.uid() == uid) {
            self.here.remove(&name);
        }
        self.bury(&Arc::new(object));
    }

    /// All of these, and no others, are here.
    fn relist(&mut self, listed: Vec<K>) {
        let before = std::mem::take(&mut self.here);
        for object in listed {
            self.here.insert(object.name_any(), Arc::new(object));
        }
        for (name, object) in before {
            if self.here.get(&name).is_none_or(|now| now.uid() != object.uid()) {
                self.bury(&object);
            }
        }
        self.is_listed = true;
    }

    /// The object with this uid, there or gone; whether it is there.
    pub(super) fn find(&self, uid: &str) -> Option<(&Arc<K>, bool)> {
        let here = self.here.values().find(|it| it.meta().uid.as_deref() == Some(uid));
        here.map(|it| (it, true)).or_else(|| self.gone.get(uid).map(|it| (it, false)))
    }
}

/// Objects that are watched. The watch ends when this is dropped.
pub(super) struct Watched<K> {
    cluster: Cluster,
    /// Nothing, of objects that are in none.
    namespace: Option<String>,
    seen: watch::Receiver<Seen<K>>,
    task: JoinHandle<()>,
    events: OnceLock<Arc<Watched<v1::Event>>>,
}

impl<K> Drop for Watched<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K> Watched<K> {
    /// The cluster that they are on.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

impl<K> Watched<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Begins to watch what these selectors select.
    pub(super) fn start(
        cluster: &Cluster,
        what: &str,
        api: Api<K>,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Arc<Self> {
        let mut config = watcher::Config::default().timeout(WATCH_S);
        config.label_selector = labels.map(str::to_owned);
        config.field_selector = fields.map(str::to_owned);
        let (sender, seen) = watch::channel(Seen::nothing());
        let doing = format!("watch {what}");
        let (cluster, namespace) = (cluster.clone(), api.namespace().map(str::to_owned));
        let task = tokio::spawn(follow(cluster.clone(), doing, api, config, sender));
        Arc::new(Self { cluster, namespace, seen, task, events: OnceLock::new() })
    }

    /// What the cluster says of these objects, watched from the first time that somebody asks; nothing,
    /// of those that are in no namespace.
    pub(super) fn events(&self) -> Option<&Arc<Watched<v1::Event>>>
    where
        K: Resource<DynamicType = ()>,
    {
        let api = Api::namespaced(self.cluster.client(), self.namespace.as_deref()?);
        let kind = K::kind(&());
        let fields = format!("involvedObject.kind={kind}");
        let what = format!("events of {kind}s");
        let start = || Watched::start(&self.cluster, &what, api, None, Some(&fields));
        Some(self.events.get_or_init(start))
    }

    /// What there is now.
    pub(super) fn now(&self) -> watch::Ref<'_, Seen<K>> {
        self.seen.borrow()
    }

    /// Waits until something is so. Only the end of the watch, which says why, ends it otherwise.
    pub(super) async fn until<T>(
        &self,
        mut so: impl FnMut(&Seen<K>) -> Option<T>,
    ) -> Result<T, Unavailable> {
        let mut seen = self.seen.clone();
        loop {
            {
                let now = seen.borrow_and_update();
                if let Some(found) = Some(&*now).filter(|now| now.is_listed).and_then(&mut so) {
                    return Ok(found);
                }
                if let Some(why) = &now.broken {
                    return Err(Unavailable(why.clone()));
                }
            }
            if seen.changed().await.is_err() {
                return Err(Unavailable("the watch has ended".to_owned()));
            }
        }
    }
}

/// Watches until it is refused, or the server is away for longer than the cluster's patience.
async fn follow<K>(
    cluster: Cluster,
    doing: String,
    api: Api<K>,
    config: watcher::Config,
    to: watch::Sender<Seen<K>>,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut events = watcher(api.clone(), config.clone()).boxed();
    let mut listed = None;
    let mut troubles = Troubles::default();
    while let Some(event) = events.next().await {
        let error = match event {
            Ok(event) => {
                // That it begins to list says nothing of whether it can.
                if !matches!(event, Event::Init) {
                    troubles = Troubles::default();
                }
                take_in(event, &mut listed, &to);
                continue;
            }
            Err(error) => error,
        };
        if is_too_old(&error) {
            // What was missed is seen in a list. The library tries the same version for ever where
            // the server refuses it at once.
            events = watcher(api.clone(), config.clone()).boxed();
        }
        let line = line(&error, &cluster, &doing);
        let passes = passes(&error) && troubles.may_pass(cluster.patience());
        // Until the server answers again there is nothing to watch; this says so to people.
        let back = if passes { cluster.answers().await } else { Err(Unavailable(line)) };
        if let Err(Unavailable(why)) = back {
            to.send_modify(|seen| seen.broken = Some(why));
            return;
        }
        sleep(troubles.pause()).await;
    }
}

/// Troubles one after another, with nothing seen between them.
#[derive(Default)]
struct Troubles {
    since: Option<Instant>,
    count: u32,
}

impl Troubles {
    fn may_pass(&mut self, patience: Duration) -> bool {
        self.count += 1;
        // One now and then is not many in a row: each that was got over has a pause after it.
        let since = *self.since.get_or_insert_with(Instant::now);
        since.elapsed() < patience.max(PAUSE.1 * self.count)
    }

    fn pause(&self) -> Duration {
        (PAUSE.0 * 2u32.saturating_pow(self.count.min(10))).min(PAUSE.1)
    }
}

fn take_in<K: Resource>(event: Event<K>, listed: &mut Option<Vec<K>>, to: &watch::Sender<Seen<K>>) {
    match event {
        Event::Init => *listed = Some(Vec::new()),
        Event::InitApply(object) => listed.get_or_insert_default().push(object),
        Event::InitDone => {
            let all = listed.take().unwrap_or_default();
            to.send_modify(|seen| seen.relist(all));
        }
        Event::Apply(object) => to.send_modify(|seen| seen.put(object)),
        Event::Delete(object) => to.send_modify(|seen| seen.remove(object)),
    }
}

fn line(error: &watcher::Error, cluster: &Cluster, doing: &str) -> String {
    let place = cluster.place(doing);
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => trouble::of_call(error, &place),
        watcher::Error::WatchError(status) => {
            trouble::of_call(&kube::Error::Api(status.clone()), &place)
        }
        error => format!("cannot {doing}: {error}"),
    }
}

fn is_too_old(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) => status.code == 410,
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 410,
        _ => false,
    }
}

fn passes(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => {
            super::cluster::code(error) == Some(410) || trouble::passes(error)
        }
        watcher::Error::WatchError(status) => {
            status.code == 410 || trouble::passes(&kube::Error::Api(status.clone()))
        }
        // What cannot be read now may be the half of an answer that broke off.
        _ => true,
    }
}
