//! A cluster that answers, and calls to it: each bounded in time, and repeated while the API server is
//! away.

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

use super::kubeconfig;
use super::trouble::{self, Place};
use crate::environment::Unavailable;

/// How long the API server may take to answer one call.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// How long it may be away in the middle of a run: one that restarts takes less than a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a connection on which the server ends every answer within [`super::watch::WATCH_S`] may be
/// silent.
pub(super) const SILENCE: Duration = Duration::from_secs(super::watch::WATCH_S as u64 + 10);

/// Pauses between calls while it is: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Versions that are supported, as minor numbers of Kubernetes 1.
const SUPPORTED: std::ops::RangeInclusive<u32> = 27..=36;

/// A cluster that answers. Clones are the same one.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    streams: Client,
    context: String,
    server: String,
    version: String,
    minor: u32,
    patience: Duration,
    waits: watch::Sender<Option<String>>,
}

impl Cluster {
    /// Asks the API server of this context of the kubeconfig, or of the current one, who it is.
    ///
    /// # Errors
    /// Where there is no such context, nobody answers, or whoever answers does not know us.
    pub async fn connect(context: Option<&str>) -> Result<Self, Unavailable> {
        let kubeconfig::Found { client, streams, context, server } =
            kubeconfig::find(context).await?;
        let asked = timeout(ANSWER, client.apiserver_version()).await;
        let version = match asked {
            Ok(Ok(version)) => version,
            Ok(Err(error)) => {
                return Err(Unavailable(trouble::of_access(&error, &context, &server)));
            }
            Err(_) => return Err(Unavailable(trouble::silent(&context, &server, ANSWER))),
        };
        let minor: Option<u32> = version.minor.trim_end_matches('+').parse().ok();
        if !minor.is_some_and(|minor| SUPPORTED.contains(&minor)) {
            crate::report::tell(format_args!(
                "warning: the cluster of context {context} is Kubernetes {}, and 1.{} to 1.{} are \
                 supported",
                version.git_version,
                SUPPORTED.start(),
                SUPPORTED.end()
            ));
        }
        Ok(Self {
            client,
            streams,
            context,
            server,
            version: version.git_version,
            minor: minor.unwrap_or(0),
            patience: PATIENCE,
            waits: watch::Sender::new(None),
        })
    }

    /// The same, with another patience while the API server is away.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Of Kubernetes, such as `v1.36.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The second number of that; 0 where it cannot be read.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// The context by which it was found.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// `cluster kind-ttg-sandbox (https://127.0.0.1:6443, Kubernetes v1.36.1)`.
    pub fn describe(&self) -> String {
        let Self { context, server, version, .. } = self;
        format!("cluster {context} ({server}, Kubernetes {version})")
    }

    /// What it waits for just now, if for something: one line, for people.
    pub fn waits_for(&self) -> watch::Receiver<Option<String>> {
        self.waits.subscribe()
    }

    /// For calls that are answered within a bounded time.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// For connections that may be silent for long.
    pub(super) fn streams(&self) -> Client {
        self.streams.clone()
    }

    /// Waits until the API server answers.
    pub(super) async fn answers(&self) -> Result<(), Unavailable> {
        let mut patience = Patience::of(self, "reach the API server");
        loop {
            let asked = timeout(ANSWER, self.client.apiserver_version()).await;
            match patience.judge(asked).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(failure) => return Err(Unavailable(failure.line)),
            }
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Says that the API server is waited for, whatever else is.
    fn tell(&self, what: String) {
        self.waits.send_if_modified(|told| {
            let is_new = told.as_ref() != Some(&what);
            *told = Some(what);
            is_new
        });
    }

    /// Says what else is waited for, in the place of `before`; false where something else is told: of a
    /// hundred Pods that wait for the same, one is enough.
    pub(super) fn tell_instead(&self, before: Option<&String>, what: &str) -> bool {
        self.waits.send_if_modified(|told| {
            let may = told.is_none() || told.as_ref() == before;
            if may {
                *told = Some(what.to_owned());
            }
            may
        })
    }

    /// Says that this is waited for no more.
    pub(super) fn tell_no_more(&self, what: &str) {
        self.waits.send_if_modified(|told| {
            let was_told = told.as_deref() == Some(what);
            if was_told {
                *told = None;
            }
            was_told
        });
    }

    pub(super) fn place<'a>(&'a self, doing: &'a str) -> Place<'a> {
        Place { doing, context: &self.context, server: &self.server }
    }

    /// Carries out a call that may be repeated, until it succeeds, is refused, or the patience is at
    /// its end. `doing` completes "cannot".
    pub(super) async fn call<T>(
        &self,
        doing: &str,
        step: impl AsyncFn() -> kube::Result<T>,
    ) -> Result<T, Unavailable> {
        self.attempt(doing, step).await.map_err(|failure| Unavailable(failure.line))
    }

    /// The same for a call by which something is looked for or removed: nothing, where it is not
    /// there.
    pub(super) async fn call_for<T>(
        &self,
        doing: &str,
        step: impl AsyncFn() -> kube::Result<T>,
    ) -> Result<Option<T>, Unavailable> {
        match self.attempt(doing, step).await {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.code == Some(404) => Ok(None),
            Err(failure) => Err(Unavailable(failure.line)),
        }
    }

    async fn attempt<T>(
        &self,
        doing: &str,
        step: impl AsyncFn() -> kube::Result<T>,
    ) -> Result<T, Failure> {
        let mut patience = Patience::of(self, doing);
        loop {
            match patience.judge(timeout(ANSWER, step()).await).await? {
                Some(value) => return Ok(value),
                None => continue,
            }
        }
    }
}

/// How long a call is repeated.
struct Patience<'a> {
    cluster: &'a Cluster,
    place: Place<'a>,
    deadline: Instant,
    pause: Duration,
    told: Option<String>,
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if let Some(told) = &self.told {
            self.cluster.tell_no_more(told);
        }
    }
}

impl<'a> Patience<'a> {
    fn of(cluster: &'a Cluster, doing: &'a str) -> Self {
        let deadline = Instant::now() + cluster.patience;
        Self { cluster, place: cluster.place(doing), deadline, pause: PAUSE.0, told: None }
    }

    /// The value, where there is one; nothing, where the call may be repeated now.
    async fn judge<T>(
        &mut self,
        outcome: Result<kube::Result<T>, Elapsed>,
    ) -> Result<Option<T>, Failure> {
        let (failure, passes, wished) = match outcome {
            Ok(Ok(value)) => return Ok(Some(value)),
            Ok(Err(error)) => {
                let line = trouble::of_call(&error, &self.place);
                let failure = Failure { line, code: code(&error) };
                (failure, trouble::passes(&error), trouble::wished_pause(&error))
            }
            Err(_) => (Failure { line: self.place.silent(ANSWER), code: None }, true, None),
        };
        let pause = wished.unwrap_or(self.pause);
        if !passes || Instant::now() + pause >= self.deadline {
            return Err(failure);
        }
        let told = format!("the API server is away, which is waited for: {}", failure.line);
        self.cluster.tell(told.clone());
        self.told = Some(told);
        sleep(pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(None)
    }
}

/// Why a call failed.
struct Failure {
    line: String,
    code: Option<u16>,
}

/// The status code of an answer that is an error.
pub(super) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
