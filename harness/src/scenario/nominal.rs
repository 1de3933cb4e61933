//! What a sweep takes if nothing goes wrong and nothing costs anything.

use std::time::Duration;

use super::units::POSSIBLE;
use crate::plan::{Backend, Sweep};

/// Seconds per parameter, where the kernel has a nominal duration.
fn seconds_per_param(sweep: &Sweep) -> Option<f64> {
    sweep.kernel.work_ms().map(|work_ms| work_ms / 1e3)
}

/// Seconds per full chunk.
pub(super) fn chunk_s(sweep: &Sweep) -> Option<f64> {
    let params = sweep.chunk_size.min(sweep.params());
    Some(params as f64 * seconds_per_param(sweep)?)
}

/// Seconds of the shortest schedule on this many workers.
pub(super) fn ideal_s(sweep: &Sweep, backend: Backend, workers: u32) -> Option<f64> {
    let workers = u64::from(workers.max(1));
    let (params, size) = (sweep.params(), sweep.chunk_size);
    let params_of_the_busiest = match backend {
        Backend::Static => params.div_ceil(workers),
        // Whole chunks round by round, and the remainder for one who has the fewest.
        Backend::Embedded | Backend::Redis | Backend::RabbitMq => {
            let full = params / size;
            let rounds = full.div_ceil(workers) * size;
            rounds.max((full / workers) * size + params % size)
        }
    };
    Some(params_of_the_busiest as f64 * seconds_per_param(sweep)?)
}

/// As a time that a plan can hold, to the millisecond and never beyond what scenarios may say.
pub(super) fn duration(seconds: f64) -> Duration {
    let longest = POSSIBLE.end().as_secs_f64();
    Duration::from_millis((seconds.min(longest) * 1e3).round() as u64)
}
