//! `harness check`.

use std::path::Path;

use super::problem;
use crate::exit::Exit;
use crate::fault;
use crate::plan::Plan;
use crate::recheck::{self, JudgeError, Rechecked};
use crate::report::{say, terminal};

pub(super) fn main(directory: &Path) -> Exit {
    match recheck::judge_directory(directory) {
        Ok(Rechecked { plan, .. }) if plan.fault_kinds != fault::consequences(&plan.faults) => {
            let path = directory.join(Plan::FILE_NAME);
            let said = format!(
                "{}: fault_kinds says of a kind what this harness does not; the file was changed or is \
                 of another version (check it with the harness that wrote it, or run the scenario again)",
                path.display()
            );
            problem(&said, Exit::Usage)
        }
        Ok(Rechecked { plan, results, differences }) => {
            terminal::print(&plan, &results);
            let dim = anstyle::Style::new().dimmed();
            for line in &differences {
                say(format_args!("  {dim}{:<13}{dim:#} {line}\n", "recorded"));
            }
            results.verdict.into()
        }
        Err(error @ JudgeError::NeverBegan { .. }) => {
            problem(&error.to_string(), Exit::Inconclusive)
        }
        Err(error) => problem(&error.to_string(), Exit::Usage),
    }
}
