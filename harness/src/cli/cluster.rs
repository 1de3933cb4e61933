//! `harness cluster`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::problem;
use crate::environment::Unavailable;
use crate::exit::Exit;
use crate::kubernetes::{self, Cluster};
use crate::report::say;

/// Images that scenarios need, of which those that are here are taken to the cluster.
const IMAGES: [&str; 6] = [
    "ttg-worker:dev",
    "redis:7.2-alpine",
    "ttg-redis:debian",
    "rabbitmq:3-management",
    "ttg-rabbitmq:debian",
    "ttg-foreign:debian",
];

/// A cluster of kind on this machine, for `--environment kubernetes`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    /// Name of the cluster; its context is called `kind-` and that.
    #[arg(long, global = true, default_value = "ttg-sandbox")]
    name: String,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make it, if it is not there, take our images to it, and wait until its nodes are ready.
    Up {
        /// What it is made of.
        #[arg(long, default_value = "kind-config.yaml", value_name = "FILE")]
        config: PathBuf,
    },
    /// Remove it, with all that is on it.
    Down,
}

pub(super) fn main(args: &Args) -> Exit {
    let done = match &args.what {
        What::Up { config } => up(&args.name, config),
        What::Down => kind(&["delete", "cluster", "--name", &args.name]).map(drop),
    };
    match done {
        Ok(()) => Exit::Pass,
        Err(Unavailable(why)) => problem(&why, Exit::Unavailable),
    }
}

fn up(name: &str, config: &std::path::Path) -> Result<(), Unavailable> {
    let there = kind(&["get", "clusters"])?;
    if there.lines().any(|line| line.trim() == name) {
        say(format_args!("cluster {name} is there\n"));
    } else {
        if !config.is_file() {
            return Err(Unavailable(format!(
                "{} is not here (run this where it is, or name another with --config)",
                config.display()
            )));
        }
        let config = config.display().to_string();
        say(format_args!("cluster {name} is being made (about a minute)\n"));
        kind(&["create", "cluster", "--name", name, "--config", &config])?;
    }
    let images: Vec<&str> = IMAGES.into_iter().filter(|image| is_here(image)).collect();
    if images.is_empty() {
        return Err(Unavailable(
            "none of the images is on this machine's Docker (ci/images makes them)".to_owned(),
        ));
    }
    say(format_args!("taking {} to its nodes\n", images.join(", ")));
    kind(&[&["load", "docker-image"], &images[..], &["--name", name]].concat())?;
    let context = format!("kind-{name}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Unavailable(format!("cannot start the runtime: {error}")))?;
    let nodes = runtime.block_on(async {
        let cluster = Cluster::connect(Some(&context)).await?;
        kubernetes::nodes_ready(&cluster).await
    })?;
    say(format_args!(
        "{nodes} nodes are ready: harness run scenarios/m3-redis-fault.yaml --environment kubernetes \
         --context {context}\n"
    ));
    Ok(())
}

/// Runs kind to its end, and returns what it prints.
fn kind(arguments: &[&str]) -> Result<String, Unavailable> {
    let output = run("kind", arguments).map_err(|error| {
        Unavailable(format!(
            "kind cannot be run: {error} (install it as https://kind.sigs.k8s.io says; any other \
             cluster of a kubeconfig does as well, with harness run --context)"
        ))
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    Err(Unavailable(format!("kind {}: {}: {last}", arguments[..2].join(" "), output.status)))
}

fn is_here(image: &str) -> bool {
    run("docker", &["image", "inspect", image]).is_ok_and(|output| output.status.success())
}

fn run(program: &str, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(program).args(arguments).stdin(Stdio::null()).output()
}
