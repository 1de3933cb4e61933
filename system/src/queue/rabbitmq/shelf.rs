//! Dead letters that are there: found by their place in the journal, by their text, and by their chunk,
//! each at once, however many there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::rc::Rc;

use crate::wire::DeadLetter;

/// See the file.
#[derive(Default)]
pub(super) struct Shelf {
    /// By the place after theirs.
    letters: BTreeMap<u64, Kept>,
    by_text: HashMap<Rc<str>, BTreeSet<u64>>,
    by_chunk: HashMap<u64, BTreeSet<u64>>,
}

struct Kept {
    letter: DeadLetter,
    text: Rc<str>,
    /// Where a task can be read from it.
    chunk: Option<u64>,
}

impl Shelf {
    pub(super) fn put(&mut self, place: u64, letter: DeadLetter, text: &str, chunk: Option<u64>) {
        let text: Rc<str> = text.into();
        self.by_text.entry(Rc::clone(&text)).or_default().insert(place);
        if let Some(chunk) = chunk {
            self.by_chunk.entry(chunk).or_default().insert(place);
        }
        self.letters.insert(place, Kept { letter, text, chunk });
    }

    /// Takes away the first letter of this text.
    pub(super) fn take(&mut self, text: &str) {
        let first = self.by_text.get(text).and_then(BTreeSet::first).copied();
        first.into_iter().for_each(|place| self.take_from(place));
    }

    /// Takes away every letter of a chunk.
    pub(super) fn take_all_of(&mut self, chunk: u64) {
        let places = self.by_chunk.get(&chunk).cloned().unwrap_or_default();
        places.into_iter().for_each(|place| self.take_from(place));
    }

    /// Those after a place, with theirs.
    pub(super) fn after(&self, place: u64) -> impl Iterator<Item = (u64, &DeadLetter)> {
        self.letters.range(place + 1..).map(|(place, kept)| (*place, &kept.letter))
    }

    pub(super) fn count(&self) -> u64 {
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

    fn letter() -> DeadLetter {
        DeadLetter::from_fields(Vec::new())
    }

    fn places(shelf: &Shelf) -> Vec<u64> {
        shelf.after(0).map(|(place, _)| place).collect()
    }

    #[test]
    fn of_several_letters_of_one_text_the_first_goes_and_of_one_chunk_all() {
        let mut shelf = Shelf::default();
        for (place, text, chunk) in
            [(3, "a", Some(7)), (4, "a", Some(7)), (5, "b", Some(7)), (9, "c", None)]
        {
            shelf.put(place, letter(), text, chunk);
        }
        shelf.take("a");
        assert_eq!(places(&shelf), [4, 5, 9]);
        shelf.take("another");
        shelf.take_all_of(8);
        assert_eq!((shelf.count(), places(&shelf)), (3, vec![4, 5, 9]));
        shelf.take_all_of(7);
        assert_eq!(places(&shelf), [9]);
        shelf.take("a");
        shelf.take("c");
        assert_eq!(shelf.count(), 0);
        assert!(shelf.by_text.is_empty() && shelf.by_chunk.is_empty());
    }
}
