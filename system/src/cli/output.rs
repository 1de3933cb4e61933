//! What is written, and what it means where that cannot be: a result is lost, so it is an error; a
//! reader that has seen enough, such as `head`, is none; and a log never ends anything.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::failed::Failed;
use crate::printable;

/// A result, to standard output.
pub(super) fn print(text: std::fmt::Arguments<'_>) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    result(out.write_fmt(text).and_then(|()| out.flush()))
}

/// The same as one line of JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string(value).expect("summaries are plain data");
    print(format_args!("{text}\n"))
}

/// What has become of a result that was written.
pub(super) fn result(written: io::Result<()>) -> Result<(), Failed> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failed::Other(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// To standard error, if it can be written. Some of it comes from others.
pub(super) fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "error: {}", printable::lines(message));
}
