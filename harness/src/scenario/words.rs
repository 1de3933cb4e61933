//! Wording that every message shares.

/// The valid name that was probably meant.
pub(super) fn nearest<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this, two words have nothing to do with each other.
    const SIMILAR: f64 = 0.5;
    let word = word.to_lowercase();
    valid
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&word, name), name))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// `: did you mean redis? (valid: embedded, redis, static)`
pub(super) fn suggestion(word: &str, valid: &[&str]) -> String {
    let list = valid.join(", ");
    match nearest(word, valid.iter().copied()) {
        Some(name) => format!(": did you mean {name}? (valid: {list})"),
        None => format!(" (valid: {list})"),
    }
}

/// A text of the user's, safe to print and not too long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}…")
}

/// `a`, `a and b`, `a, b and c`, with any such conjunction.
pub(super) fn listed(words: &[&str], conjunction: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}
