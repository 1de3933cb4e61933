//! The name of a container image in a scenario.

use super::error::Problem;
use super::fields::Field;
use super::words::quoted;

/// The name of an image.
pub(super) fn image(field: &Field<'_>) -> Result<String, Problem> {
    let example = "image: redis:7.2-alpine";
    let text = field.text(example)?;
    let safe = |c: char| c.is_ascii_alphanumeric() || "-._/:@".contains(c);
    if text.starts_with('-') || !text.chars().all(safe) {
        return Err(field.refuse(format!(
            "is {}, which is no name of an image (write for example {example})",
            quoted(text)
        )));
    }
    Ok(text.to_owned())
}
