//! What people would do once a sweep has ended: put right what was wrong, and replay.

use std::collections::BTreeMap;
use std::rc::Rc;

use ttg_system::queue::{Broker, Cursor, QueueError};

use super::tap::Tap;
use super::{RunError, Stage};
use crate::environment::{Process, Unavailable};
use crate::history::Event;

/// Letters per read.
const PAGE: usize = 1000;

/// Replays every dead letter with the system's own command, and starts a worker with these
/// variables, and somebody to report. Where the broker cannot be read, the history says so.
pub(super) async fn replay(
    stage: &Rc<Stage>,
    tap: &mut Tap,
    broker: &dyn Broker,
    env: &BTreeMap<String, String>,
) -> Result<(), RunError> {
    let before = async {
        tap.drain(stage, broker).await?;
        count(broker).await
    };
    let Some(before) = known(stage, before.await) else { return Ok(()) };
    start(stage, "dead-letters", &BTreeMap::new()).await?.ended().await;
    let after = async {
        let letters = before.saturating_sub(count(broker).await?);
        stage.emit(Event::Replayed { letters });
        tap.forget_letters(stage);
        // The sweep is open again: that must be known before anybody waits for its end.
        tap.drain(stage, broker).await
    };
    let Some(()) = known(stage, after.await) else { return Ok(()) };
    stage.headway.waits_anew();
    start(stage, "worker-0", env).await?;
    if !stage.plan.aggregator.is_none() {
        start(stage, "aggregator", &BTreeMap::new()).await?;
    }
    Ok(())
}

fn known<T>(stage: &Stage, read: Result<T, QueueError>) -> Option<T> {
    read.map_err(|error| stage.emit(Event::BrokerLost { reason: error.to_string() })).ok()
}

async fn start(
    stage: &Rc<Stage>,
    name: &str,
    env: &BTreeMap<String, String>,
) -> Result<Process, RunError> {
    let cannot = |error| RunError::from(Unavailable(format!("cannot start {name}: {error}")));
    stage.start_with(name, env).await.map_err(cannot)
}

async fn count(broker: &dyn Broker) -> Result<u64, QueueError> {
    let (mut cursor, mut count) = (Cursor::default(), 0);
    loop {
        let page = broker.dead_letters(&mut cursor, PAGE).await?;
        if page.is_empty() {
            return Ok(count);
        }
        count += page.len() as u64;
    }
}
