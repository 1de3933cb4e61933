//! The seal: what the last line of a history says of all before it, so that a line that is taken out,
//! doubled, moved or changed shows.
//!
//! The last line is that of `run-ended`, and ends with `,"records":N,"hash":"H"}` and a newline. N is
//! how many lines are before it. H is the SHA-256, in lower-case hexadecimal, of the bytes of
//! `plan.json` and, after them, of the history up to the comma before `"hash"`. Those are all but its
//! last 76 bytes, so that anybody can compute it again:
//!
//! ```sh
//! cat plan.json events.jsonl | head -c -76 | sha256sum
//! ```
//!
//! There is no secret in it: it shows that something was changed, not by whom, and not that nobody
//! has made a history up from its first line to its last.

use sha2::{Digest, Sha256};

/// Length of a hash, in hexadecimal digits.
const DIGITS: usize = 64;

const RECORDS: &[u8] = b",\"records\":";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}\n";

/// Lines of a history, as they come, on the way to their seal.
#[derive(Debug, Clone)]
pub(super) struct Sealing {
    hash: Sha256,
    records: u64,
}

impl Sealing {
    /// Of a history of this plan, as its file has it.
    pub(super) fn new(plan: &[u8]) -> Self {
        Self { hash: Sha256::new_with_prefix(plan), records: 0 }
    }

    /// Takes in a line with its newline.
    pub(super) fn line(&mut self, line: &[u8]) {
        self.hash.update(line);
        self.records += 1;
    }

    /// Puts the seal on the last line, which has no newline yet.
    pub(super) fn seal(&self, line: &mut Vec<u8>) {
        line.pop();
        line.extend_from_slice(RECORDS);
        line.extend_from_slice(self.records.to_string().as_bytes());
        let hash = self.hash_with(line);
        line.extend_from_slice(HASH);
        line.extend_from_slice(hash.as_bytes());
        line.extend_from_slice(END);
    }

    fn hash_with(&self, line: &[u8]) -> String {
        let mut hash = self.hash.clone();
        hash.update(line);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A last line, taken apart.
#[derive(Debug)]
pub(super) struct Sealed<'a> {
    /// The line without its seal.
    pub(super) event: Vec<u8>,
    /// What the hash is over, of this line.
    hashed: &'a [u8],
    records: u64,
    hash: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Takes a line apart, if it carries a seal.
    pub(super) fn of(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_suffix(END)?;
        let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        let hashed = rest.strip_suffix(HASH)?;
        let at = hashed.iter().rposition(|byte| *byte == b',')?;
        let (event, records) = hashed.split_at(at);
        let records = str::from_utf8(records.strip_prefix(RECORDS)?).ok()?.parse().ok()?;
        Some(Self { event: [event, b"}"].concat(), hashed, records, hash })
    }

    /// Why the seal is not that of these lines, if it is not.
    pub(super) fn broken(&self, lines: &Sealing) -> Option<String> {
        let (sealed, found) = (self.records, lines.records);
        if sealed != found {
            return Some(format!(
                "the history was changed after it was written: its seal is over {sealed} records, \
                 and {found} are before it"
            ));
        }
        (lines.hash_with(self.hashed).as_bytes() != self.hash).then(|| {
            "the history or plan.json was changed after it was written: the seal's hash is not \
             that of their bytes"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &[u8] = b"{}\n";
    const LINES: [&[u8]; 2] = [b"{\"a\":1}\n", b"{\"b\":2}\n"];
    const LAST: &[u8] = b"{\"why\":\"complete\"}";

    fn lines() -> Sealing {
        let mut lines = Sealing::new(PLAN);
        LINES.iter().for_each(|line| lines.line(line));
        lines
    }

    fn sealed() -> Vec<u8> {
        let mut line = LAST.to_vec();
        lines().seal(&mut line);
        line
    }

    #[test]
    fn a_seal_is_as_long_as_the_head_of_this_file_says_and_over_what_it_says() {
        let line = sealed();
        let all = [PLAN, LINES[0], LINES[1], &line].concat();
        let hash: String =
            Sha256::digest(&all[..all.len() - 76]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            format!("{{\"why\":\"complete\",\"records\":2,\"hash\":\"{hash}\"}}\n")
        );
    }

    #[test]
    fn a_seal_holds_for_what_it_was_made_of() {
        let line = sealed();
        let sealed = Sealed::of(&line).unwrap();
        assert_eq!((&*sealed.event, sealed.broken(&lines())), (LAST, None));
    }

    #[test]
    fn another_number_of_lines_other_lines_or_another_plan_break_it() {
        let line = sealed();
        let sealed = Sealed::of(&line).unwrap();
        let mut one = Sealing::new(PLAN);
        one.line(LINES[0]);
        assert!(sealed.broken(&one).unwrap().contains("over 2 records, and 1 are before it"));
        let mut swapped = Sealing::new(PLAN);
        LINES.iter().rev().for_each(|line| swapped.line(line));
        assert!(sealed.broken(&swapped).unwrap().contains("hash"));
        let mut replanned = Sealing::new(b"{ }\n");
        LINES.iter().for_each(|line| replanned.line(line));
        assert!(sealed.broken(&replanned).unwrap().contains("plan.json"));
    }

    #[test]
    fn no_byte_of_the_last_line_can_be_changed() {
        let line = sealed();
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            let holds = Sealed::of(&changed).is_some_and(|it| it.broken(&lines()).is_none());
            assert!(!holds, "byte {at} of {}", String::from_utf8_lossy(&line));
        }
    }

    #[test]
    fn a_line_without_a_seal_has_none() {
        for line in [LINES[0], LAST, b"", b"\"}\n", &sealed()[1..70]] {
            assert!(Sealed::of(line).is_none());
        }
    }
}
