//! A broker in a container: a port of the loopback and a volume that both outlive its process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use testcontainers::bollard::models::{
    ContainerState, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest, PortBinding,
};
use testcontainers::bollard::query_parameters::StopContainerOptions;
use testcontainers::core::{ContainerPort, Mount};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::time::{Instant, sleep};

use super::container::{By, Container, Executed, limits, remove};
use super::engine::{Run, failed};
use super::image::parse;
use super::network::Network;
use super::volume;
use crate::environment::{Downtime, Seen, Server, Unavailable, ports};

/// How long a server may take until it is ready: RabbitMQ is slow to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// How long a server may take to end when it is asked to, in seconds.
const STOP: i32 = 30;

/// A port that was free may be taken by the time the server wants it; so many are tried.
const PORTS: usize = 5;

/// What a disk is filled with at a time, in KiB.
const PIECE_KIB: u64 = 64;

/// How one broker differs from another.
pub(super) trait Flavour: Sync {
    /// On the network of the run, and of its node.
    fn host(&self) -> &'static str;
    /// Where clients are heard in the container.
    fn port(&self) -> u16;
    /// Where its data is in the container.
    fn data(&self) -> &'static str;
    /// Command, variables and files.
    fn configure(&self, image: ContainerRequest<GenericImage>) -> ContainerRequest<GenericImage>;
    /// What is left of its disk where that is full, in KiB: what it needs to live on.
    fn spare_kib(&self) -> u64 {
        0
    }
    /// Waits until it shows its clients that it takes nothing for want of space, where it does; how.
    fn takes_nothing(
        &self,
        _port: u16,
    ) -> futures_util::future::BoxFuture<'static, Result<String, Unavailable>> {
        Box::pin(async { Ok(String::new()) })
    }
    /// Its name, and its version where a client is told, once it serves one.
    fn greet(&self, port: u16) -> futures_util::future::BoxFuture<'static, Option<String>>;
}

/// A broker that runs in a container. It is removed when this is dropped; its volume with what else
/// the run leaves (`sweep`).
pub struct ServerContainer {
    flavour: Box<dyn Flavour>,
    handle: ContainerAsync<GenericImage>,
    container: Container,
    keeper: Container,
    // Holds the volume while the server is down, and reaches into it.
    _keeper: ContainerAsync<GenericImage>,
    port: u16,
    _reserved: ports::Reserved,
    disk: Option<u64>,
    greeting: String,
    image: String,
    /// An operation has ended it, and may start it again.
    down: Downtime,
}

impl ServerContainer {
    pub(super) async fn start(
        run: &Run,
        network: &Network,
        image: String,
        disk: Option<u64>,
        flavour: Box<dyn Flavour>,
    ) -> Result<Self, Unavailable> {
        let volume = volume::create(run, flavour.host(), disk).await?;
        let keep = Keep { run, image: &image, volume: &volume, flavour: flavour.as_ref() };
        let held = keep.start_keeper().await?;
        let (handle, port, reserved) = keep.start_server(network).await?;
        let container = Container::new(run.engine(), handle.id());
        let keeper = Container::new(run.engine(), held.id());
        connect(run, network, handle.id(), flavour.host()).await?;
        let greeting = until_ready(flavour.as_ref(), &container, port).await?;
        let _keeper = held;
        Ok(Self {
            flavour,
            handle,
            container,
            keeper,
            _keeper,
            port,
            _reserved: reserved,
            disk,
            greeting,
            image,
            down: Downtime::default(),
        })
    }

    /// Its name on the network of the run.
    pub fn host(&self) -> &'static str {
        self.flavour.host()
    }

    /// Id of its container.
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// Process id of its first process, as this machine counts; 0 if none runs.
    ///
    /// # Errors
    /// Where Docker does not say.
    pub async fn pid(&self) -> Result<u32, Unavailable> {
        self.container.pid().await
    }

    fn docker(&self) -> &testcontainers::bollard::Docker {
        self.container.docker()
    }

    fn ballast(&self) -> String {
        format!("{}/ballast", self.flavour.data())
    }

    fn has_own_disk(&self) -> Result<(), Unavailable> {
        let missing = || Unavailable("the server was started without a disk of its own".to_owned());
        self.disk.map(|_| ()).ok_or_else(missing)
    }

    /// Runs a command that must succeed beside the server, and returns what it says.
    async fn keep_clear(&self, command: &[&str]) -> Result<String, Unavailable> {
        let Executed { code, said } = self.keeper.execute(command, By::Root).await?;
        if code == 0 { Ok(said) } else { Err(Unavailable(format!("{}: {said}", command[0]))) }
    }

    async fn free_kib(&self) -> Result<u64, Unavailable> {
        let said = self.keep_clear(&["df", "-P", "-k", self.flavour.data()]).await?;
        let free =
            said.lines().last().and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
        free.ok_or_else(|| Unavailable(format!("df says nothing of free space: {said}")))
    }

    async fn paused_is(&self, wanted: bool) -> Result<String, Unavailable> {
        let paused = self.container.state().await?.paused == Some(true);
        let what = self.container.describe();
        match (paused, wanted) {
            (true, true) => Ok(format!("{what} is paused")),
            (false, false) => Ok(format!("{what} runs on")),
            _ => Err(Unavailable(format!("{what}: docker shows paused as {paused}"))),
        }
    }

    fn ended_with(&self, state: &ContainerState, wanted: &[i64]) -> Result<String, Unavailable> {
        let what = self.container.describe();
        match state.exit_code {
            Some(code) if wanted.contains(&code) => Ok(format!("{what} exited with code {code}")),
            _ => Err(Unavailable(format!("{what} ended otherwise than meant: {}", how(state)))),
        }
    }
}

