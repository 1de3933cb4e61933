//! `harness list`.

use std::path::Path;

use super::problem;
use crate::exit::Exit;
use crate::report::say;
use crate::report::terminal::{WIDTH, wrapped};
use crate::scenario;

/// What stands before each line on a scenario.
const INDENT: &str = "    ";

pub(super) fn main(directory: &Path) -> Exit {
    let scenarios = match scenario::list(directory) {
        Ok(scenarios) => scenarios,
        Err(error) => return problem(&error.to_string(), Exit::Usage),
    };
    let bold = anstyle::Style::new().bold();
    for s in &scenarios {
        say(format_args!("{bold}{}{bold:#}\n", s.name));
        let faults = if s.faults.is_empty() { "no fault" } else { &s.faults };
        let what = format!(
            "{}: {} parameters in chunks of {}, work {}, {} workers; {faults}",
            s.backend, s.params, s.chunk_size, s.work, s.workers
        );
        for text in [&s.description, &what] {
            for line in wrapped(text, WIDTH - INDENT.len()) {
                say(format_args!("{INDENT}{line}\n"));
            }
        }
    }
    Exit::Pass
}
