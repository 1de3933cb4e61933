//! How often something happened to each chunk, small however many chunks there are: after a server was killed it
//! has happened to all that waited, and to nearly all of them as often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chunk_set::ChunkSet;

/// How often something happened, by chunk.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::queue::rabbitmq) struct ChunkCounts {
    /// Those to which it happened at least once, at least twice, and so on.
    at_least: Vec<ChunkSet>,
}

impl ChunkCounts {
    /// It has happened once more.
    pub(super) fn add(&mut self, chunk: u64) {
        if !self.at_least.iter_mut().any(|set| set.insert(chunk)) {
            let mut set = ChunkSet::default();
            if set.insert(chunk) {
                self.at_least.push(set);
            }
        }
    }

    pub(super) fn of(&self, chunk: u64) -> u64 {
        self.at_least.partition_point(|set| set.contains(chunk)) as u64
    }

    /// As if it had never happened to this one.
    pub(super) fn forget(&mut self, chunk: u64) {
        self.at_least.iter_mut().for_each(|set| set.remove(chunk));
        while self.at_least.pop_if(|set| set.len() == 0).is_some() {}
    }

    /// Those to which it has happened.
    pub(super) fn to_map(&self) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        for chunk in self.at_least.iter().flat_map(ChunkSet::iter) {
            *counts.entry(chunk).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::CHUNKS_BOUND;

    proptest! {
        #[test]
        fn they_count_as_a_map_does(
            steps in prop::collection::vec((0..6u64, prop::bool::weighted(0.9)), 0..100),
        ) {
            let (mut counts, mut map) = (ChunkCounts::default(), BTreeMap::new());
            for (chunk, is_more) in steps {
                if is_more {
                    counts.add(chunk);
                    *map.entry(chunk).or_default() += 1;
                } else {
                    counts.forget(chunk);
                    map.remove(&chunk);
                }
            }
            for chunk in 0..6 {
                prop_assert_eq!(counts.of(chunk), map.get(&chunk).copied().unwrap_or(0));
            }
            prop_assert_eq!(counts.to_map(), map.clone());
            prop_assert_eq!(counts.at_least.len() as u64, map.into_values().max().unwrap_or(0));
        }
    }

    #[test]
    fn what_no_sweep_can_have_is_not_counted() {
        let mut counts = ChunkCounts::default();
        counts.add(CHUNKS_BOUND);
        assert_eq!(counts, ChunkCounts::default());
    }
}