#[async_trait(?Send)]
impl Server for ServerContainer {
    fn describe(&self) -> String {
        let (greeting, image) = (&self.greeting, &self.image);
        format!("{greeting} (image {image}) in {} on {}", self.container.describe(), self.address())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn inside(&self) -> Option<&str> {
        Some(self.host())
    }

    async fn keep_log(&self, logs: &Path) {
        // For people who investigate: nothing depends on it.
        let _ = self.container.logs(&logs.join("broker.log")).await;
    }

    async fn ended(&self) -> String {
        let end = async || match self.container.ended().await {
            // It was down and runs again since.
            Err(_) if self.pid().await.is_ok_and(|pid| pid != 0) => None,
            Err(Unavailable(why)) => Some(why),
            Ok(state) => Some(how(&state)),
        };
        let how = self.down.unmeant(end).await;
        let (what, said) = (self.container.describe(), self.container.last_words().await);
        format!("{what} of {} ended by itself ({how}): {said}", self.host())
    }

    async fn kill(&self) -> Seen {
        self.down.begin();
        self.container.kill("SIGKILL").await?;
        let state = self.container.ended().await?;
        self.ended_with(&state, &[137])
    }

    async fn stop(&self) -> Seen {
        self.down.begin();
        let options = StopContainerOptions { t: Some(STOP), ..Default::default() };
        let docker = self.docker();
        docker
            .stop_container(self.id(), Some(options))
            .await
            .map_err(failed("stop a container"))?;
        let state = self.container.ended().await?;
        // Some programs end of the signal, others at it.
        self.ended_with(&state, &[0, 143])
    }

    async fn start_again(&self) -> Seen {
        let started = async {
            self.container.start().await?;
            until_ready(self.flavour.as_ref(), &self.container, self.port).await?;
            Ok(format!("{} runs, now process {}", self.container.describe(), self.pid().await?))
        };
        let seen = started.await;
        // Those who watch for its end learn of it where it did not start.
        self.down.end();
        seen
    }

    async fn wipe(&self) -> Seen {
        let killed = self.kill().await?;
        let data = self.flavour.data();
        self.keep_clear(&["find", data, "-mindepth", "1", "-delete"]).await?;
        let left = self.keep_clear(&["find", data, "-mindepth", "1"]).await?;
        if !left.is_empty() {
            return Err(Unavailable(format!("{data} is not empty after it was wiped: {left}")));
        }
        Ok(format!("{killed}, its data were deleted"))
    }

    async fn pause(&self) -> Seen {
        self.handle.pause().await.map_err(failed("pause a container"))?;
        self.paused_is(true).await
    }

    async fn resume(&self) -> Seen {
        self.handle.unpause().await.map_err(failed("resume a container"))?;
        self.paused_is(false).await
    }

    async fn fill_disk(&self) -> Seen {
        self.has_own_disk()?;
        let (spare, before) = (self.flavour.spare_kib(), self.free_kib().await?);
        let ballast = format!("of={}", self.ballast());
        // One piece more than there is room for, where nothing is to be left.
        let pieces = format!("count={}", before.saturating_sub(spare) / PIECE_KIB + 1);
        let dd = ["dd", "if=/dev/zero", &ballast, "bs=64k", &pieces];
        // It may end of this, and is started again by the one who frees the disk.
        self.down.begin();
        let Executed { code, said } = self.keeper.execute(&dd, By::Root).await?;
        let free = self.free_kib().await?;
        if free > spare {
            return Err(Unavailable(format!(
                "the disk is not full: {free} KiB are free, dd ended with {code}: {said}"
            )));
        }
        let shown = self.flavour.takes_nothing(self.port).await?;
        Ok(format!("{free} KiB free at {}{shown}", self.flavour.data()))
    }

    async fn free_disk(&self) -> Seen {
        self.has_own_disk()?;
        self.keep_clear(&["rm", "-f", &self.ballast()]).await?;
        let free = self.free_kib().await?;
        if free <= self.flavour.spare_kib() {
            return Err(Unavailable("the disk is full still".to_owned()));
        }
        let freed = format!("{free} KiB free at {}", self.flavour.data());
        // One that answers now was not about to end.
        match until_ready(self.flavour.as_ref(), &self.container, self.port).await {
            Ok(_) => {
                self.down.end();
                Ok(freed)
            }
            Err(_) if self.pid().await? == 0 => {
                let how = how(&self.container.state().await?);
                let started = self.start_again().await?;
                Ok(format!("{freed}, it had ended for want of space ({how}), {started}"))
            }
            Err(problem) => Err(problem),
        }
    }
}

/// How a container ended.
fn how(state: &ContainerState) -> String {
    let code = state.exit_code.unwrap_or_default();
    let memory = if state.oom_killed == Some(true) { ", out of memory" } else { "" };
    format!("exit code {code}{memory}")
}

/// What both containers of a server are made from.
struct Keep<'a> {
    run: &'a Run,
    image: &'a str,
    volume: &'a str,
    flavour: &'a dyn Flavour,
}

