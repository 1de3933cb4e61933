//! Loops of the same commands as a worker's that keep no promise: what a broker is asked for at least. They do one
//! thing after another, so they are no ceiling: a worker may do two at once.

mod embedded;
mod rabbitmq;
mod redis;

use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use ttg_system::queue::Settings;
use ttg_system::worker::Batch;

use crate::outcome::{Outcome, Unmeasured, failed};
use crate::role::{Role, ended};
use crate::server::Backend;

/// Chunks per step, as many as a worker takes at most.
const BATCH: usize = Batch::MOST;

/// How long a loop may be at a step.
const STEP: Duration = Duration::from_secs(1);

/// A result as a message; its bytes are all that matters.
const RESULT: &str = r#"{"chunk_id":"00000000","worker_id":"worker-1","status":"completed",
"start_param":0,"end_param":1,"duration_seconds":0.0,"completed_at":"2026-01-02T03:04:05.678901Z",
"result_data":{"sum":13.0,"count":1,"min":13.0,"max":13.0,"avg":13.0}}"#;

/// What a loop did. It is timed as the workers are, without its start and its end.
#[derive(Default, Clone, Copy)]
struct Done {
    /// Chunks whose results the broker has confirmed.
    chunks: u64,
    /// When the first tasks had come.
    first: Option<Instant>,
    /// When the last results were stored; on RabbitMQ, as of the workers' there, when they were sent.
    last: Option<Instant>,
}

impl Done {
    fn tasks_came(&mut self) {
        self.first.get_or_insert_with(Instant::now);
    }

    fn results_went(&mut self) {
        self.last = Some(Instant::now());
    }

    fn and(self, other: Self) -> Self {
        let chunks = self.chunks + other.chunks;
        let first = self.first.into_iter().chain(other.first).min();
        Self { chunks, first, last: self.last.max(other.last) }
    }
}

/// Chunks per second of as many loops as there are workers, in a sweep that is submitted for them. Loops
/// that have left chunks behind have no rate: they stopped early, or something else has taken chunks.
pub(crate) async fn rate(
    backend: Backend,
    settings: &Settings,
    (chunks, loops): (u64, u32),
    bound: Duration,
) -> Outcome<f64> {
    let deadline = Instant::now() + bound;
    match backend {
        // The bare loop needs the tasks alone.
        Backend::RabbitMq => {
            let submitted = timeout(bound, rabbitmq::submit(&settings.address, chunks)).await;
            submitted.map_err(|_| Unmeasured::TimedOut(bound))??;
        }
        _ => _ = ended(Role::coordinator(settings, chunks)?, bound).await?,
    }
    let work = match backend {
        Backend::Embedded => embedded::work,
        Backend::Redis => redis::work,
        Backend::RabbitMq => rabbitmq::work,
    };
    let threads = (1..=loops).map(|number| {
        let address = settings.address.clone();
        spawn_blocking(move || work(&address, number, deadline))
    });
    let mut done = Done::default();
    for thread in threads.collect::<Vec<_>>() {
        // A loop looks at the deadline between its steps.
        let ended = timeout(deadline.saturating_duration_since(Instant::now()) + STEP, thread);
        done = done.and(ended.await.map_err(|_| Unmeasured::TimedOut(bound))?.map_err(failed)??);
    }
    if done.chunks == chunks
        && let (Some(first), Some(last)) = (done.first, done.last)
    {
        return Ok(chunks as f64 / last.duration_since(first).as_secs_f64());
    }
    if Instant::now() >= deadline {
        return Err(Unmeasured::TimedOut(bound));
    }
    Err(Unmeasured::Failed(format!("it stopped after {} of {chunks} chunks", done.chunks)))
}
