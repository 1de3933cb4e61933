//! `harness faults`.

use std::path::PathBuf;

use super::problem;
use crate::compare::write_into;
use crate::exit::Exit;
use crate::fault;
use crate::report::say;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Also write the table into this file, between its lines `<!-- table: faults -->` and
    /// `<!-- end of table: faults -->`.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

pub(super) fn main(args: &Args) -> Exit {
    let table = fault::markdown();
    say(format_args!("{table}"));
    match args.write.as_deref().map(|path| write_into(path, "faults", &table)) {
        Some(Err(error)) => problem(&error, Exit::Usage),
        _ => Exit::Pass,
    }
}
