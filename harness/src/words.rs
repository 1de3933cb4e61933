//! Turns of phrase that every report shares.

/// The name of the chunk with this index, as the wire contract pads it.
pub(crate) fn chunk_id(index: u64) -> String {
    format!("{index:05}")
}

/// `1 chunk`, `2 chunks`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `parameter 7` or `parameters 7..9`.
pub(crate) fn parameters((start, end): (u64, u64)) -> String {
    if end - start == 1 {
        format!("parameter {start}")
    } else {
        format!("parameters {start}..{end}")
    }
}

/// A moment or a span, in seconds with one decimal.
pub(crate) fn seconds(s: f64) -> String {
    format!("{s:.1} s")
}

/// A span in milliseconds, in the unit that reads best.
pub(crate) fn millis(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

/// Text that came from outside, safe in one line of a report: without control characters, and
/// cut off where it is long.
pub(crate) fn quoted(text: &str) -> String {
    quoted_to(text, 200)
}

/// The same, cut off after so many characters.
pub(crate) fn quoted_to(text: &str, longest: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.trim().chars().take(longest).map(clean).collect();
    if text.trim().chars().nth(longest).is_some() {
        line.push('…');
    }
    line
}

/// The first few of several names.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut listed = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        listed += &format!(" and {} more", names.len() - SHOWN);
    }
    listed
}

/// The first lines of many, and how many there were beyond them.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstLines {
    lines: Vec<String>,
    more: u64,
}

impl FirstLines {
    /// This many lines are kept.
    const KEPT: usize = 8;

    /// Adds a line, made only if it is kept.
    pub(crate) fn push(&mut self, line: impl FnOnce() -> String) {
        if self.lines.len() < Self::KEPT {
            self.lines.push(line());
        } else {
            self.more += 1;
        }
    }

    /// The lines, the last of which says how many there are beyond them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.lines.clone();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_break_a_line_or_colour_it() {
        assert_eq!(quoted(" a\nb\u{1b}[31mc "), "a b [31mc");
        assert_eq!(quoted(&"é".repeat(300)).chars().count(), 201);
    }

    #[test]
    fn of_many_lines_the_first_are_kept_and_the_rest_counted() {
        let mut lines = FirstLines::default();
        for n in 0..11 {
            lines.push(|| n.to_string());
        }
        assert_eq!(lines.lines().len(), 9);
        assert_eq!(lines.lines()[8], "and 3 more");
    }
}
