//! Processes that cannot outlive the harness: each is started through this program, which asks
//! the kernel for a SIGKILL at its parent's death and then becomes the program wanted.
//!
//! The wish survives the `exec`. It is for the death of the parent's *thread*: a run stays on the one on
//! which it began, and a reaper has one for its program.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The hidden subcommand that leads here: `harness guard <parent> <program> <arguments>`.
pub const SUBCOMMAND: &str = "guard";

/// The command that becomes this one, tied to this process.
///
/// # Errors
/// Where this program does not know where it is.
pub fn tied(command: &[String]) -> io::Result<Vec<String>> {
    let this = std::env::current_exe()?.display().to_string();
    let parent = std::process::id().to_string();
    Ok([this, SUBCOMMAND.to_owned(), parent].into_iter().chain(command.iter().cloned()).collect())
}

/// Becomes `program`. Returns only to say why it could not.
pub fn become_program(parent: u32, program: &OsString, arguments: &[OsString]) -> String {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("cannot tie {program:?} to its parent: {error}");
    }
    // The parent may have died before the wish was heard.
    if getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs()) != Some(parent) {
        return format!("cannot start {program:?}: the harness has ended");
    }
    let error = Command::new(program).args(arguments).exec();
    format!("cannot start {program:?}: {error}")
}
