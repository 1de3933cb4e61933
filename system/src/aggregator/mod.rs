//! The aggregator: combines the results of a sweep, each chunk once, the same to the last bit
//! whatever the order of arrival.

mod report;
mod tally;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::queue::{
    Cursor, Inspect, Progress, QueueError, RECONCILE_EVERY, Readable, Reconcile, Reconciled,
    Result, Stamped, SweepInfo,
};
use crate::wire::{self, TaskResult};
pub(crate) use report::grouped;
pub use report::{Refused, Report, Share, Stretch};
use tally::Tally;

/// Results per read.
const PAGE: usize = 1000;

/// How long to wait for results before looking whether the sweep is complete.
const LOOK: Duration = Duration::from_millis(250);

/// How long results are waited upon of which nobody says how large their sweep is.
const UNTOLD: Duration = Duration::from_secs(10);

/// When to stop collecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When every chunk is committed or dead. Silence is no end: workers may be dead or slow.
    Complete,
    /// When everything that is there has been read.
    Read,
    /// As `Complete`, but after this moment as `Read`.
    CompleteOr(Instant),
}

/// Collects until the end that is asked for, or until `stop` becomes true. Who waits for the sweep to be
/// complete has a `keeper` see to it that what is open stays in a queue.
///
/// # Errors
/// Where the broker cannot be reached any more, or no longer holds the sweep, or holds results and nothing
/// that says of how large a sweep.
pub async fn collect(
    broker: &dyn Inspect,
    keeper: Option<&dyn Reconcile>,
    until: Until,
    stop: &watch::Receiver<bool>,
) -> Result<Report> {
    let mut collection = Collection::new(broker, keeper, until);
    loop {
        let (page, is_last) = tokio::select! {
            biased;
            // Whoever asks does not wait for the broker, nor for what it still holds.
            () = asked(stop) => (Vec::new(), true),
            step = collection.step() => step?,
        };
        let read_all = page.is_empty();
        let Collection { tally, sweep, progress, .. } = &mut collection;
        for message in page {
            tally.add(message, sweep.as_ref().map(|info| &info.sweep));
        }
        if read_all && is_last {
            return Ok(std::mem::take(tally).report(progress, sweep.as_ref()));
        }
    }
}

/// Results that are being collected.
struct Collection<'a> {
    broker: &'a dyn Inspect,
    keeper: Option<&'a dyn Reconcile>,
    until: Until,
    tally: Tally,
    cursor: Cursor,
    sweep: Option<SweepInfo>,
    progress: Progress,
    begun: Instant,
    reconciled: Instant,
    /// Of a sweep of which nobody tells, everything was read.
    has_read_untold: bool,
}

/// Results that were read, and whether they are the last where there are none.
type Step = (Vec<Stamped<Readable<TaskResult>>>, bool);

impl<'a> Collection<'a> {
    fn new(broker: &'a dyn Inspect, keeper: Option<&'a dyn Reconcile>, until: Until) -> Self {
        Self {
            broker,
            keeper,
            until,
            tally: Tally::default(),
            cursor: Cursor::default(),
            sweep: None,
            progress: Progress::default(),
            begun: Instant::now(),
            reconciled: Instant::now(),
            has_read_untold: false,
        }
    }

    fn is_enough(&self) -> bool {
        match self.until {
            Until::Complete => false,
            Until::Read => true,
            Until::CompleteOr(moment) => Instant::now() >= moment,
        }
    }

    async fn step(&mut self) -> Result<Step> {
        let enough = self.is_enough();
        let (mut complete, mut over) = self.look(enough).await?;
        if over && !enough {
            // What was so a moment ago is no end.
            (complete, over) = self.look(true).await?;
        }
        let Some(sweep) = self.sweep.clone() else { return self.untold(enough).await };
        let wait = if enough || over { Duration::ZERO } else { LOOK };
        let page = self.broker.results(&mut self.cursor, PAGE, wait).await?;
        let mut is_last = enough || over;
        if page.is_empty() {
            let there = match is_last {
                true => self.broker.sweep().await?,
                false => self.broker.sweep_of_late().await?,
            };
            if !there.is_some_and(|there| there.is_still(&sweep)) {
                // What was read, and what comes, are of two sweeps.
                return Err(QueueError::SweepLost { place: "the broker".to_owned() });
            }
            is_last = self.reconcile(over, complete).await? && is_last;
        }
        Ok((page, is_last))
    }

    /// Looks where the sweep stands: whether it is complete, and whether it is over. Whoever waits looks
    /// again and again, and is content with what was so a moment ago.
    async fn look(&mut self, is_exact: bool) -> Result<(bool, bool)> {
        self.progress = match is_exact {
            true => self.broker.standing().await?,
            false => self.broker.standing_of_late().await?,
        };
        if self.sweep.is_none() {
            self.sweep = match is_exact {
                true => self.broker.sweep().await?,
                false => self.broker.sweep_of_late().await?,
            };
        }
        let Some(info) = &self.sweep else { return Ok((false, false)) };
        let complete = self.tally.is_complete(&self.progress, &info.sweep);
        // Where results are refused, the sweep is over without being complete.
        Ok((complete, complete || self.progress.is_complete()))
    }

    /// Sees to it that what is open stays in a queue. Whether nothing speaks against the end.
    async fn reconcile(&mut self, over: bool, complete: bool) -> Result<bool> {
        let Some(keeper) = self.keeper else { return Ok(true) };
        if !over && self.reconciled.elapsed() < RECONCILE_EVERY {
            return Ok(true);
        }
        let Reconciled { in_doubt, resubmitted, .. } = keeper.reconcile().await?;
        self.reconciled = Instant::now();
        if resubmitted > 0 {
            tracing::warn!(resubmitted, "chunks were in no queue, and are submitted again");
        }
        if over && !complete && (in_doubt || resubmitted > 0) {
            sleep(LOOK).await;
            return Ok(false);
        }
        Ok(true)
    }

    /// Of a sweep of which nobody tells, what is stored is read once, when there is no more time; it cannot
    /// be held against anything.
    async fn untold(&mut self, enough: bool) -> Result<Step> {
        if !enough {
            // It may be told no more.
            self.reconcile(false, false).await?;
            sleep(LOOK).await;
            let is_overdue = self.begun.elapsed() >= UNTOLD;
            let results = if is_overdue { self.broker.depths().await?.results } else { 0 };
            return if results > 0 {
                Err(QueueError::Untold { results })
            } else {
                Ok((vec![], false))
            };
        }
        let mut page = Vec::new();
        if !std::mem::replace(&mut self.has_read_untold, true) {
            let each = &mut |result: Readable<TaskResult>| {
                let at_ms = result.as_ref().ok().and_then(|it| wire::ms(&it.completed_at));
                page.push(Stamped { at_ms: at_ms.unwrap_or_default(), what: result });
            };
            self.broker.stored_results(each).await?;
        }
        Ok((page, true))
    }
}

async fn asked(stop: &watch::Receiver<bool>) {
    if stop.clone().wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask.
        std::future::pending::<()>().await;
    }
}
