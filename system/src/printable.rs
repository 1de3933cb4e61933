//! Text of others, without what a terminal would obey.

/// On one line.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if is_obeyed(c) { ' ' } else { c }).collect()
}

/// On as many lines as it has.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && is_obeyed(c) { ' ' } else { c }).collect()
}

/// Control characters, and those that turn the direction of writing.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing() {
        let text = "\u{1b}]0;title\u{7}\u{1b}[31mred\u{9b}2J\u{202e}der\nnext\u{85}";
        assert_eq!(line(text), " ]0;title  [31mred 2J der next ");
        assert_eq!(lines(text), " ]0;title  [31mred 2J der\nnext ");
    }
}
