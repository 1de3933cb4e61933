//! A program and all that it starts, as one group of processes that ends whole.
//!
//! Whoever ends only the program leaves what the program has started: a wrapper's real computation goes
//! on beside the worker that took its chunk over. So a program is in a group of its own, and the group
//! is what is ended. That holds for the worker's death by SIGKILL too: the group's leader is then a
//! process of ours, which does nothing but wait for its standard input to end, as it does with the
//! worker, however that ends, and then kills the group that it is in. It leads the group from before the
//! program's first step until after its last, so that the group's number cannot be another's, and no
//! death of the worker comes too early. What leaves the group (`setsid`) is not held by it.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{
    Pid, Signal, getpgrp, getpid, kill_current_process_group, kill_process_group,
};

/// The hidden subcommand of every program of ours that may be a group's leader.
const SUBCOMMAND: &str = "kernel-group";

/// What a program is put into. All that is in it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    id: Option<Pid>,
    /// Its standard input stays open for as long as this is there.
    leader: Option<Child>,
}

impl Group {
    /// A group that the program itself will lead: it ends with this, but not with a SIGKILL.
    pub(super) fn of_the_program() -> Self {
        Self { id: None, leader: None }
    }

    /// A group that ends with this process too, however that ends.
    pub(super) fn tied() -> io::Result<Self> {
        let leader = Command::new(this_program()?)
            .arg0("ttg")
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { id: Some(Pid::from_child(&leader)), leader: Some(leader) })
    }

    /// Number of the group for a program that is started into it; 0 begins one.
    pub(super) fn number(&self) -> i32 {
        self.id.map_or(0, Pid::as_raw_pid)
    }

    /// The program is there, and leads the group if nobody else does.
    pub(super) fn has_begun(&mut self, program: Option<u32>) {
        let program = program.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        self.id = self.id.or(program);
    }

    /// Kills all that is in it.
    pub(super) fn end(&mut self) {
        let Some(id) = self.id.take() else { return };
        // It fails only where nothing is left.
        let _ = kill_process_group(id, Signal::KILL);
        if let Some(mut leader) = self.leader.take() {
            let _ = leader.wait();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// This program, even where its file was replaced since it was started.
fn this_program() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// Is a group's leader, where the arguments ask for it: then this does not return before the worker
/// is gone, and the group with it. Every program that runs workers calls it first.
pub fn lead_if_asked(arguments: &[OsString]) -> bool {
    if !matches!(arguments, [_, word] if word == SUBCOMMAND) {
        return false;
    }
    // Who calls it by hand is no leader of what was started for it.
    if getpgrp() == getpid() {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = kill_current_process_group(Signal::KILL);
    }
    true
}
