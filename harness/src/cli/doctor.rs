//! `harness doctor`.

use std::process::{Command, Stdio};

use crate::docker::{self, Engine};
use crate::environment::{docker_host, server_name, server_program, worker_image};
use crate::exit::Exit;
use crate::kubernetes::Cluster;
use crate::kubernetes::access::{self, Need, Reviewed};
use crate::plan::Backend;
use crate::report::say;
use crate::report::terminal::{WIDTH, wrapped};

/// Servers that may be installed here, the argument by which each says its version, and what the lack costs.
const SERVERS: [(Backend, &[&str], &str); 2] = [
    (
        Backend::Redis,
        &["redis-server", "--version"],
        "scenarios on redis cannot run without Docker (Debian, Ubuntu: apt-get install redis-server)",
    ),
    (
        Backend::RabbitMq,
        // The server itself says it only while it runs.
        &["dpkg-query", "--show", "rabbitmq-server"],
        "scenarios on rabbitmq cannot run without Docker (Debian, Ubuntu: apt-get install \
         rabbitmq-server)",
    ),
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
    for (backend, version, lack) in SERVERS {
        let name = server_name(backend).unwrap_or_default();
        match server_program(backend) {
            Some(program) => {
                let version = probe(version).map_or_else(String::new, |it| format!("{it}, "));
                tell(name, true, &format!("{version}{}", program.display()));
            }
            None => tell(name, false, lack),
        }
    }
    examine_docker();
    match examine_cluster(args) {
        Ok(()) => Exit::Pass,
        // Who asks about a cluster wants to know.
        Err(()) if args.context.is_some() => Exit::Unavailable,
        Err(()) => Exit::Pass,
    }
}

/// Says whether Docker answers where a run would ask it, and which images it would use.
fn examine_docker() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let engine = match Engine::connect().await {
            Ok(engine) => engine,
            Err(error) => {
                let lack = "environment container cannot be had";
                return tell(
                    "docker",
                    false,
                    &format!(
                        "{lack}: {error}; to install it on Debian and \
                    Ubuntu: apt-get install docker.io, then ci/images"
                    ),
                );
            }
        };
        tell("docker", true, &format!("{} at {}", engine.version(), docker_host()));
        let images = [("redis", &docker::REDIS_IMAGES), ("rabbitmq", &docker::RABBITMQ_IMAGES)];
        for (of, images) in images {
            let image = images.choose(&engine, None).await;
            tell_image(&engine, of, &image).await;
        }
        tell_image(&engine, "worker", &worker_image()).await;
    });
}

async fn tell_image(engine: &Engine, of: &str, image: &str) {
    let is_here = engine.has_image(image).await;
    let lack = match (is_here, of) {
        (true, _) => "",
        (false, "worker") => ": workers_in: container cannot be had (ci/images makes it)",
        (false, _) => ": it would be pulled when it is needed (ci/images makes one of our own)",
    };
    tell(&format!("  {of} image"), is_here, &format!("{image}{lack}"));
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
