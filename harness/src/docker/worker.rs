//! A role of the system in a container that may do nothing but compute and speak to its broker.

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::PathBuf;

use testcontainers::bollard::models::{
    ContainerUpdateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum,
};
use testcontainers::core::{AccessMode, Mount};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::task::JoinHandle;

use super::container::{Container, limits, remove};
use super::engine::{Run, failed};
use super::image::parse;
use crate::environment::Unavailable;

/// Where the harness's own program is in a container that has a memory limit.
pub(super) const HELPER: &str = "/harness";

/// Over how long a share of a processor is counted, in microseconds.
const PERIOD: i64 = 100_000;

/// The least that the kernel lets a container have of it.
const QUOTA: i64 = 1_000;

/// A container of the system, not yet started.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// Also its host name.
    pub name: String,
    /// Such as `ttg-worker:dev`.
    pub image: String,
    /// Arguments to the image's program; of an image without one, the program too.
    pub command: Vec<String>,
    /// Variables; they are on nobody's command line.
    pub environment: Vec<(String, String)>,
    /// Name of its network; none: none at all.
    pub network: Option<String>,
    /// Another user than the image's, as `uid:gid`.
    pub user: Option<String>,
    /// Bytes of memory that it may have, swapped or not.
    pub memory: Option<u64>,
    /// The harness's own program: with it, and a limit, memory can be exhausted.
    pub helper: Option<PathBuf>,
    /// What of this machine it sees.
    pub binds: Vec<Bind>,
    /// File for its standard output.
    pub stdout: PathBuf,
    /// File for its standard error.
    pub stderr: PathBuf,
}

/// A directory or file of this machine in a container.
#[derive(Debug, Clone)]
pub struct Bind {
    /// Absolute path here.
    pub source: PathBuf,
    /// Absolute path there.
    pub target: String,
    /// Whether it can only be read there.
    pub read_only: bool,
}

/// How a container's first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; 128 and the signal's number if of a signal.
    pub code: i64,
    /// Whether the kernel ended it for want of memory.
    pub out_of_memory: bool,
}

/// A container of the system. It is removed when this is dropped.
pub struct WorkerContainer {
    handle: ContainerAsync<GenericImage>,
    container: Container,
    follower: RefCell<Option<JoinHandle<std::io::Result<()>>>>,
    pid: u32,
    address: Option<IpAddr>,
    can_be_exhausted: bool,
}

impl WorkerContainer {
    /// Starts one: its root cannot be written to, it has no capabilities and gets no new rights.
    ///
    /// # Errors
    /// Where there is no image, or it does not start.
    pub async fn start(run: &Run, spec: &WorkerSpec) -> Result<Self, Unavailable> {
        let name = run.name(&spec.name);
        let handle = match request(run, &name, spec).start().await {
            Ok(handle) => handle,
            Err(error) => {
                // It may have been made, though it did not start.
                let _ = remove(run.engine(), &name).await;
                let image = &spec.image;
                return Err(Unavailable(format!(
                    "image {image} does not start: {error} (ci/images makes our own images)"
                )));
            }
        };
        let container = Container::new(run.engine(), handle.id());
        let seen = container.inspect().await?;
        let pid = seen.state.and_then(|state| state.pid).unwrap_or_default();
        let networks = seen.network_settings.and_then(|it| it.networks).unwrap_or_default();
        let address = networks.into_values().find_map(|it| it.ip_address?.parse().ok());
        let (followed, stdout, stderr) =
            (container.clone(), spec.stdout.clone(), spec.stderr.clone());
        let follower =
            tokio::spawn(async move { followed.copy_output(&stdout, &stderr, true).await });
        Ok(Self {
            handle,
            container,
            follower: RefCell::new(Some(follower)),
            pid: u32::try_from(pid).unwrap_or_default(),
            address,
            can_be_exhausted: spec.memory.is_some() && spec.helper.is_some(),
        })
    }

    /// Id of the container.
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// Process id of its first process, as this machine counts; 0 if it had ended at once.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its address on the run's network.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Waits for its end; all of its output is in the files then.
    ///
    /// # Errors
    /// Where Docker does not say how it ended, or a file could not be written.
    pub async fn wait(&self) -> Result<Ended, Unavailable> {
        let state = self.container.ended().await?;
        let follower = self.follower.borrow_mut().take();
        if let Some(follower) = follower {
            let followed = follower.await.map_err(failed("follow the output of a container"))?;
            followed.map_err(failed("follow the output of a container"))?;
        }
        Ok(Ended {
            code: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed == Some(true),
        })
    }

