//! One task at a time, where a worker waits for it: from its submission until its result can be read.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use ttg_system::chunk::Sweep;
use ttg_system::queue;

use super::{Deadline, Measure, ms};
use crate::outcome::{Outcome, Unmeasured, failed};
use crate::role::Role;
use crate::row::Unit::Milliseconds;
use crate::row::{Row, quantile};
use crate::server::{Backend, Server};

/// Tasks at most, within `BOUND`.
const TASKS: u64 = 300;
const BOUND: Duration = Duration::from_secs(5);

/// Fewer tasks have no 99th percentile.
const ENOUGH: usize = 100;

pub(super) struct TaskLatency {
    pub(super) backend: Backend,
}

#[async_trait(?Send)]
impl Measure for TaskLatency {
    fn name(&self) -> String {
        format!("{} latency", self.backend.name())
    }

    async fn measure(&self, deadline: &Deadline) -> Vec<Row> {
        let times = self.times(deadline).await;
        let rows = [("p50", 0.5), ("p99", 0.99)].map(|(what, share)| {
            let figure = times.clone().map(|times| quantile(&times, share).into_iter().collect());
            Row::new(format!("{}: one task, {what}", self.name()), Milliseconds, figure)
        });
        rows.into()
    }
}

impl TaskLatency {
    async fn times(&self, deadline: &Deadline) -> Outcome<Vec<f64>> {
        let server = Server::start(self.backend, deadline).await?;
        let broker = queue::connect(&server.settings, None).await.map_err(failed)?;
        // One more than are submitted: it is never complete, and its worker stays.
        let sweep = Sweep { start: 0, params: TASKS + 1, chunk_size: 1 };
        broker.open(&sweep, None).await.map_err(failed)?;
        let _worker = Role::worker(&server.settings, 1, 0)?;
        let bound = deadline.bound(BOUND)?;
        let begun = Instant::now();
        let (mut cursor, mut times) = (Default::default(), Vec::new());
        for index in 0..TASKS {
            if begun.elapsed() >= bound {
                break;
            }
            let submitted = Instant::now();
            broker.submit(&sweep, index, index + 1).await.map_err(failed)?;
            while broker
                .results(&mut cursor, 1, bound.saturating_sub(begun.elapsed()))
                .await
                .map_err(failed)?
                .is_empty()
            {
                if begun.elapsed() >= bound {
                    return Err(Unmeasured::TimedOut(bound));
                }
            }
            // The first has waited for the worker to start.
            if index > 0 {
                times.push(ms(submitted.elapsed()));
            }
        }
        if times.len() >= ENOUGH { Ok(times) } else { Err(Unmeasured::TimedOut(bound)) }
    }
}
