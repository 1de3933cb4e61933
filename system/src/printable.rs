//! Text of others, without what a terminal would obey.

/// On one line.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// On as many lines as it has.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        let text = "a\u{1b}[31mb\rc\u{9b}2Jd\ne\u{7}";
        assert_eq!(line(text), "a [31mb c 2Jd e ");
        assert_eq!(lines(text), "a [31mb c 2Jd\ne ");
    }
}