impl Keep<'_> {
    /// A container that only holds the volume: a file system in memory is gone when nobody does.
    async fn start_keeper(&self) -> Result<ContainerAsync<GenericImage>, Unavailable> {
        let name = self.run.name(&format!("{}-data", self.flavour.host()));
        let request = parse(self.image)
            .with_entrypoint("tail")
            .with_cmd(["-f", "/dev/null"])
            .with_container_name(&name)
            .with_labels(self.run.labels())
            .with_user("0")
            .with_network("none")
            .with_mount(Mount::volume_mount(self.volume, self.flavour.data()))
            .with_host_config_modifier(limits);
        request.start().await.map_err(|error| self.not_started(&error))
    }

    async fn start_server(
        &self,
        network: &Network,
    ) -> Result<(ContainerAsync<GenericImage>, u16, ports::Reserved), Unavailable> {
        let name = self.run.name(self.flavour.host());
        let mut last = Unavailable(String::new());
        for _ in 0..PORTS {
            let ([port], reserved) = ports::free()?;
            match self.request(&name, network, port).start().await {
                Ok(container) => return Ok((container, port, reserved)),
                Err(error) => last = self.not_started(&error),
            }
            // It may have been made, though it did not start.
            let _ = remove(self.run.engine(), &name).await;
            if !last.0.contains("port is already allocated") && !last.0.contains("in use") {
                break;
            }
        }
        Err(last)
    }

    fn request(&self, name: &str, network: &Network, port: u16) -> ContainerRequest<GenericImage> {
        let inside = self.flavour.port();
        let image = parse(self.image).with_exposed_port(ContainerPort::Tcp(inside));
        let request = image
            .with_container_name(name)
            .with_hostname(self.flavour.host())
            .with_labels(self.run.labels())
            .with_network(network.name())
            .with_mount(Mount::volume_mount(self.volume, self.flavour.data()))
            .with_host_config_modifier(move |host| {
                limits(host);
                // A port chosen by Docker moves at a restart, and one of the library is for all
                // the world.
                let binding = PortBinding {
                    host_ip: Some("127.0.0.1".to_owned()),
                    host_port: Some(port.to_string()),
                };
                host.port_bindings = Some([(format!("{inside}/tcp"), Some(vec![binding]))].into());
            });
        self.flavour.configure(request)
    }

    fn not_started(&self, error: &dyn std::error::Error) -> Unavailable {
        let why = std::iter::successors(Some(error), |error| error.source())
            .map(ToString::to_string)
            .last()
            .unwrap_or_default();
        let image = self.image;
        let is_missing = why.contains("pull") || why.contains("such host") || why.contains("404");
        let hint = if is_missing {
            format!(
                " (run docker pull {image}, or ci/images where that cannot be had, or install the server and \
                 use --environment process)"
            )
        } else {
            String::new()
        };
        Unavailable(format!("image {image} does not start: {why}{hint}"))
    }
}

/// Puts a container on the network again, under a name of ours: the library knows no names.
async fn connect(run: &Run, network: &Network, id: &str, alias: &str) -> Result<(), Unavailable> {
    let docker = run.engine().docker();
    let name = network.name();
    let leave = NetworkDisconnectRequest { container: id.to_owned(), force: Some(false) };
    docker.disconnect_network(name, leave).await.map_err(failed("disconnect a container"))?;
    let join = NetworkConnectRequest {
        container: id.to_owned(),
        endpoint_config: Some(EndpointSettings {
            aliases: Some(vec![alias.to_owned()]),
            ..Default::default()
        }),
    };
    docker.connect_network(name, join).await.map_err(failed("connect a container to a network"))
}

async fn until_ready(
    flavour: &dyn Flavour,
    container: &Container,
    port: u16,
) -> Result<String, Unavailable> {
    let deadline = Instant::now() + START;
    loop {
        if let Some(greeting) = flavour.greet(port).await {
            return Ok(greeting);
        }
        let state = container.state().await?;
        let problem = if state.running != Some(true) {
            how(&state)
        } else if Instant::now() >= deadline {
            format!("not ready within {START:?}")
        } else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let said = container.last_words().await;
        return Err(Unavailable(format!("{} does not start: {problem}: {said}", flavour.host())));
    }
}
