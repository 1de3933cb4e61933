//! The hand of a Pod. Its container is the real script in a real shell, which sees a table of processes
//! that is made up: the first container of its Pod alone. What is asked of a shell in it the model answers
//! itself, since here nobody has a view of processes of his own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::sleep;

use super::{Answer, Shared, network};

/// Name of the container.
pub(super) const HAND: &str = "hand";

/// Process id of the first container, in its Pod's own count.
const FIRST: u32 = 7;

/// What a hand sees of its Pod's processes, in place of `/proc`.
#[derive(Debug, Clone)]
pub(super) struct Table(PathBuf);

impl Table {
    /// That of a Pod.
    pub(super) fn of(directory: &Path, uid: &str) -> Self {
        Self(directory.join("processes").join(uid))
    }

    /// The first container runs.
    pub(super) fn begins(&self) {
        let process = self.0.join(FIRST.to_string());
        fs::create_dir_all(&process).unwrap();
        fs::write(process.join("cmdline"), "first\0").unwrap();
        fs::write(process.join("stat"), format!("{FIRST} (first) S 0 0\n")).unwrap();
    }

    /// It has ended.
    pub(super) fn ends(&self) {
        let _ = fs::remove_dir_all(self.0.join(FIRST.to_string()));
    }

    /// The script as it is, but for where it looks.
    pub(super) fn run(&self, command: &mut Command, script: &str, words: &[String]) {
        fs::create_dir_all(&self.0).unwrap();
        let script = script.replace("/proc/", &format!("{}/", self.0.display()));
        command.args(words).env("TTG_HAND", script);
    }
}

/// What the shell of a Pod's hand would do, and say.
pub(super) async fn answer(shared: &Shared, uid: &str, line: &str) -> String {
    if let Some(Answer::Says(said)) = shared.rule("SHELL", line) {
        return said.to_owned();
    }
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["REACH", address, _] => network::reach(shared, uid, address).await,
        ["OPEN", _] => network::open(shared, uid),
        _ => signal(shared, uid, line).await,
    }
}

async fn signal(shared: &Shared, uid: &str, name: &str) -> String {
    let signal = match name {
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        "KILL" => Signal::KILL,
        _ => Signal::TERM,
    };
    let Some(pid) = shared.containers.first(uid) else { return "gone".to_owned() };
    let group = Pid::from_raw(pid as i32).unwrap();
    if kill_process_group(group, signal).is_err() {
        return "gone".to_owned();
    }
    for _ in 0..2000 {
        let state = state_of(pid).unwrap_or('X');
        match (name, state) {
            ("STOP", 'T') | ("TERM", _) | ("KILL", 'Z' | 'X') => {
                return format!("{name} {FIRST} {state}");
            }
            ("CONT", state) if state != 'T' => return format!("{name} {FIRST} {state}"),
            _ => sleep(Duration::from_millis(1)).await,
        }
    }
    format!("{name} {FIRST} {}", state_of(pid).unwrap_or('X'))
}

fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
