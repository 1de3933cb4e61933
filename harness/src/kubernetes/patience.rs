//! Waiting for a cluster to do what it was told: with an end, and with an eye on what may be in the way.

use std::fmt::Debug;
use std::time::Duration;

use kube::Resource;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::standing;
use super::watch::{Seen, Watched};
use crate::environment::Unavailable;

/// How long anything may take at all: a large image comes slowly.
const START: Duration = Duration::from_secs(300);

/// What is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It may pass.
    Doubtful(String),
    /// It will not.
    Hopeless(String),
}

/// Waits until something is so, or an obstacle is there that does not pass.
pub(super) async fn until<K, T>(
    watched: &Watched<K>,
    mut so: impl FnMut(&Seen<K>) -> Option<Result<T, Obstacle>>,
) -> Result<T, Unavailable>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let end = Instant::now() + START;
    let mut doubt: Option<(String, Instant)> = None;
    loop {
        let told = doubt.as_ref().map(|(why, _)| why.clone());
        let decided = watched.until(|seen| match so(seen) {
            Some(Ok(value)) => Some(Ok(value)),
            Some(Err(Obstacle::Doubtful(why))) if told.as_ref() == Some(&why) => None,
            Some(Err(obstacle)) => Some(Err(Some(obstacle))),
            // A doubt that is gone.
            None => told.is_some().then_some(Err(None)),
        });
        let lasts =
            doubt.as_ref().map_or(end, |(why, since)| end.min(*since + standing::may_last(why)));
        let decided = tokio::select! {
            decided = timeout_at(end, decided) => decided,
            () = sleep_until(lasts), if doubt.is_some() => {
                return Err(Unavailable(told.unwrap_or_default()));
            }
        };
        match decided {
            Ok(Ok(Ok(value))) => return Ok(value),
            Ok(Ok(Err(Some(Obstacle::Hopeless(why))))) => return Err(Unavailable(why)),
            Ok(Ok(Err(Some(Obstacle::Doubtful(why))))) => {
                // Other words for it are no other doubt.
                let since = doubt.map_or_else(Instant::now, |(_, since)| since);
                doubt = Some((why, since));
            }
            Ok(Ok(Err(None))) => doubt = None,
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                return Err(Unavailable(format!(
                    "nothing has come of it within {START:?} (kubectl describe pod, and kubectl get \
                     events, in its namespace say more)"
                )));
            }
        }
    }
}
