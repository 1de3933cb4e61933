//! `harness doctor`.

use std::process::{Command, Stdio};

use crate::exit::Exit;
use crate::report::say;

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
        name: "docker",
        probe: &["docker", "version", "--format", "{{.Server.Version}}"],
        lack: "nothing yet: no scenario needs containers",
    },
    Part {
        name: "kubernetes",
        probe: &["kubectl", "version", "--request-timeout=3s"],
        lack: "nothing yet: no scenario needs a cluster",
    },
];

pub(super) fn main() -> Exit {
    say(format_args!("{:14}yes  SQLite {}, built in\n", "embedded", sqlite_version()));
    for part in PARTS {
        match probe(part.probe) {
            Some(version) => say(format_args!("{:14}yes  {version}\n", part.name)),
            None => say(format_args!("{:14}no   {}\n", part.name, part.lack)),
        }
    }
    Exit::Pass
}

fn sqlite_version() -> &'static str {
    ttg_system::queue::embedded::sqlite_version()
}

/// The first line that the probe prints, shortened.
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
    Some(text.lines().next()?.chars().take(60).collect())
}
