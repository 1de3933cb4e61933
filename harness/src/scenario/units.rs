//! Times, shares and ranges as scenarios write them.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Times that make sense in a scenario: a plan counts milliseconds, and nobody waits for months.
pub(super) const POSSIBLE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(720 * 3600);

/// `3s`, `500ms`, `1.5s`, `2m`, `1h`, to the millisecond.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let ms_each = match &text[unit..] {
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3_600e3,
        _ => return None,
    };
    let ms = (decimal(text[..unit].trim_end())? * ms_each).round();
    // `as` saturates, and what is that long is refused by its size.
    Some(Duration::from_millis(ms as u64))
}

/// `30%`, in percent.
pub(super) fn percentage(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    match number.strip_prefix('-') {
        Some(number) => decimal(number).map(|value| -value),
        None => decimal(number),
    }
}

/// `200..1200`: a half-open range.
pub(super) fn range(text: &str) -> Option<(u64, u64)> {
    let (start, end) = text.split_once("..")?;
    Some((start.trim().parse().ok()?, end.trim().parse().ok()?))
}

/// Digits and at most one point: none of `inf`, `1e9` and `+1`, which `f64` would read.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|_| digits)
}

/// As scenarios write it: `100ms`, `33.4s`.
pub(super) fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1000 => format!("{ms}ms"),
        _ => format!("{}s", ms as f64 / 1e3),
    }
}
