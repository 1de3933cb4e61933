//! `harness list`.

use std::path::Path;

use super::problem;
use crate::exit::Exit;
use crate::report::say;
use crate::report::terminal::{WIDTH, wrapped};
use crate::scenario;

/// What stands before each line on a scenario.
const INDENT: &str = "    ";

/// Where they are, if nobody says.
const USUAL: &str = "scenarios";

pub(super) fn main(directory: Option<&Path>) -> Exit {
    let listed = match directory {
        None if !Path::new(USUAL).is_dir() => scenario::list_built_in(),
        directory => scenario::list(directory.unwrap_or(Path::new(USUAL))),
    };
    let scenarios = match listed {
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
