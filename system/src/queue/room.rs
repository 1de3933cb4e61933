//! How much a sweep takes at its broker, and how much there is.

use ttg_contract::redis_memory;

use super::Progress;

/// What a broker has of what a sweep takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// In use, in bytes.
    pub used: u64,
    /// What it may use, in bytes.
    pub limit: u64,
    /// Beyond it, it refuses; otherwise the machine has no more.
    pub is_hard: bool,
    /// Near it, it throws data away.
    pub evicts: bool,
}

impl Room {
    /// Bytes that are left.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// Bytes of Redis's memory that a sweep of so many chunks takes, beyond what is there of it already.
pub fn redis_memory(chunks: u64, there: &Progress, trimmed: bool) -> u64 {
    let tasks = chunks.saturating_sub(there.submitted);
    let results = chunks.saturating_sub(there.committed + there.dead);
    redis_memory::bytes(chunks, tasks, results, trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_takes_about_230_bytes_and_what_is_there_takes_none() {
        let nothing = Progress::default();
        assert_eq!(redis_memory(1_000_000, &nothing, false), 230_250_000);
        assert_eq!(redis_memory(1_000_000, &nothing, true), 152_250_000);
        let submitted = Progress { submitted: 1_000_000, committed: 400_000, ..nothing };
        assert_eq!(redis_memory(1_000_000, &submitted, false), 600_000 * 152 + 250_000);
        assert!(redis_memory(u64::MAX, &nothing, false) > 0, "and nothing overflows");
    }

    #[test]
    fn what_is_over_the_limit_leaves_nothing() {
        let room = Room { used: 30, limit: 20, is_hard: true, evicts: false };
        assert_eq!(room.free(), 0);
    }
}
