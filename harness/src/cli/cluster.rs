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
        /// An image that is taken to it besides our own; can be given several times.
        #[arg(long = "image", value_name = "NAME")]
        images: Vec<String>,
    },
    /// Remove it, with all that is on it.
    Down,
}

pub(super) fn main(args: &Args) -> Exit {
    let done = match &args.what {
        What::Up { config, images } => up(&args.name, config, images),
        What::Down => kind(&["delete", "cluster", "--name", &args.name]).map(drop),
    };
    match done {
        Ok(()) => Exit::Pass,
        Err(Unavailable(why)) => problem(&why, Exit::Unavailable),
    }
}

fn up(name: &str, config: &std::path::Path, more: &[String]) -> Result<(), Unavailable> {
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
    let here = |image: &'static str| Some((image, platform(image)?));
    let mut here: Vec<(&str, String)> = IMAGES.into_iter().filter_map(here).collect();
    for image in more {
        here.push((image, platform(image).ok_or_else(|| not_here(image))?));
    }
    if here.is_empty() {
        return Err(Unavailable(
            "none of the images is on this machine's Docker (ci/images makes them)".to_owned(),
        ));
    }
    for (image, platform) in &here {
        say(format_args!("taking {image} to its nodes\n"));
        load(image, platform, name)?;
    }
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
    Err(Unavailable(format!("kind {}: {}", arguments[..2].join(" "), last(&output))))
}

fn not_here(image: &str) -> Unavailable {
    Unavailable(format!("image {image} is not on this machine's Docker (docker pull {image})"))
}

/// The platform of an image, where it is here.
fn platform(image: &str) -> Option<String> {
    let format = ["--format", "{{.Os}}/{{.Architecture}}"];
    let inspected = run("docker", &[&["image", "inspect", image], &format[..]].concat()).ok()?;
    let platform = String::from_utf8_lossy(&inspected.stdout).trim().to_owned();
    inspected.status.success().then_some(platform)
}

/// Takes an image to every node, by a file. `kind load docker-image` cannot, where Docker keeps its images
/// in containerd's store: of an image that was pulled, all platforms are named there, and one is there.
fn load(image: &str, platform: &str, name: &str) -> Result<(), Unavailable> {
    let archive = Archive(std::env::temp_dir().join(format!("ttg-{}.tar", std::process::id())));
    let path = archive.0.display().to_string();
    save(image, platform, &path)?;
    kind(&["load", "image-archive", &path, "--name", name]).map(drop)
}

/// Docker before 28 cannot be told a platform, and has one alone.
fn save(image: &str, platform: &str, to: &str) -> Result<(), Unavailable> {
    let of_platform = ["image", "save", "--platform", platform, "--output", to, image];
    let save = ["image", "save", "--output", to, image];
    if run("docker", &of_platform).is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    match run("docker", &save) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Unavailable(format!("docker cannot save {image}: {}", last(&output)))),
        Err(error) => Err(Unavailable(format!("docker cannot be run: {error} (install it)"))),
    }
}

/// A file that is removed when this is dropped.
struct Archive(PathBuf);

impl Drop for Archive {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The last line that a program said of its failure, and how it ended.
fn last(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    format!("{}: {last}", output.status)
}

fn run(program: &str, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(program).args(arguments).stdin(Stdio::null()).output()
}
