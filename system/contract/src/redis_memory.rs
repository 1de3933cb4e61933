//! How much of Redis's memory a sweep takes: measured with Redis 7.0, over 200,000 chunks of the wire
//! contract's fields.

/// What a task takes, in bytes.
const TASK: u64 = 78;

/// What a result takes, in bytes.
const RESULT: u64 = 152;

/// How much more a chunk takes while it is with somebody, in bytes.
const PENDING: u64 = 200;

/// Bytes that so many tasks and results take of a sweep of so many chunks. Settled tasks that are `trimmed`
/// take none; that all are there at once cannot be known.
pub fn bytes(chunks: u64, tasks: u64, results: u64, trimmed: bool) -> u64 {
    // A bit each for those that are committed, and those that are dead.
    let bits = chunks / 4;
    let (tasks, results) = (tasks.saturating_mul(TASK), results.saturating_mul(RESULT));
    let all = if trimmed { tasks.max(results) } else { tasks.saturating_add(results) };
    all.saturating_add(bits)
}

/// Bytes that a whole sweep takes, while so many chunks are with workers.
pub fn whole(chunks: u64, pending: u64) -> u64 {
    bytes(chunks, chunks, chunks, false).saturating_add(pending * PENDING)
}
