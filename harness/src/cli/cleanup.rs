//! `harness cleanup`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::problem;
use crate::docker::{self, Engine, Which};
use crate::environment::{Unavailable, janitor};
use crate::exit::Exit;
use crate::kubernetes::{self, Cluster};
use crate::maker::Maker;
use crate::report::say;
use crate::report::terminal::{WIDTH, wrapped};
use crate::words::quoted;

/// Columns before what something is called.
const LEFT: usize = 22;

/// Finds what harnesses that run no more have left behind: processes, containers, networks, volumes,
/// and, on a cluster that is named, namespaces or objects in one, and nodes that take no Pods.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    how: How,
    /// On this cluster too, a context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// There, objects in this namespace instead of namespaces of ours.
    #[arg(long, value_name = "NAME", requires = "context")]
    namespace: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct How {
    /// Say what there is, and leave it.
    #[arg(long)]
    dry_run: bool,
    /// Remove it; what a harness that still runs has is left alone.
    #[arg(long)]
    force: bool,
}

pub(super) fn main(args: &Args) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return problem(&format!("cannot start the runtime: {error}"), Exit::Internal);
        }
    };
    let force = args.how.force;
    let mut told = clean_processes(force);
    let cleaned = runtime.block_on(async {
        let mut told = clean_docker(force).await?;
        if let Some(context) = &args.context {
            told += clean_cluster(context, args.namespace.as_deref(), force).await?;
        }
        Ok(told)
    });
    match cleaned {
        Ok(more) => told += more,
        Err(Unavailable(why)) => return problem(&why, Exit::Unavailable),
    }
    if told == 0 {
        say(format_args!("nothing to clean up\n"));
    } else if args.how.dry_run {
        say(format_args!("nothing was changed; --force removes what is not in use\n"));
    }
    Exit::Pass
}

/// What is on a cluster. Returns how much that is.
async fn clean_cluster(
    context: &str,
    namespace: Option<&str>,
    force: bool,
) -> Result<usize, Unavailable> {
    let cluster = Cluster::connect(Some(context)).await?;
    let place = kubernetes::Where::of(namespace);
    let found = kubernetes::list(&cluster, place).await?;
    if force {
        kubernetes::sweep(&cluster, place, &kubernetes::Which::DeadOwners).await?;
    }
    for it in &found {
        let what = what(&it.name, &it.run, it.maker.as_ref());
        tell(state(it.in_use(), force), it.kind, &what);
    }
    Ok(found.len())
}

/// What it is, and whose, if that is not for this machine to know.
fn what(name: &str, run: &str, maker: Option<&Maker>) -> String {
    let stranger = maker.and_then(Maker::as_stranger).unwrap_or_default();
    format!("{name} of {}{stranger}", quoted(run))
}

fn tell(state: &str, kind: &str, what: &str) {
    let mut left = format!("{state:10}{kind:12}");
    for line in wrapped(what, WIDTH - LEFT) {
        say(format_args!("{left:LEFT$}{line}\n"));
        left.clear();
    }
}

fn state(in_use: bool, force: bool) -> &'static str {
    match (in_use, force) {
        (true, _) => "in use",
        (false, true) => "removed",
        (false, false) => "left over",
    }
}

/// What is on the engine, if there is one. Returns how much that is.
async fn clean_docker(force: bool) -> Result<usize, Unavailable> {
    let engine = match Engine::connect().await {
        Ok(engine) => engine,
        Err(Unavailable(why)) => {
            tell("not here", "docker", &why);
            return Ok(0);
        }
    };
    let found = docker::list(&engine).await?;
    if force {
        docker::sweep(&engine, &Which::DeadOwners).await?;
    }
    for it in &found {
        let what = what(&it.name, &it.run, it.maker.as_ref());
        tell(state(it.in_use(), force), it.kind.word(), &what);
    }
    Ok(found.len())
}

/// Processes of runs. Returns how many there are.
fn clean_processes(force: bool) -> usize {
    let marked = marked();
    for process in &marked {
        let in_use = has_janitor(&process.mark);
        if force && !in_use && process.is_still_there() {
            // It may have ended by itself.
            let _ = kill_process(process.pid, Signal::KILL);
        }
        let pid = process.pid.as_raw_nonzero();
        let what = format!("{pid} of {}", quoted(&process.mark.to_string_lossy()));
        tell(state(in_use, force), "process", &what);
    }
    marked.len()
}

/// A process that carries the mark of a run.
struct Marked {
    pid: Pid,
    mark: OsString,
}

impl Marked {
    fn is_still_there(&self) -> bool {
        mark_of(self.pid).as_ref() == Some(&self.mark)
    }
}

fn marked() -> Vec<Marked> {
    let this = i32::try_from(std::process::id()).unwrap_or_default();
    processes()
        .filter(|pid| pid.as_raw_nonzero().get() != this)
        .filter_map(|pid| Some(Marked { pid, mark: mark_of(pid)? }))
        .collect()
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn mark_of(process: Pid) -> Option<OsString> {
    // Others' processes cannot be read, and dead ones have no environment.
    let environment = read(process, "environ");
    let mark = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(janitor::VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    Some(OsString::from_vec(mark.to_vec()))
}

/// Whether a run goes on: its janitor ends with it.
fn has_janitor(mark: &OsString) -> bool {
    let wanted = [janitor::SUBCOMMAND.as_bytes(), mark.as_bytes()];
    processes().any(|pid| {
        let command = read(pid, "cmdline");
        command.split(|byte| *byte == 0).skip(1).take(2).eq(wanted)
    })
}

fn read(process: Pid, file: &str) -> Vec<u8> {
    let path = Path::new("/proc").join(process.as_raw_nonzero().to_string()).join(file);
    fs::read(path).unwrap_or_default()
}
