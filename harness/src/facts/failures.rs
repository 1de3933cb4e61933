//! Why attempts failed, as dead letters and workers say.

use std::collections::BTreeMap;

use crate::last_words::{masked, telling};

/// So many kinds of reasons are told apart.
const KINDS: usize = 16;

/// Why attempts failed.
#[derive(Debug, Clone, Default)]
pub struct Failures {
    /// Attempts that are known to have failed.
    pub attempts: u64,
    /// Dead letters that are there.
    pub letters: u64,
    /// The first reason of each kind: of one kind are those that differ in numbers only.
    reasons: BTreeMap<String, String>,
    others: bool,
}

impl Failures {
    pub(super) fn attempts(&mut self, failed: u64, reason: Option<&str>) {
        self.attempts = self.attempts.max(failed);
        if let Some(reason) = reason {
            self.reason(reason);
        }
    }

    pub(super) fn letter(&mut self, reason: &str) {
        self.letters += 1;
        self.reason(reason);
    }

    pub(super) fn replayed(&mut self) {
        self.letters = 0;
    }

    fn reason(&mut self, reason: &str) {
        let kind = masked(&telling(reason));
        if self.reasons.len() < KINDS || self.reasons.contains_key(&kind) {
            self.reasons.entry(kind).or_insert_with(|| reason.to_owned());
        } else {
            self.others = true;
        }
    }

    /// The reason, where all have one.
    pub fn one_reason(&self) -> Option<&str> {
        let mut reasons = self.reasons.values();
        let first = reasons.next().filter(|_| !self.others)?;
        reasons.next().is_none().then_some(first)
    }

    /// The first reason that is so, of those that are kept.
    pub fn reason_that(&self, is_so: impl Fn(&str) -> bool) -> Option<&str> {
        self.reasons.values().map(String::as_str).find(|reason| is_so(reason))
    }
}

/// Who had what when the watching of an open sweep ended.
#[derive(Debug, Clone, Default)]
pub struct StillHeld {
    /// The first chunks, by their worker.
    pub workers: BTreeMap<String, Vec<String>>,
    /// All chunks that were with workers.
    pub chunks: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_are_one() {
        let mut failures = Failures::default();
        assert_eq!(failures.one_reason(), None);
        failures.letter("no luck with 00007");
        failures.letter("no luck with 00008");
        assert_eq!(failures.one_reason(), Some("no luck with 00007"));
        failures.attempts(3, Some("no cheese"));
        assert_eq!((failures.one_reason(), failures.letters, failures.attempts), (None, 2, 3));
    }

    #[test]
    fn of_very_many_reasons_it_is_only_known_that_there_is_not_one() {
        let mut failures = Failures::default();
        for n in 0..100 {
            failures.letter(&"x".repeat(n));
        }
        assert_eq!((failures.reasons.len(), failures.one_reason()), (KINDS, None));
    }
}
