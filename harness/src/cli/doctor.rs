//! `harness doctor`.

use std::process::{Command, Stdio};

use crate::exit::Exit;
use crate::kubernetes::Cluster;
use crate::kubernetes::access::{self, Need, Reviewed};
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
];

/// Columns before what is said of a part.
const LEFT: usize = 22;

/// Says what is here, and what each lack costs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Also say what you are allowed to do on this cluster, a context of the kubeconfig, and what of
    /// that a run needs.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// In this namespace, which is there already.
    #[arg(long, value_name = "NAME", requires = "context")]
    namespace: Option<String>,
    /// Print roles that grant what is needed, as YAML, and nothing else.
    #[arg(long, conflicts_with = "context")]
    role: bool,
}

pub(super) fn main(args: &Args) -> Exit {
    if args.role {
        say(format_args!("{}", access::roles()));
        return Exit::Pass;
    }
    tell("embedded", true, &format!("SQLite {}, built in", sqlite_version()));
    for part in PARTS {
        match probe(part.probe) {
            Some(version) => tell(part.name, true, &version),
            None => tell(part.name, false, part.lack),
        }
    }
    match examine_cluster(args) {
        Ok(()) => Exit::Pass,
        // Who asks about a cluster wants to know.
        Err(()) if args.context.is_some() => Exit::Unavailable,
        Err(()) => Exit::Pass,
    }
}

/// Says what of a cluster can be used. An error where something that every run needs is missing.
fn examine_cluster(args: &Args) -> Result<(), ()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Err(()) };
    let examined = runtime.block_on(async {
        let cluster = Cluster::connect(args.context.as_deref()).await?;
        tell("kubernetes", true, &cluster.describe());
        match args.context {
            Some(_) => access::review(&cluster, args.namespace.as_deref()).await,
            None => Ok(Vec::new()),
        }
    });
    let reviewed = examined.map_err(|error| tell("kubernetes", false, &error.to_string()))?;
    let mut is_enough = true;
    for Reviewed { right, missing } in reviewed {
        let resource = match right.group {
            "" => right.resource.to_owned(),
            group => format!("{}.{group}", right.resource),
        };
        if missing.is_empty() {
            tell("  allowed", true, &format!("{} {resource}", right.verbs.join(", ")));
            continue;
        }
        is_enough &= right.need != Need::Always;
        let lack = right.need.lack();
        tell("  forbidden", false, &format!("{} {resource}: {lack}", missing.join(", ")));
    }
    if is_enough { Ok(()) } else { Err(()) }
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
