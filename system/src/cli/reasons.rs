//! Why chunks are dead, for whoever is told that a sweep is incomplete: a few reasons, with counts.

use std::fmt;

use serde::Serialize;

use crate::aggregator::{Report, grouped};
use crate::printable;
use crate::queue::{Broker, Cursor, Result};
use crate::wire::DeadLetter;

/// Letters that are read at a time, and of how many all reasons are told apart.
const LETTERS: (usize, u64) = (500, 100_000);

/// Reasons that are told, and those that are counted apart.
const REASONS: (usize, usize) = (3, 100);

/// Longest reason that is shown, in characters.
const SHOWN: usize = 100;

/// A reason, and how many letters have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    /// Of the first letter that has it.
    reason: String,
    letters: u64,
}

/// Why there are dead letters.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// By their texts with the numbers left out, which differ from chunk to chunk.
    apart: Vec<(String, Reason)>,
    others: u64,
    read: u64,
}

impl Reasons {
    /// Those of an incomplete sweep; none of one that is complete, or has no dead letters.
    pub(super) async fn read(broker: &dyn Broker, report: &Report) -> Result<Self> {
        let mut reasons = Self::default();
        if report.dead_lettered == 0 {
            return Ok(reasons);
        }
        let (page, bound) = LETTERS;
        let mut cursor = Cursor::default();
        while reasons.read < bound {
            let letters = broker.dead_letters(&mut cursor, page).await?;
            if letters.is_empty() {
                break;
            }
            letters.iter().for_each(|letter| reasons.add(letter));
        }
        reasons.apart.sort_by_key(|(_, reason)| std::cmp::Reverse(reason.letters));
        Ok(reasons)
    }

    fn add(&mut self, letter: &DeadLetter) {
        self.read += 1;
        let first = letter.last_error.lines().find(|line| !line.trim().is_empty());
        let text = printable::line(first.unwrap_or("no reason is given").trim());
        let key: String = text.chars().filter(|c| !c.is_ascii_digit()).take(SHOWN).collect();
        if let Some((_, known)) = self.apart.iter_mut().find(|(it, _)| *it == key) {
            known.letters += 1;
        } else if self.apart.len() < REASONS.1 {
            let cut: String = text.chars().take(SHOWN).collect();
            let reason = if cut.len() < text.len() { format!("{cut}…") } else { cut };
            self.apart.push((key, Reason { reason, letters: 1 }));
        } else {
            self.others += 1;
        }
    }

    /// The most frequent.
    pub(super) fn listed(&self) -> Vec<Reason> {
        self.apart.iter().take(REASONS.0).map(|(_, reason)| reason.clone()).collect()
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.read == 0 {
            return Ok(());
        }
        writeln!(f, "\nDead letters, by reason")?;
        for Reason { reason, letters } in self.listed() {
            writeln!(f, "  {:>8}  {reason}", grouped(letters))?;
        }
        let more = self.apart.iter().skip(REASONS.0).map(|(_, it)| it.letters).sum::<u64>();
        if let Some(more @ 1..) = more.checked_add(self.others) {
            writeln!(f, "  {:>8}  for other reasons", grouped(more))?;
        }
        writeln!(
            f,
            "  ttg dead-letters list shows each; ttg dead-letters replay --all tries them again"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(texts: &[&str]) -> String {
        let mut reasons = Reasons::default();
        for text in texts {
            let last_error = (*text).to_owned();
            let (task, failed_at) = (Vec::new(), String::new());
            reasons.add(&DeadLetter { task, last_error, failed_at, retry_count: 4 });
        }
        reasons.apart.sort_by_key(|(_, reason)| std::cmp::Reverse(reason.letters));
        reasons.to_string()
    }

    #[test]
    fn the_most_frequent_come_first_and_numbers_make_no_difference() {
        insta::assert_snapshot!(told(&[
            "out of range",
            "no luck with 00007\nTraceback",
            "no luck with 00020",
            "out of \u{1b}[31mcheese",
            "",
            "another",
        ]), @r"

        Dead letters, by reason
                 2  no luck with 00007
                 1  out of range
                 1  out of  [31mcheese
                 2  for other reasons
          ttg dead-letters list shows each; ttg dead-letters replay --all tries them again
        ");
        assert_eq!(told(&[]), "");
    }
}
