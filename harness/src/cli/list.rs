//! `harness list`.

use std::path::Path;

use super::problem;
use crate::exit::Exit;
use crate::scenario;

pub(super) fn main(directory: &Path) -> Exit {
    let scenarios = match scenario::list(directory) {
        Ok(scenarios) => scenarios,
        Err(error) => return problem(&error.to_string(), Exit::Usage),
    };
    let width = scenarios.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for s in &scenarios {
        let faults = if s.faults.is_empty() { "no fault" } else { &s.faults };
        anstream::println!(
            "{:width$}  {:8}  {} / {} / {}, {} workers, {faults}",
            s.name,
            s.backend,
            s.params,
            s.chunk_size,
            s.work,
            s.workers
        );
        anstream::println!("{:width$}  {}", "", s.description);
    }
    Exit::Pass
}
