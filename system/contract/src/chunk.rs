//! How a range of parameters is cut into chunks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// No sweep has more chunks: everybody keeps a bit for each, and tasks cannot name more.
pub const CHUNKS_BOUND: u64 = 1 << 27;

/// No parameter is above: the kernel's arithmetic and the results' counts stay exact.
pub const PARAMS_BOUND: u64 = 1 << 53;

/// A half-open range of parameters with its index in the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Index of the chunk: the key of its commit.
    pub index: u64,
    /// First parameter.
    pub start: u64,
    /// One past the last parameter.
    pub end: u64,
}

impl Chunk {
    /// Number of parameters.
    pub fn params(&self) -> u64 {
        self.end - self.start
    }

    /// The id under which the chunk travels.
    pub fn id(&self) -> ChunkId {
        ChunkId(self.index)
    }
}

/// A chunk's index as it is written on the wire: zero-padded to five digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkId(pub u64);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05}", self.0)
    }
}

/// All parameters of one job and the size of its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// First parameter.
    pub start: u64,
    /// Number of parameters.
    pub params: u64,
    /// Parameters per chunk; the last chunk may be smaller.
    pub chunk_size: u64,
}

impl Sweep {
    /// Number of chunks.
    pub fn chunks(&self) -> u64 {
        self.params.div_ceil(self.chunk_size)
    }

    /// Whether there can be such a sweep: what somebody else has written may have any numbers.
    ///
    /// # Errors
    /// One fragment that says why not.
    pub fn check_bounds(&self) -> Result<(), String> {
        let Self { start, params, chunk_size } = *self;
        if chunk_size == 0 {
            Err("its chunks have no parameters".to_owned())
        } else if start.checked_add(params).is_none_or(|end| end > PARAMS_BOUND) {
            Err(format!("its last parameter is over {PARAMS_BOUND}"))
        } else if self.chunks() > CHUNKS_BOUND {
            Err(format!("it has {} chunks, and at most {CHUNKS_BOUND} are possible", self.chunks()))
        } else {
            Ok(())
        }
    }

    /// The chunk of this index, which must be below [`Sweep::chunks`].
    pub fn chunk(&self, index: u64) -> Chunk {
        let start = self.start + index * self.chunk_size;
        let end = (start + self.chunk_size).min(self.start + self.params);
        Chunk { index, start, end }
    }

    /// Whether a chunk is one of this sweep's, from its first parameter to its last.
    ///
    /// # Errors
    /// One fragment that says why not.
    pub fn check(&self, chunk: &Chunk) -> Result<(), String> {
        let own = self.chunk_if_any(chunk.index)?;
        if *chunk == own {
            Ok(())
        } else {
            let (id, Chunk { start, end, .. }) = (chunk.id(), *chunk);
            Err(format!(
                "chunk {id} is {start} to {end} there, and {} to {} in the sweep",
                own.start, own.end
            ))
        }
    }

    /// The chunk of this index, whoever has written it.
    ///
    /// # Errors
    /// One fragment that says that there is none.
    pub fn chunk_if_any(&self, index: u64) -> Result<Chunk, String> {
        let chunks = self.chunks();
        if index < chunks {
            Ok(self.chunk(index))
        } else {
            Err(format!("chunk_id {} is not below the sweep's {chunks} chunks", ChunkId(index)))
        }
    }

    /// The fixed share of worker `worker` of `workers` in static mode; the last takes the
    /// remainder.
    pub fn share(&self, worker: u64, workers: u64) -> (u64, u64) {
        let per_worker = self.params / workers;
        let start = self.start + worker * per_worker;
        let end = if worker + 1 == workers { self.start + self.params } else { start + per_worker };
        (start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_padded_to_five_digits_and_grow_beyond() {
        assert_eq!(ChunkId(42).to_string(), "00042");
        assert_eq!(ChunkId(1_234_567).to_string(), "1234567");
    }

    #[test]
    fn a_sweep_that_cannot_be_is_told_apart() {
        let check = |start, params, chunk_size| Sweep { start, params, chunk_size }.check_bounds();
        assert_eq!(check(0, CHUNKS_BOUND, 1), Ok(()));
        assert_eq!(check(PARAMS_BOUND - 10, 10, 1), Ok(()));
        for (start, params, chunk_size, why) in [
            (0, 10, 0, "no parameters"),
            (0, CHUNKS_BOUND + 1, 1, "134217729 chunks"),
            (PARAMS_BOUND, 1, 1, "last parameter"),
            (u64::MAX, u64::MAX, 1, "last parameter"),
        ] {
            let said = check(start, params, chunk_size).expect_err("it cannot be");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_chunk_that_is_cut_otherwise_is_none_of_the_sweep() {
        let sweep = Sweep { start: 5, params: 95, chunk_size: 10 };
        let check = |index, start, end| sweep.check(&Chunk { index, start, end });
        assert_eq!(check(3, 35, 45), Ok(()));
        assert_eq!(check(9, 95, 100), Ok(()));
        for (index, start, end) in [(3, 35, 44), (3, 30, 40), (9, 95, 105), (0, 0, 10)] {
            let said = check(index, start, end).expect_err("it is cut otherwise");
            assert!(said.contains(&format!("is {start} to {end} there")), "{said}");
        }
        let said = check(10, 105, 115).expect_err("there is none");
        assert_eq!(said, "chunk_id 00010 is not below the sweep's 10 chunks");
    }

    proptest! {
        #[test]
        fn chunks_cover_the_range_once_and_in_order(
            start in 0u64..1_000_000, params in 1u64..5_000, chunk_size in 1u64..700,
        ) {
            let sweep = Sweep { start, params, chunk_size };
            let mut next = start;
            for index in 0..sweep.chunks() {
                let chunk = sweep.chunk(index);
                prop_assert_eq!(chunk.start, next);
                prop_assert!(chunk.params() >= 1 && chunk.params() <= chunk_size);
                next = chunk.end;
            }
            prop_assert_eq!(next, start + params);
        }

        #[test]
        fn shares_cover_the_range_once_and_in_order(
            start in 0u64..1_000_000, params in 0u64..5_000, workers in 1u64..40,
        ) {
            let sweep = Sweep { start, params, chunk_size: 1 };
            let mut next = start;
            for worker in 0..workers {
                let (from, to) = sweep.share(worker, workers);
                prop_assert_eq!(from, next);
                prop_assert!(to >= from);
                next = to;
            }
            prop_assert_eq!(next, start + params);
        }
    }
}
