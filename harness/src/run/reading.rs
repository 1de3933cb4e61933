//! What is read at the broker once everybody has left, as far as it can be.

use std::time::Duration;

use tokio::time::timeout;
use ttg_system::queue::QueueError;

use super::interrupts::{Interrupts, cut_short};
use super::tap::Tap;
use super::{Stage, final_reading};
use crate::history::{EndReason, Event};

/// How long to read what a wiped broker has left.
const LEFT: Duration = Duration::from_secs(5);

/// Why the run has ended, as it is known by now, and whether the broker could be read so far.
pub(super) struct Reading {
    pub(super) why: EndReason,
    pub(super) is_whole: bool,
}

/// Reads the results and letters that are still to be seen, once everybody has left.
pub(super) async fn read_the_rest(
    stage: &Stage,
    tap: &mut Tap,
    interrupts: &mut Interrupts,
    why: EndReason,
) -> Reading {
    let Some(broker) = stage.broker.as_deref().filter(|_| why != EndReason::BrokerGone) else {
        return Reading { why, is_whole: false };
    };
    let read = async {
        if stage.plan.loses_with_broker() {
            // What a wiped broker held cannot be read any more, however long it is waited for.
            let _ = timeout(LEFT, tap.drain(stage, broker)).await;
            return Ok(());
        }
        tap.drain(stage, broker).await
    };
    let reading = unless_cut_short(stage, interrupts, why, read).await;
    // All had left because it was, and the broker was slow to say so.
    let is_complete = why == EndReason::WorkersGone && stage.standing().complete;
    if reading.is_whole && is_complete {
        return Reading { why: EndReason::Complete, ..reading };
    }
    reading
}

/// Reads everything once more.
pub(super) async fn read_at_the_end(
    stage: &Stage,
    tap: &mut Tap,
    interrupts: &mut Interrupts,
    why: EndReason,
) -> Reading {
    let Some(broker) = stage.broker.as_deref() else { return Reading { why, is_whole: false } };
    let read = final_reading::read(stage, &mut tap.observed, broker);
    unless_cut_short(stage, interrupts, why, read).await
}

/// Reads, and tells where that does not come to its end. A broker that is gone is waited for for long: not
/// by somebody who has had enough.
async fn unless_cut_short(
    stage: &Stage,
    interrupts: &mut Interrupts,
    why: EndReason,
    read: impl Future<Output = Result<(), QueueError>>,
) -> Reading {
    let lost = tokio::select! {
        read = read => read.err().map(|error| error.to_string()),
        cut = cut_short(stage, interrupts) => {
            if cut == EndReason::Crashed {
                return Reading { why: cut, is_whole: false };
            }
            Some("interrupted before it was read to the end".to_owned())
        }
    };
    let is_whole = lost.is_none();
    if let Some(reason) = lost {
        stage.emit(Event::BrokerLost { reason });
    }
    Reading { why, is_whole }
}
