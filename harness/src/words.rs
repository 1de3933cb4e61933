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

/// A figure that is held against a bound: with as many decimals as it takes to see on which side of
/// the bound it is, and at least so many.
pub(crate) fn beside(figure: f64, bound: f64, decimals: usize) -> String {
    /// Beyond that there is only what floating point adds.
    const MOST: usize = 12;
    let side = figure.partial_cmp(&bound);
    let tells = |text: &String| {
        let is_told = |it: f64| it.partial_cmp(&bound) == side && (it != 0.0 || figure == 0.0);
        text.parse().is_ok_and(is_told)
    };
    let mut texts = (decimals..=MOST).map(|decimals| format!("{figure:.decimals$}"));
    texts.find(tells).unwrap_or_else(|| format!("{figure:.decimals$}"))
}

/// A span in milliseconds that is held against a bound, in the unit that reads best.
pub(crate) fn millis_beside(ms: f64, bound_ms: f64) -> String {
    if ms < 1000.0 {
        format!("{} ms", beside(ms, bound_ms, 0))
    } else {
        format!("{} s", beside(ms / 1000.0, bound_ms / 1000.0, 2))
    }
}

/// A bound in milliseconds, to the last digit, in the unit that reads best.
pub(crate) fn bound_millis(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1000.0) }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match &words[..] {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Whether bytes hold a name in quotation marks, as JSON has it, whatever else is wrong with them.
pub(crate) fn has_name(bytes: &[u8], name: &str) -> bool {
    let quoted = format!("\"{name}\"");
    bytes.windows(quoted.len()).any(|window| window == quoted.as_bytes())
}

/// As much of a text of others as goes into the history: a line of it must be readable again.
pub(crate) fn bounded(mut text: String) -> String {
    /// In bytes.
    const LONGEST: usize = 4096;
    if text.len() > LONGEST {
        let whole = (0..=LONGEST).rfind(|at| text.is_char_boundary(*at));
        text.truncate(whole.unwrap_or(0));
        text.push('…');
    }
    text
}

/// Text that came from outside, safe in one line of a report: without control characters, and
/// cut off where it is long.
pub(crate) fn quoted(text: &str) -> String {
    quoted_to(text, 200)
}

/// The same, cut off after so many characters.
pub(crate) fn quoted_to(text: &str, longest: usize) -> String {
    // And without those that turn the direction of writing.
    let is_obeyed =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean = |c: char| if is_obeyed(c) { ' ' } else { c };
    let mut line: String = text.trim().chars().take(longest).map(clean).collect();
    if text.trim().chars().nth(longest).is_some() {
        line.push('…');
    }
    line
}

/// The first few of several names.
pub(crate) fn first_listed(names: &[String]) -> String {
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
    fn a_figure_has_as_many_digits_as_it_takes_to_tell_it_from_its_bound() {
        assert_eq!(beside(34.0, 35.0, 2), "34.00");
        assert_eq!(beside(0.0012, 0.001, 2), "0.0012");
        assert_eq!(beside(0.0008, 0.001, 2), "0.0008");
        assert_eq!(beside(0.001, 0.001, 2), "0.001");
        assert_eq!(beside(29.4118, 29.4, 1), "29.41");
        assert_eq!(beside(0.30004, 0.3, 2), "0.30004");
        assert_eq!(beside(0.1 + 0.2, 0.3, 1), "0.3", "what floating point adds is no digit");
    }

    #[test]
    fn a_span_is_told_from_its_bound_in_the_unit_that_reads_best() {
        assert_eq!(
            (millis_beside(40.0, 39.0), bound_millis(39.0)),
            ("40 ms".into(), "39 ms".into())
        );
        assert_eq!(millis_beside(40.3, 40.0), "40.3 ms");
        assert_eq!(millis_beside(999.7, 1000.0), "999.7 ms");
        assert_eq!(millis_beside(1234.6, 1234.0), "1.235 s");
        assert_eq!((bound_millis(1234.0), bound_millis(1000.0)), ("1.234 s".into(), "1 s".into()));
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
