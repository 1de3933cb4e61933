//! Computes a few chunks of a user's own program again, to compare them with what was reported.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use ttg_system::chunk::{Chunk, ChunkId};
use ttg_system::kernel::{Exec, Kernel as _};
use ttg_system::stats::Stats;

use super::Stage;
use crate::environment::guard;
use crate::history::{Event, SeenResult};
use crate::plan::Kernel;

/// How long this may take; what is not computed by then is not compared.
const LIMIT: Duration = Duration::from_secs(30);

/// Computes the plan's sample. A chunk on which the program fails here is left out: whether it
/// may fail is for the retries to say.
pub(super) async fn recompute(stage: &Stage) {
    let Kernel::Exec { command } = &stage.plan.sweep.kernel else { return };
    let Ok(command) = guard::tied(command) else { return };
    let mut kernel = Exec::new(command, None);
    let deadline = Instant::now() + LIMIT;
    for index in stage.plan.sample() {
        let (start, end) = stage.plan.sweep.chunk(index);
        let chunk = Chunk { index, start, end };
        let Ok(computed) = timeout_at(deadline, kernel.run(&chunk)).await else { return };
        let Ok(Stats { sum, count, min, max, avg }) = computed else { continue };
        stage.emit(Event::Recomputed(SeenResult {
            chunk_id: ChunkId(index).to_string(),
            range: None,
            worker: "harness".to_owned(),
            duration_s: 0.0,
            sum,
            count,
            min,
            max,
            avg,
        }));
    }
}
