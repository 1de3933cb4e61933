//! `harness check`.

use std::path::Path;

use super::problem;
use crate::exit::Exit;
use crate::recheck::{self, JudgeError, Rechecked};
use crate::report::{say, terminal};

pub(super) fn main(directory: &Path) -> Exit {
    match recheck::judge_directory(directory) {
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
