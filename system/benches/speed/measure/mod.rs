//! What is measured. One more is a file here, and its line in [`chosen`].

mod latency;
mod recovery;
mod sweep;

use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::latency::TaskLatency;
use self::sweep::{NoOpSweep, Parts};
use crate::options::Options;
use crate::outcome::{Outcome, Unmeasured};
use crate::row::Row;
use crate::server::Backend::{self, Embedded, RabbitMq, Redis};

#[async_trait(?Send)]
pub(crate) trait Measure {
    /// What it is called, and can be asked for by.
    fn name(&self) -> String;

    /// What takes too long is given up, and its row says so.
    async fn measure(&self, deadline: &Deadline) -> Vec<Row>;
}

/// A sweep, and the rows of it that one may ask for.
const SWEEP: &str = "sweep submit chunks bare last late aggregate memory";
const RECOVERY: &str = "recovery";

/// How often a short sweep is measured: a single one says little, as a second of the machine does.
const SHORT_REPETITIONS: usize = 7;

/// What is asked for. What is quick comes first: a slow machine has most of it when the time is over.
pub(crate) fn chosen(options: &Options) -> Vec<Box<dyn Measure>> {
    let is_asked = |backend: Backend, what: &str, chunks: u64| {
        options.want(&format!("{} {what} {}", backend.name(), thousands(chunks)))
    };
    let mut chosen: Vec<Box<dyn Measure>> = Vec::new();
    for backend in [Redis, RabbitMq, Embedded] {
        if is_asked(backend, SWEEP, 10_000) {
            chosen.push(Box::new(NoOpSweep::of_rates(backend, 10_000, SHORT_REPETITIONS)));
        }
        if options.want(&format!("{} latency", backend.name())) {
            chosen.push(Box::new(TaskLatency { backend }));
        }
        if is_asked(backend, RECOVERY, 1_000) {
            chosen.push(Box::new(NoOpSweep::of_takeovers(backend, 1_000)));
        }
    }
    for backend in [Redis, Embedded, RabbitMq] {
        let chunks = 300_000;
        let parts = Parts {
            takeovers: is_asked(backend, RECOVERY, chunks),
            rates: is_asked(backend, SWEEP, chunks),
        };
        if parts.takeovers || parts.rates {
            chosen.push(Box::new(NoOpSweep { backend, chunks, repetitions: 1, parts }));
        }
    }
    chosen
}

/// When the whole benchmark is to be over.
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn at(moment: Instant) -> Self {
        Self(moment)
    }

    /// How long a step may take that is given up after `own`.
    pub(crate) fn bound(&self, own: Duration) -> Outcome<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Unmeasured::Skipped) } else { Ok(own.min(left)) }
    }
}

/// A number for people.
pub(crate) fn thousands(number: u64) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
