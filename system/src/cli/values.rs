//! How the values of flags are read.

use std::time::Duration;

/// Seconds, with a fraction if need be; none at all is a time too.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let problem = || format!("{text:?} is not a number of seconds, such as 30 or 0.5");
    let seconds: f64 = text.parse().map_err(|_| problem())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| problem())
}

/// The same, where nothing could ever be done in no time.
pub(super) fn seconds_above_0(text: &str) -> Result<Duration, String> {
    let none = || format!("{text:?} is not a number of seconds above 0, such as 30 or 0.5");
    seconds(text)?
        .checked_sub(Duration::from_nanos(1))
        .map_or_else(|| Err(none()), |_| seconds(text))
}

/// `true` or `false`, in the spellings that deployments use.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}