    /// Sends its first process a signal, such as `SIGKILL`.
    ///
    /// # Errors
    /// Where it has ended.
    pub async fn kill(&self, signal: &str) -> Result<(), Unavailable> {
        self.container.kill(signal).await
    }

    /// Freezes all of its processes. Returns what was seen.
    ///
    /// # Errors
    /// Where Docker cannot.
    pub async fn pause(&self) -> Result<String, Unavailable> {
        self.handle.pause().await.map_err(failed("pause a container"))?;
        Ok(format!("{} is paused", self.container.describe()))
    }

    /// Lets it go on after [`Self::pause`]. Returns what was seen.
    ///
    /// # Errors
    /// Where Docker cannot.
    pub async fn resume(&self) -> Result<String, Unavailable> {
        self.handle.unpause().await.map_err(failed("resume a container"))?;
        Ok(format!("{} runs on", self.container.describe()))
    }

    /// Gives it a share of one processor, such as 0.1; none: as much as there is. Returns what was
    /// seen.
    ///
    /// # Errors
    /// Where Docker cannot, or shows another share.
    pub async fn update_cpu(&self, share: Option<f64>) -> Result<String, Unavailable> {
        // Less than all of a period fits, and a fraction of a microsecond does not matter.
        let quota = share.map_or(-1, |share| ((share * PERIOD as f64) as i64).max(QUOTA));
        let update = ContainerUpdateBody {
            cpu_period: Some(PERIOD),
            cpu_quota: Some(quota),
            ..Default::default()
        };
        self.update(update).await?;
        let seen = self.container.inspect().await?.host_config.and_then(|it| it.cpu_quota);
        let what = self.container.describe();
        match seen {
            Some(seen) if seen == quota && quota > 0 => {
                let (quota, period) = (quota / 1000, PERIOD / 1000);
                Ok(format!("{what} has {quota} ms of a processor in {period} ms"))
            }
            Some(seen) if seen == quota => Ok(format!("{what} has all processors")),
            seen => Err(Unavailable(format!("{what} has another share than {quota}: {seen:?}"))),
        }
    }

    /// Sets the bytes of memory that it may have.
    ///
    /// # Errors
    /// Where Docker cannot, such as because it has more already.
    pub async fn update_memory(&self, bytes: u64) -> Result<(), Unavailable> {
        let bytes = i64::try_from(bytes).ok();
        self.update(ContainerUpdateBody { memory: bytes, memory_swap: bytes, ..Default::default() })
            .await
    }

    /// Removes it, whether it runs or not.
    ///
    /// # Errors
    /// Where Docker cannot.
    pub async fn remove(self) -> Result<(), Unavailable> {
        self.handle.rm().await.map_err(failed("remove a container"))
    }

    pub(super) fn container(&self) -> &Container {
        &self.container
    }

    pub(super) fn can_be_exhausted(&self) -> bool {
        self.can_be_exhausted
    }

    async fn update(&self, update: ContainerUpdateBody) -> Result<(), Unavailable> {
        let updated = self.container.docker().update_container(self.id(), update).await;
        updated.map_err(failed("change the limits of a container"))
    }
}

fn request(run: &Run, name: &str, spec: &WorkerSpec) -> ContainerRequest<GenericImage> {
    let memory = spec.memory.and_then(|bytes| i64::try_from(bytes).ok());
    let mut request = parse(&spec.image)
        .with_cmd(spec.command.clone())
        .with_container_name(name)
        .with_hostname(&spec.name)
        .with_labels(run.labels())
        .with_network(spec.network.as_deref().unwrap_or("none"))
        .with_readonly_rootfs(true)
        .with_cap_drop("ALL")
        .with_security_opt("no-new-privileges:true")
        .with_host_config_modifier(move |host: &mut HostConfig| {
            limits(host);
            host.tmpfs = Some([("/tmp".to_owned(), String::new())].into());
            host.memory = memory;
            host.memory_swap = memory;
            host.restart_policy = Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            });
        });
    for (name, value) in &spec.environment {
        request = request.with_env_var(name, value);
    }
    if let Some(user) = &spec.user {
        request = request.with_user(user);
    }
    if let (Some(helper), Some(_)) = (&spec.helper, memory) {
        request = request.with_mount(
            Mount::bind_mount(helper.display().to_string(), HELPER)
                .with_access_mode(AccessMode::ReadOnly),
        );
    }
    for bind in &spec.binds {
        let mode = if bind.read_only { AccessMode::ReadOnly } else { AccessMode::ReadWrite };
        let source = bind.source.display().to_string();
        request =
            request.with_mount(Mount::bind_mount(source, &bind.target).with_access_mode(mode));
    }
    request
}
