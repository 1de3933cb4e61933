//! Makes the kernel end a worker because its container is out of memory.
//!
//! This program is started inside the container as a second process of the same user. It tells the
//! kernel to choose the first one (anybody may raise `oom_score_adj` of what is theirs), and fills a
//! file in memory until the container's limit is reached. Those pages count against the container but
//! are no process's own, so this program stays small beside the worker's score. So it holds with both
//! versions of cgroups, without any privilege, and however small the worker is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::time::Duration;

use super::container::By;
use super::worker::{Ended, HELPER, WorkerContainer};
use crate::environment::Unavailable;

/// The hidden subcommand that takes the memory: `harness exhaust-memory`.
pub const SUBCOMMAND: &str = "exhaust-memory";

/// In memory, in every container of ours.
const FILE: &str = "/tmp/memory";

/// Bytes taken at a time.
const PIECE: usize = 1 << 20;

/// How long until the engine shows that a container has ended.
const GONE: Duration = Duration::from_secs(10);

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
    // The engine learns a moment later.
    let Ok(ended) = tokio::time::timeout(GONE, worker.wait()).await else {
        let said = filled.map_or_else(
            |error| error.to_string(),
            |it| format!("the helper ended with {} {}", it.code, it.said),
        );
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
    match fill() {
        Ok(()) => format!("the container may have {BOUND} bytes of memory and more"),
        Err(error) => format!("{FILE} cannot be filled: {error}"),
    }
}

fn fill() -> io::Result<()> {
    let mut file = File::create(FILE)?;
    let piece = vec![1; PIECE];
    for _ in 0..BOUND / PIECE {
        file.write_all(&piece)?;
    }
    fs::remove_file(FILE)
}
