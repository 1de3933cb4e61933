//! `harness doctor`.

use std::process::{Command, Stdio};

use crate::exit::Exit;
use crate::report::say;
use crate::report::terminal::{WIDTH, wrapped};

/// Something that a machine may have, and what its lack costs.
struct Part {
    name: &'static str,
    /// Program and arguments that succeed where it is there, and print its version.
    probe: &'static [&'static str],
    lack: &'static str,
}

const PARTS: &[Part] = &[
    Part {
        name: "redis-server",
        probe: &["redis-server", "--version"],
        lack: "scenarios on redis cannot run (Debian, Ubuntu: apt-get install redis-server)",
    },
    Part {
        name: "rabbitmq-server",
        probe: &["dpkg-query", "--show", "rabbitmq-server"],
        lack: "scenarios on rabbitmq cannot run (Debian, Ubuntu: apt-get install rabbitmq-server)",
    },
    Part {
        name: "docker",
        probe: &["docker", "version", "--format", "{{.Server.Version}}"],
        lack: "environment container cannot be had (Debian, Ubuntu: apt-get install docker.io; then \
               ci/images)",
    },
    Part {
        name: "kubernetes",
        probe: &["kubectl", "version", "--request-timeout=3s"],
        lack: "nothing yet: no scenario needs a cluster",
    },
];

/// Columns before what is said of a part.
const LEFT: usize = 22;

pub(super) fn main() -> Exit {
    tell("embedded", true, &format!("SQLite {}, built in", sqlite_version()));
    for part in PARTS {
        match probe(part.probe) {
            Some(version) => tell(part.name, true, &version),
            None => tell(part.name, false, part.lack),
        }
    }
    Exit::Pass
}

fn tell(name: &str, is_here: bool, what: &str) {
    let here = if is_here { "yes" } else { "no" };
    let mut left = format!("{name:17}{here:5}");
    for line in wrapped(what, WIDTH - LEFT) {
        say(format_args!("{left:LEFT$}{line}\n"));
        left.clear();
    }
}

fn sqlite_version() -> &'static str {
    ttg_system::queue::embedded::sqlite_version()
}

/// The version that the probe prints.
fn probe(command: &[&str]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.lines().next()?.split([' ', '\t', '=']);
    let is_version = |word: &&str| word.trim_start_matches('v').starts_with(char::is_numeric);
    Some(words.find(is_version).unwrap_or("of an unknown version").to_owned())
}
