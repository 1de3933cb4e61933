//! `harness list`.

use std::path::Path;

use super::problem;
use crate::exit::Exit;
use crate::report::say;
use crate::scenario;

pub(super) fn main(directory: &Path) -> Exit {
    let scenarios = match scenario::list(directory) {
        Ok(scenarios) => scenarios,
        Err(error) => return problem(&error.to_string(), Exit::Usage),
    };
    let width = scenarios.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for s in &scenarios {
        let faults = if s.faults.is_empty() { "no fault" } else { &s.faults };
        say(format_args!(
            "{:width$}  {:8}  {} / {} / {}, {} workers, {faults}\n",
            s.name, s.backend, s.params, s.chunk_size, s.work, s.workers
        ));
        say(format_args!("{:width$}  {}\n", "", s.description));
    }
    Exit::Pass
}
