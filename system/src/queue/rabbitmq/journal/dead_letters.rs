//! Dead letters that are there: found by their place in the journal, by their text, and by their chunk,
//! each at once, however many there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::{self, DeadLetter};

/// Dead letters that are neither replayed nor dropped.
#[derive(Default)]
pub(in crate::queue::rabbitmq) struct OpenLetters {
    /// By the place after theirs.
    letters: BTreeMap<u64, Kept>,
    by_text: HashMap<Arc<str>, BTreeSet<u64>>,
    by_chunk: HashMap<u64, BTreeSet<u64>>,
}

struct Kept {
    letter: DeadLetter,
    text: Arc<str>,
    /// Where a task can be read from it.
    chunk: Option<u64>,
}

impl OpenLetters {
    pub(in crate::queue::rabbitmq) fn put(&mut self, place: u64, letter: DeadLetter, text: &str) {
        let chunk = letter.task().map(|task| task.chunk.index);
        let text: Arc<str> = text.into();
        self.by_text.entry(Arc::clone(&text)).or_default().insert(place);
        if let Some(chunk) = chunk {
            self.by_chunk.entry(chunk).or_default().insert(place);
        }
        self.letters.insert(place, Kept { letter, text, chunk });
    }

    /// Takes away the first letter of this text.
    pub(in crate::queue::rabbitmq) fn take(&mut self, text: &str) {
        let first = self.by_text.get(text).and_then(BTreeSet::first).copied();
        first.into_iter().for_each(|place| self.take_from(place));
    }

    /// Takes away every letter of a chunk.
    pub(in crate::queue::rabbitmq) fn take_all_of(&mut self, chunk: u64) {
        let places = self.by_chunk.get(&chunk).cloned().unwrap_or_default();
        places.into_iter().for_each(|place| self.take_from(place));
    }

    /// Those after a place, with theirs.
    pub(in crate::queue::rabbitmq) fn after(
        &self,
        place: u64,
    ) -> impl Iterator<Item = (u64, &DeadLetter)> {
        self.letters.range(place + 1..).map(|(place, kept)| (*place, &kept.letter))
    }

    pub(in crate::queue::rabbitmq) fn count(&self) -> u64 {
        self.letters.len() as u64
    }

    fn take_from(&mut self, place: u64) {
        let Some(Kept { text, chunk, .. }) = self.letters.remove(&place) else { return };
        forget(&mut self.by_text, &text, place);
        if let Some(chunk) = chunk {
            forget(&mut self.by_chunk, &chunk, place);
        }
    }
}

/// As places and texts, from which all else follows.
impl Serialize for OpenLetters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.letters.iter().map(|(place, kept)| (place, &*kept.text)))
    }
}

impl<'de> Deserialize<'de> for OpenLetters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut letters = Self::default();
        for (place, text) in Vec::<(u64, String)>::deserialize(deserializer)? {
            letters.put(place, DeadLetter::from_fields(wire::from_json(&text)), &text);
        }
        Ok(letters)
    }
}

fn forget<K: Hash + Eq>(places: &mut HashMap<K, BTreeSet<u64>>, key: &K, place: u64) {
    if let Some(of_key) = places.get_mut(key) {
        of_key.remove(&place);
        if of_key.is_empty() {
            places.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Sweep;
    use crate::wire::Task;

    fn letter(chunk: Option<u64>) -> DeadLetter {
        let sweep = Sweep { start: 0, params: 100, chunk_size: 1 };
        let task = chunk.map(|chunk| Task::first(&sweep, chunk, "").to_fields());
        DeadLetter::from_fields(task.unwrap_or_default())
    }

    fn places(letters: &OpenLetters) -> Vec<u64> {
        letters.after(0).map(|(place, _)| place).collect()
    }

    #[test]
    fn of_several_letters_of_one_text_the_first_goes_and_of_one_chunk_all() {
        let mut letters = OpenLetters::default();
        for (place, text, chunk) in
            [(3, "a", Some(7)), (4, "a", Some(7)), (5, "b", Some(7)), (9, "c", None)]
        {
            letters.put(place, letter(chunk), text);
        }
        letters.take("a");
        assert_eq!(places(&letters), [4, 5, 9]);
        letters.take("another");
        letters.take_all_of(8);
        assert_eq!((letters.count(), places(&letters)), (3, vec![4, 5, 9]));
        letters.take_all_of(7);
        assert_eq!(places(&letters), [9]);
        letters.take("a");
        letters.take("c");
        assert_eq!(letters.count(), 0);
        assert!(letters.by_text.is_empty() && letters.by_chunk.is_empty());
    }
}
