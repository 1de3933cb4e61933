//! A set of chunks.

/// A set of chunks.
#[derive(Default)]
pub(super) struct Bits {
    words: Vec<u64>,
    pub(super) count: u64,
}

/// Largest chunk index that is kept in mind: what claims a larger one is no chunk of a sweep.
pub(super) const BOUND: u64 = 1 << 27;

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

    fn place(chunk: u64) -> (usize, u64) {
        ((chunk / 64) as usize, 1 << (chunk % 64))
    }
}
