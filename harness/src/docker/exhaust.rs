//! Makes the kernel end a worker because its container is out of memory.
//!
//! This program is started inside the container as a second process of the same user. It tells the
//! kernel to choose the first one (anybody may raise `oom_score_adj` of what is theirs; at 1000 the
//! worker weighs more than all that fits into the container), and takes memory until the container's
//! limit is reached. So it holds with both versions of cgroups, without any privilege, and however
//! small the worker is.

use std::fs;
use std::hint::black_box;
use std::time::Duration;

use tokio::time::timeout;

use super::container::By;
use super::worker::{Ended, HELPER, WorkerContainer};
use crate::environment::Unavailable;

/// The hidden subcommand that takes the memory: `harness exhaust-memory`.
pub const SUBCOMMAND: &str = "exhaust-memory";

/// Bytes taken at a time.
const PIECE: usize = 1 << 20;

/// How long the engine may take to learn of an end.
const END: Duration = Duration::from_secs(5);

/// More than this is no container's limit: it has none, and the machine is not to suffer.
const BOUND: usize = 2 << 30;

/// Fills the memory of a worker's container up to its limit, until the kernel kills the worker.
/// Returns what was seen.
///
/// # Errors
/// Where the container was started without a limit or without the helper, or the kernel killed
/// nobody.
pub async fn exhaust_memory(worker: &WorkerContainer) -> Result<String, Unavailable> {
    if !worker.can_be_exhausted() {
        let why = "the container has no memory limit, or not the helper that fills it";
        return Err(Unavailable(why.to_owned()));
    }
    let container = worker.container();
    let filled = container.execute(&[HELPER, SUBCOMMAND], By::Itself).await;
    // The engine may learn of the worker's end a little after the helper's.
    let Ok(ended) = timeout(END, worker.wait()).await else {
        let said = filled.map_or_else(|error| error.to_string(), |it| it.said);
        return Err(Unavailable(format!("the kernel did not end the worker: {said}")));
    };
    match ended? {
        Ended { code: 137, out_of_memory: true } => {
            let what = container.describe();
            Ok(format!("{what} was out of memory and exited with code 137"))
        }
        Ended { code, out_of_memory } => Err(Unavailable(format!(
            "the worker ended otherwise than meant: exit code {code}, out of memory: {out_of_memory}"
        ))),
    }
}

/// Is the helper. It returns only where it fails, and says why.
pub fn main() -> String {
    if let Err(error) = fs::write("/proc/1/oom_score_adj", "1000") {
        return format!("the kernel cannot be told to choose the worker: {error}");
    }
    let mut taken = Vec::new();
    while taken.len() * PIECE < BOUND {
        // Written to, for only then is it taken.
        taken.push(black_box(vec![1_u8; PIECE]));
    }
    format!("the container has {BOUND} bytes of memory and more")
}
