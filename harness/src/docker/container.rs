//! What is done to any container, each step with what was seen of it.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use testcontainers::bollard::Docker;
use testcontainers::bollard::container::LogOutput;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::exec::{CreateExecOptions, StartExecResults};
use testcontainers::bollard::models::{
    ContainerInspectResponse, ContainerState, HostConfig, HostConfigLogConfig,
};
use testcontainers::bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptions, LogsOptions, RemoveContainerOptions,
    WaitContainerOptions,
};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::engine::{Engine, failed};
use crate::environment::Unavailable;

/// What the engine keeps of a container's output: its last bytes, in files of this size.
const LOG: [(&str, &str); 2] = [("max-size", "64m"), ("max-file", "2")];

/// How long a container may take to go that somebody else removes.
const GONE: Duration = Duration::from_secs(10);

/// Bytes that are read of what a command in a container says.
const SAID: usize = 64 * 1024;

/// A container on an engine, by its id.
#[derive(Debug, Clone)]
pub(super) struct Container {
    docker: Docker,
    pub(super) id: String,
}

/// How a command in a container ended.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) code: i64,
    pub(super) said: String,
}

/// Who runs a command in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Its first user, with no more rights than the container has.
    Root,
    /// The one whose the container is.
    Itself,
}

impl Container {
    pub(super) fn new(engine: &Engine, id: &str) -> Self {
        Self { docker: engine.docker().clone(), id: id.to_owned() }
    }

    pub(super) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// `container 3f2a9c01d4e8`.
    pub(super) fn describe(&self) -> String {
        format!("container {}", &self.id[..self.id.len().min(12)])
    }

    pub(super) async fn inspect(&self) -> Result<ContainerInspectResponse, Unavailable> {
        let options = None::<InspectContainerOptions>;
        self.docker.inspect_container(&self.id, options).await.map_err(failed("show a container"))
    }

    pub(super) async fn state(&self) -> Result<ContainerState, Unavailable> {
        let state = self.inspect().await?.state;
        state.ok_or_else(|| Unavailable(format!("docker shows no state of {}", self.describe())))
    }

    /// Process id of its first process, as this machine counts; 0 if none runs.
    pub(super) async fn pid(&self) -> Result<u32, Unavailable> {
        let pid = self.state().await?.pid.unwrap_or_default();
        Ok(u32::try_from(pid).unwrap_or_default())
    }

    pub(super) async fn kill(&self, signal: &str) -> Result<(), Unavailable> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        let killed = self.docker.kill_container(&self.id, Some(options)).await;
        killed.map_err(failed("send a signal to a container"))
    }

    /// Waits until it does not run, and returns its state then.
    pub(super) async fn ended(&self) -> Result<ContainerState, Unavailable> {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        // An exit code above 0 comes as an error: the state says more.
        let _ = self.docker.wait_container(&self.id, Some(options)).next().await;
        let state = self.state().await?;
        if state.running == Some(true) {
            return Err(Unavailable(format!("docker lost sight of {}", self.describe())));
        }
        Ok(state)
    }

    pub(super) async fn start(&self) -> Result<(), Unavailable> {
        let started = self.docker.start_container(&self.id, None).await;
        started.map_err(failed("start a container again"))
    }

    /// Runs a command in it to its end.
    pub(super) async fn execute(&self, command: &[&str], by: By) -> Result<Executed, Unavailable> {
        let cannot = failed("run a command in a container");
        let options = CreateExecOptions {
            cmd: Some(command.iter().map(ToString::to_string).collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            user: (by == By::Root).then(|| "0".to_owned()),
            ..Default::default()
        };
        let created = self.docker.create_exec(&self.id, options).await.map_err(&cannot)?;
        let started = self.docker.start_exec(&created.id, None).await.map_err(&cannot)?;
        let mut said = Vec::new();
        if let StartExecResults::Attached { mut output, .. } = started {
            // It breaks off where the container ends.
            while let Some(Ok(piece)) = output.next().await {
                let piece = piece.into_bytes();
                said.extend_from_slice(&piece[..piece.len().min(SAID - said.len())]);
            }
        }
        let ended = self.docker.inspect_exec(&created.id).await.map_err(&cannot)?;
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Ok(Executed { code: ended.exit_code.unwrap_or(-1), said })
    }

    /// Copies its output so far.
    pub(super) async fn logs(&self, to: &Path) -> Result<(), Unavailable> {
        self.copy_output(to, to, false).await.map_err(failed("copy the output of a container"))
    }

    /// Copies its output, as it comes if it is followed, until it ends.
    pub(super) async fn copy_output(
        &self,
        stdout: &Path,
        stderr: &Path,
        follow: bool,
    ) -> std::io::Result<()> {
        let mut output = self.docker.logs(
            &self.id,
            Some(LogsOptions { follow, stdout: true, stderr: true, ..Default::default() }),
        );
        let mut out = open(stdout).await?;
        let mut apart = match stdout == stderr {
            true => None,
            false => Some(open(stderr).await?),
        };
        while let Some(piece) = output.next().await {
            let piece = piece.map_err(std::io::Error::other)?;
            let of_errors = matches!(piece, LogOutput::StdErr { .. });
            let file = apart.as_mut().filter(|_| of_errors).unwrap_or(&mut out);
            file.write_all(&piece.into_bytes()).await?;
            // Others read the files while it runs.
            file.flush().await?;
        }
        Ok(())
    }

    /// The last lines that it wrote, on one line.
    pub(super) async fn last_words(&self) -> String {
        let options =
            LogsOptions { stdout: true, stderr: true, tail: "3".to_owned(), ..Default::default() };
        let mut output = self.docker.logs(&self.id, Some(options));
        let mut said = String::new();
        while let Some(Ok(piece)) = output.next().await {
            said += &String::from_utf8_lossy(&piece.into_bytes());
        }
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
        if lines.is_empty() { "it said nothing".to_owned() } else { lines.join("; ") }
    }
}

/// Removes a container by name or id, whether it runs or not, with its nameless volumes.
pub(super) async fn remove(engine: &Engine, name: &str) -> Result<(), Unavailable> {
    let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    match engine.docker().remove_container(name, Some(options)).await {
        // Somebody else is at it, and what it uses can only go when it has.
        Err(Error::DockerResponseServerError { status_code: 409, .. }) => {
            let options = WaitContainerOptions { condition: "removed".to_owned() };
            let _ = timeout(GONE, engine.docker().wait_container(name, Some(options)).next()).await;
            Ok(())
        }
        removed => removed.map_err(failed("remove a container")),
    }
}

/// What holds for every container of ours: no port is published, and its output is bounded.
pub(super) fn limits(host: &mut HostConfig) {
    host.publish_all_ports = Some(false);
    host.log_config = Some(HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(LOG.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
    });
}

/// A file at whose end is written: one process after another may have the same.
async fn open(path: &Path) -> std::io::Result<tokio::fs::File> {
    tokio::fs::OpenOptions::new().create(true).append(true).open(path).await
}
