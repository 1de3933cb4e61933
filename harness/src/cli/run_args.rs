//! What `harness run` is told, and how `--backend` and such are read.

use std::path::PathBuf;

use crate::plan::{Backend, Environment};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scenario files, and names of shipped scenarios.
    #[arg(required = true, value_name = "SCENARIO")]
    pub(super) scenarios: Vec<PathBuf>,
    /// Another backend than the scenario's: embedded, redis, rabbitmq or static.
    #[arg(long, value_parser = backend)]
    pub(super) backend: Option<Backend>,
    /// Where it runs: process, container, external or kubernetes; without it, what the scenario says,
    /// else the first that works here.
    #[arg(long, value_parser = environment)]
    pub(super) environment: Option<Environment>,
    /// The cluster, as a context of the kubeconfig; without it, the current one.
    #[arg(long, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// A namespace of the cluster that is there already; without it, each run has one of its own.
    #[arg(long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// The seed of every random choice; without one it is drawn, and printed.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Where run directories go.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    pub(super) out: PathBuf,
    /// Change a value of the scenario, as in --set workers=5 or --set faults.0.at=50%.
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub(super) set: Vec<(String, String)>,
    /// Also write JUnit XML: a test case for each scenario, a skipped one for each check not judged.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// A right value that could be another chunk's is no pass: the reference kernel's come again every
    /// 1000 parameters.
    #[arg(long)]
    pub(super) strict: bool,
    /// Keep the logs and the broker's data even when the scenario passes.
    #[arg(long)]
    pub(super) keep: bool,
}

/// A backend by its name.
pub(super) fn backend(name: &str) -> Result<Backend, String> {
    Backend::ALL.into_iter().find(|backend| backend.name() == name).ok_or_else(|| {
        let names: Vec<&str> = Backend::ALL.iter().map(|backend| backend.name()).collect();
        format!("there is no such backend (valid: {})", names.join(", "))
    })
}

fn environment(name: &str) -> Result<Environment, String> {
    Environment::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| {
        let names: Vec<&str> = Environment::ALL.iter().map(|it| it.name()).collect();
        format!("there is no such environment (valid: {})", names.join(", "))
    })
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, as in workers=5")?;
    Ok((key.to_owned(), value.to_owned()))
}
