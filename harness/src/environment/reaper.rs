//! Ends all that a program has started, however far that has gone out of the way.
//!
//! A program may start others in a session of their own, twice removed, and with nothing of our mark
//! in their environment: no group, no parent and no variable tells whose they are. So between the
//! harness and each program stands a process of ours, its *reaper*. It is a child subreaper: whatever
//! loses its parent below it becomes its own child, and of nobody else's program. When the program
//! has ended, or the harness wants its end, or the harness itself is gone, the reaper kills whatever
//! is left below it, and only then says how the program ended.
//!
//! The two talk over the reaper's standard input, a pair of sockets. The reaper says the program's
//! process id, and in the end how it came; the harness says nothing: the end of what it could say is
//! the wish for an end. The kernel sees to that where the harness is killed. Until then the reaper
//! does not ask for the dead program, so its process id cannot be another's while the harness may
//! still send it signals.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions, getpid, kill_process,
    set_child_subreaper, waitid, waitpid,
};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::guard;
use super::janitor;
use super::process::Exit;

/// The hidden subcommand that leads here: `harness reaper <mark> <program> <arguments>`.
pub const SUBCOMMAND: &str = "reaper";

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A command that starts `program` below a reaper, with this mark of the run in its environment. The
/// reaper itself does not carry it: who kills what does must leave it to its work.
pub(super) fn command(mark: &OsStr, program: &[OsString]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(SUBCOMMAND).arg(mark).args(program).env_remove(janitor::VARIABLE);
    // A group of its own: Ctrl-C is for the harness, which then ends the others in order.
    command.process_group(0);
    Ok(command)
}

/// A program below a reaper, as the harness has it. All that is below the reaper ends when this is
/// dropped.
pub(super) struct Reaped {
    told: Lines<BufReader<OwnedReadHalf>>,
    _wanted: OwnedWriteHalf,
}

impl Reaped {
    /// Starts a [`command`].
    pub(super) fn start(mut command: Command) -> io::Result<(Self, Child)> {
        let (ours, its) = UnixStream::pair()?;
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(its)));
        let child = command.spawn()?;
        ours.set_nonblocking(true)?;
        let (told, wanted) = tokio::net::UnixStream::from_std(ours)?.into_split();
        Ok((Self { told: BufReader::new(told).lines(), _wanted: wanted }, child))
    }

    /// The program's process id.
    pub(super) async fn pid(&mut self) -> io::Result<u32> {
        let line = self.told.next_line().await?;
        let pid = line.as_deref().and_then(|line| line.strip_prefix("pid ")?.parse().ok());
        pid.ok_or_else(|| io::Error::other("its reaper ended before it was started"))
    }

    /// Waits for the program's end, and that of all that it has started. Where the reaper was killed
    /// nobody saw more than that: the program is tied to it.
    pub(super) async fn ended(mut self) -> Exit {
        let line = self.told.next_line().await.ok().flatten();
        let number = |word: &str| line.as_deref()?.strip_prefix(word)?.trim().parse().ok();
        match (number("code"), number("signal")) {
            (None, None) => Exit { code: None, signal: Some(Signal::KILL.as_raw()) },
            (code, signal) => Exit { code, signal },
        }
    }
}

/// Is the reaper of a program. Returns once nothing is left below it and the harness knows how the
/// program ended.
///
/// # Errors
/// Where the program cannot be started.
pub fn main(mark: &OsStr, program: &OsString, arguments: &[OsString]) -> Result<(), String> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot start {program:?}: {error}");
    set_child_subreaper(Some(getpid())).map_err(|error| cannot(&error))?;
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(|error| cannot(&error))?;
    let mut harness = UnixStream::from(stdin);
    let mut listener = harness.try_clone().map_err(|error| cannot(&error))?;
    let child = start(mark, program, arguments).map_err(|error| cannot(&error))?;
    let program = Pid::from_child(&child);
    // A harness that is gone is found out below.
    let _ = writeln!(harness, "pid {program}", program = child.id());
    let (wants_end, is_wanted) = mpsc::channel::<()>();
    thread::spawn(move || {
        let _ = listener.read_to_end(&mut Vec::new());
        // It is there, alive or dead: this process asks for it last.
        let _ = kill_process(program, Signal::KILL);
        drop(wants_end);
        // What cannot be killed must not keep anybody for ever.
        thread::sleep(PATIENCE);
        std::process::exit(1);
    });
    let status = its_end(program).map_err(|error| cannot(&error))?;
    end_all_but(program);
    let _ = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => writeln!(harness, "code {code}"),
        (None, signal) => writeln!(harness, "signal {}", signal.unwrap_or_default()),
    };
    // The one who hears it hangs up.
    let _ = is_wanted.recv();
    Ok(())
}

/// The program, tied to this process in case somebody kills that.
fn start(mark: &OsStr, program: &OsString, arguments: &[OsString]) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(guard::SUBCOMMAND).arg(std::process::id().to_string());
    command.arg(program).args(arguments).env(janitor::VARIABLE, mark);
    command.stdin(Stdio::null()).process_group(0).spawn()
}

/// Waits until the program is dead, and asks for the dead that have come here meanwhile.
fn its_end(program: Pid) -> io::Result<WaitIdStatus> {
    let is_dead = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::All, is_dead) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = waitid(WaitId::Pid(program), is_dead | WaitIdOptions::NOHANG)? {
            return Ok(status);
        }
        for other in children().into_iter().filter(|child| *child != program) {
            let _ = waitpid(Some(other), WaitOptions::NOHANG);
        }
    }
}

/// Kills whatever else is below this process. What a dead one leaves comes here, and is next.
fn end_all_but(program: Pid) {
    loop {
        let killed: Vec<Pid> = children()
            .into_iter()
            .filter(|child| *child != program && kill_process(*child, Signal::KILL).is_ok())
            .collect();
        if killed.is_empty() {
            // Nothing is left, or only what is not ours to kill.
            return;
        }
        for child in killed {
            let _ = waitpid(Some(child), WaitOptions::empty());
        }
    }
}

/// Processes whose parent is this one, the dead included. Nobody but this process takes one from the
/// list, so none is missed.
fn children() -> Vec<Pid> {
    listed().unwrap_or_else(searched)
}

/// From the kernel's own list, where it keeps one (`CONFIG_PROC_CHILDREN`).
fn listed() -> Option<Vec<Pid>> {
    let mut children = Vec::new();
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let list = fs::read_to_string(thread.ok()?.path().join("children")).ok()?;
        children.extend(list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    }
    Some(children)
}

/// Among all processes.
fn searched() -> Vec<Pid> {
    let this = std::process::id();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let parent = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in brackets, and may hold anything.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter(|pid| parent(*pid) == Some(this))
        .filter_map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_and_the_search_agree() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(searched().contains(&pid));
        assert!(listed().is_none_or(|children| children.contains(&pid)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!searched().contains(&pid));
        assert!(!children().contains(&pid));
    }
}
