//! A sweep from its submission to its report, by the real program in each role, of chunks that cost
//! nothing. All that is measured with so many chunks shares one submission: that of 300,000 takes as
//! long as the rest.

mod figures;
mod results;
mod run;

use async_trait::async_trait;

use self::figures::Figures;
use self::run::Run;
use super::{Deadline, Measure, thousands};
use crate::row::Unit::{self, Megabytes, Milliseconds, PerSecond};
use crate::row::{Row, Wanted};
use crate::server::Backend;

/// From so many chunks on a sweep is long.
const LONG: u64 = 100_000;

const SUBMIT: &str = "submit";
const COORDINATOR_MEMORY: &str = "memory, coordinator";
const FIRST_RESULT: &str = "first result after";
/// The bare loop's start and end do not count either.
const CHUNKS: &str = "chunks, first to last";
const CHUNKS_TO_EXIT: &str = "chunks, to the exit";
const LAST_LEAVES: &str = "last worker leaves";
const WORKER_MEMORY: &str = "memory, worker";
const LATE_LEAVES: &str = "late worker leaves";
const AGGREGATE: &str = "aggregate";
const AGGREGATOR_MEMORY: &str = "memory, aggregator";
const BARE: &str = "bare loop";
/// No row: chunks of the bare loop, where those of the sweep would have taken too long.
const FEWER_BARE_CHUNKS: &str = "chunks of the bare loop";

/// The rows of a sweep, in the order in which they are measured.
const ROWS: [(&str, Unit, Option<Wanted>); 10] = [
    (SUBMIT, PerSecond, None),
    (COORDINATOR_MEMORY, Megabytes, None),
    (FIRST_RESULT, Milliseconds, None),
    (CHUNKS, PerSecond, None),
    (CHUNKS_TO_EXIT, PerSecond, None),
    (LAST_LEAVES, Milliseconds, Some(Wanted::AtMost(1000.0))),
    (WORKER_MEMORY, Megabytes, None),
    (LATE_LEAVES, Milliseconds, Some(Wanted::AtMost(1000.0))),
    (AGGREGATE, PerSecond, None),
    (AGGREGATOR_MEMORY, Megabytes, None),
];

/// When workers are killed.
#[derive(Clone, Copy)]
struct Phase {
    median: &'static str,
    longest: &'static str,
}

const ALL_OPEN: Phase =
    Phase { median: "median of 10, all open", longest: "longest of 10, all open" };

/// Takeovers are to cost the same in a journal of any length.
const NEARLY_SETTLED: Phase =
    Phase { median: "median of 10, 95% settled", longest: "longest of 10, 95% settled" };

const LONGEST_TAKEOVER: Wanted = Wanted::AtMost(300.0);

pub(super) struct NoOpSweep {
    pub(super) backend: Backend,
    pub(super) chunks: u64,
    pub(super) repetitions: usize,
    pub(super) parts: Parts,
}

/// What is measured in the sweep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) takeovers: bool,
    pub(super) rates: bool,
}

#[async_trait(?Send)]
impl Measure for NoOpSweep {
    fn name(&self) -> String {
        let Parts { takeovers, rates } = self.parts;
        let titles =
            [takeovers.then(|| self.title("recovery")), rates.then(|| self.title("sweep"))];
        titles.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    async fn measure(&self, deadline: &Deadline) -> Vec<Row> {
        let mut figures = Run::figures_of(self, deadline).await;
        let mut rows = Vec::new();
        if self.parts.takeovers {
            rows.extend(self.takeover_rows(&mut figures));
        }
        if self.parts.rates {
            rows.extend(self.rate_rows(&mut figures));
        }
        rows
    }
}

impl NoOpSweep {
    pub(super) fn of_rates(backend: Backend, chunks: u64, repetitions: usize) -> Self {
        let parts = Parts { takeovers: false, rates: true };
        Self { backend, chunks, repetitions, parts }
    }

    pub(super) fn of_takeovers(backend: Backend, chunks: u64) -> Self {
        let parts = Parts { takeovers: true, rates: false };
        Self { backend, chunks, repetitions: 1, parts }
    }

    fn title(&self, what: &str) -> String {
        format!("{} {what} {}", self.backend.name(), thousands(self.chunks))
    }

    fn share_of_bare(&self) -> f64 {
        match self.backend {
            // What it was when the batches of both became as large.
            Backend::Embedded => 0.45,
            Backend::Redis | Backend::RabbitMq => 0.85,
        }
    }

    fn is_long(&self) -> bool {
        self.chunks >= LONG
    }

    fn takeover_rows(&self, figures: &mut Figures) -> Vec<Row> {
        let phases = if self.is_long() { &[ALL_OPEN, NEARLY_SETTLED][..] } else { &[ALL_OPEN] };
        let title = self.title("recovery");
        let mut row = |name| Row::new(format!("{title}: {name}"), Milliseconds, figures.take(name));
        let rows = phases.iter().flat_map(|Phase { median, longest }| {
            [row(median), row(longest).wanted(LONGEST_TAKEOVER)]
        });
        rows.collect()
    }

    fn rate_rows(&self, figures: &mut Figures) -> Vec<Row> {
        let title = self.title("sweep");
        // Of a long one, most workers are stopped before its end.
        let shown =
            ROWS.into_iter().filter(|(name, ..)| !(self.is_long() && *name == CHUNKS_TO_EXIT));
        let rows = shown.map(|(name, unit, wanted)| {
            let row = Row::new(format!("{title}: {name}"), unit, figures.take(name));
            let row = Row { wanted, ..row };
            if name != CHUNKS {
                return row;
            }
            let row = row.wanted(Wanted::OfBare(self.share_of_bare()));
            let fewer = figures.take(FEWER_BARE_CHUNKS).unwrap_or_default();
            let note =
                |chunks: &f64| format!("bare loop: over {} chunks", thousands(*chunks as u64));
            Row { note: fewer.first().map(note), ..row.beside(figures.take(BARE)) }
        });
        rows.collect()
    }
}
