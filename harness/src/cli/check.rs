//! `harness check`.

use std::path::Path;

use super::problem;
use crate::exit::Exit;
use crate::{report, results};

pub(super) fn main(directory: &Path) -> Exit {
    match results::judge_directory(directory) {
        Ok((plan, results)) => {
            report::terminal::print(&plan, &results);
            results.verdict.into()
        }
        Err(error) => problem(&error.to_string(), Exit::Usage),
    }
}
