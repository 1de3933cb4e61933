//! What the aggregator prints, while it runs: every report of it is told when it is seen.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::interval;
use ttg_contract::stats::Stats;

use super::{Stage, foreign_report};
use crate::environment::Process;
use crate::facts::AGGREGATOR;
use crate::history::{Event, SeenAggregate};

/// How often to look for more: a file says nothing by itself.
const LOOK: Duration = Duration::from_millis(50);

/// How much is read at a time, and the longest line that may be a report, in bytes.
const PAGE: u64 = 1 << 20;

/// How far its output was read.
#[derive(Default)]
pub(super) struct Reports {
    read: RefCell<u64>,
    /// A line that has not ended yet.
    begun: RefCell<Vec<u8>>,
}

/// A report as it is printed.
#[derive(Deserialize)]
struct Printed {
    complete: bool,
    chunks: u64,
    duplicates_removed: u64,
    dead_lettered: Option<u64>,
    result: Option<Stats>,
}

impl Reports {
    /// Tells what was printed since it was asked last.
    pub(super) fn tell_new(&self, stage: &Stage) {
        let mut read = self.read.borrow_mut();
        while let Some(more) = stage.fleet.output_from(AGGREGATOR, *read, PAGE)
            && !more.is_empty()
        {
            *read += more.len() as u64;
            let mut begun = self.begun.borrow_mut();
            begun.extend(more);
            let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lines: Vec<u8> = begun.drain(..whole).collect();
            lines.split(|byte| *byte == b'\n').for_each(|line| tell(stage, line));
            if begun.len() as u64 > PAGE {
                // No report is as long as that; what comes of it later cannot be read either.
                begun.clear();
            }
        }
    }

    /// Tells what is left of an aggregator that has ended. Half a line is the last word of one that was
    /// killed: no report.
    pub(super) fn tell_last(&self, stage: &Stage) {
        self.tell_new(stage);
        let last = std::mem::take(&mut *self.begun.borrow_mut());
        tell(stage, &last);
    }
}

/// Follows what this aggregator prints until it ends.
pub(super) async fn follow(stage: Rc<Stage>, process: Process) {
    let mut look = interval(LOOK);
    while process.exit().is_none() {
        look.tick().await;
        stage.reports.tell_new(&stage);
    }
}

/// Tells of a line if it is a report. A host that cannot tell its standard output from its log may have
/// written others.
fn tell(stage: &Stage, line: &[u8]) {
    if stage.plan.has_foreign_aggregator() {
        return foreign_report::read(line).into_iter().for_each(|report| stage.emit(report));
    }
    let Ok(printed) = serde_json::from_slice::<Printed>(line) else { return };
    let none = Stats { sum: 0.0, count: 0, min: 0.0, max: 0.0, avg: 0.0 };
    let Stats { sum, count, min, max, avg } = printed.result.unwrap_or(none);
    stage.emit(Event::Aggregate(SeenAggregate {
        chunks: printed.chunks,
        duplicates_removed: printed.duplicates_removed,
        dead_lettered: printed.dead_lettered,
        complete: printed.complete,
        count,
        sum,
        min,
        max,
        avg,
    }));
}
