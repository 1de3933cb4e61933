//! A set of chunks.

/// A set of chunks.
#[derive(Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    pub(super) count: u64,
}

/// No larger chunk index is kept in mind: what claims one is no chunk of a sweep.
pub(super) use crate::chunk::CHUNKS_BOUND as BOUND;

impl Bits {
    pub(super) fn has(&self, chunk: u64) -> bool {
        let (word, bit) = Self::place(chunk);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn set(&mut self, chunk: u64) {
        if chunk >= BOUND || self.has(chunk) {
            return;
        }
        let (word, bit) = Self::place(chunk);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
        self.count += 1;
    }

    pub(super) fn clear(&mut self, chunk: u64) {
        if self.has(chunk) {
            let (word, bit) = Self::place(chunk);
            self.words[word] &= !bit;
            self.count -= 1;
        }
    }

    /// All of them, the first one first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        let of = |(at, word): (u64, u64)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| 64 * at + bit)
        };
        (0..).zip(self.words.iter().copied()).flat_map(of)
    }

    fn place(chunk: u64) -> (usize, u64) {
        ((chunk / 64) as usize, 1 << (chunk % 64))
    }
}
