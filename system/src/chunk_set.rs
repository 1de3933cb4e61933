//! A set of chunks, small in memory and on the wire however many there are.

use roaring::RoaringBitmap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::chunk::CHUNKS_BOUND;

/// A set of chunks, by index. No index from [`CHUNKS_BOUND`] on is kept: what claims one is no chunk of a
/// sweep.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ChunkSet(RoaringBitmap);

impl Serialize for ChunkSet {
    /// As runs where those are shorter: most of a sweep is settled in the order in which it was submitted.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut runs = self.0.clone();
        // `optimize` makes runs of what is shorter so, and leaves runs that are longer as they are.
        runs.remove_run_compression();
        runs.optimize();
        runs.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ChunkSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut set = RoaringBitmap::deserialize(deserializer)?;
        // Into a set of runs an insertion moves all behind it.
        set.remove_run_compression();
        Ok(Self(set))
    }
}

impl ChunkSet {
    pub(crate) fn contains(&self, chunk: u64) -> bool {
        index(chunk).is_some_and(|index| self.0.contains(index))
    }

    /// Whether it was not there before.
    pub(crate) fn insert(&mut self, chunk: u64) -> bool {
        index(chunk).is_some_and(|index| self.0.insert(index))
    }

    /// Inserts all from one on, below another.
    pub(crate) fn insert_range(&mut self, from: u64, below: u64) {
        if let (Some(from), Some(last)) = (index(from), below.checked_sub(1).and_then(index)) {
            self.0.insert_range(from..=last);
        }
    }

    pub(crate) fn remove(&mut self, chunk: u64) {
        if let Some(index) = index(chunk) {
            self.0.remove(index);
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// All of them, the first one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(u64::from)
    }
}

fn index(chunk: u64) -> Option<u32> {
    (chunk < CHUNKS_BOUND).then_some(chunk as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_sweep_can_have_is_not_kept() {
        let mut set = ChunkSet::default();
        for beyond in [CHUNKS_BOUND, u64::MAX, (1 << 32) + 7] {
            assert!(!set.insert(beyond));
        }
        set.insert_range(CHUNKS_BOUND, u64::MAX);
        assert_eq!((set.len(), set.contains(7)), (0, false));
        assert!(set.insert(CHUNKS_BOUND - 1) && !set.insert(CHUNKS_BOUND - 1));
        set.insert_range(3, 3);
        set.insert_range(3, 5);
        set.remove(CHUNKS_BOUND - 1);
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 4]);
    }
}
