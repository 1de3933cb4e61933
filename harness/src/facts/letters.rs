//! Dead letters in words: those of one reason are told together, each in the same words in whatever order they came.

use crate::last_words::{evidence, masked, telling};
use crate::words::counted;

/// So many reasons are told apart, and so many letters of each are named.
const KEPT: (usize, usize) = (8, 5);

/// Letters with the same reason, but for numbers in it.
#[derive(Debug, Clone)]
struct Alike {
    kind: String,
    /// What they name: `chunk` or `range`; nothing of the sweep.
    noun: Option<&'static str>,
    /// That of the letter which is named first; of several of that name, the least.
    reason: String,
    /// The least ones, in order.
    names: Vec<String>,
    count: u64,
}

/// What is said of dead letters.
#[derive(Debug, Clone, Default)]
pub(super) struct Letters {
    alike: Vec<Alike>,
    others: u64,
}

impl Letters {
    /// Takes one in, that names this.
    pub(super) fn push(&mut self, noun: Option<&'static str>, name: String, reason: &str) {
        let kind = masked(&telling(reason));
        let same = |it: &&mut Alike| it.noun == noun && it.kind == kind;
        if let Some(alike) = self.alike.iter_mut().find(same) {
            alike.push(name, reason);
        } else if self.alike.len() < KEPT.0 {
            let (reason, names) = (reason.to_owned(), vec![name]);
            self.alike.push(Alike { kind, noun, reason, names, count: 1 });
        } else {
            self.others += 1;
        }
    }

    /// A line, or several that belong together, for each reason.
    pub(super) fn evidence(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.alike.iter().map(Alike::evidence).collect();
        if self.others > 0 {
            lines.push(format!("and {} more", self.others));
        }
        lines
    }
}

impl Alike {
    fn push(&mut self, name: String, reason: &str) {
        self.count += 1;
        let place = self.names.partition_point(|named| *named <= name);
        let is_told =
            self.names.first().is_some_and(|first| (&name, reason) < (first, &self.reason));
        if is_told {
            reason.clone_into(&mut self.reason);
        }
        self.names.insert(place, name);
        self.names.truncate(KEPT.1);
    }

    fn evidence(&self) -> String {
        let Self { noun, reason, names, count, .. } = self;
        let what = match (noun, count) {
            (Some(noun), 1) => format!("{noun} {} is in the dead letters", names[0]),
            (Some(noun), _) => {
                let more = match count - names.len() as u64 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("{noun}s {}{more} are in the dead letters", names.join(", "))
            }
            (None, 1) => "a dead letter names no chunk of the sweep".to_owned(),
            (None, _) => format!("{} name no chunk of the sweep", counted(*count, "dead letter")),
        };
        evidence(&what, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_one_reason_are_told_together_in_whatever_order_they_came() {
        let mut letters = Letters::default();
        for n in [6, 1, 5, 0, 3, 4, 2] {
            letters.push(Some("chunk"), format!("{n:05}"), &format!("no luck with {n}"));
        }
        letters.push(Some("chunk"), "00008".into(), "no cheese");
        letters.push(None, String::new(), "no ham with 7");
        letters.push(None, String::new(), "no ham with 3");
        insta::assert_snapshot!(letters.evidence().join("\n"), @r"
        chunks 00000, 00001, 00002, 00003, 00004 and 2 more are in the dead letters: no luck with 0
        chunk 00008 is in the dead letters: no cheese
        2 dead letters name no chunk of the sweep: no ham with 3
        ");
    }

    #[test]
    fn of_very_many_reasons_the_first_are_told() {
        let mut letters = Letters::default();
        for n in 0..20 {
            letters.push(Some("chunk"), "00001".into(), &"x".repeat(n + 1));
        }
        let evidence = letters.evidence();
        assert_eq!((evidence.len(), evidence[8].as_str()), (9, "and 12 more"));
    }
}
