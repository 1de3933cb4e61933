//! What of brokers this machine has. It is looked for here alone, so that `doctor`, the choice of an
//! environment and whoever starts a server find the same.

use std::env;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::Unavailable;
use crate::plan::Backend;

/// Where Debian keeps RabbitMQ's own program; the one on the search path changes the user there.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// Where Docker listens, unless `DOCKER_HOST` says otherwise.
const DOCKER: &str = "unix:///var/run/docker.sock";

/// The name of the program that a backend's server is.
pub fn server_name(backend: Backend) -> Option<&'static str> {
    match backend {
        Backend::Embedded | Backend::Static => None,
        Backend::Redis => Some("redis-server"),
        Backend::RabbitMq => Some("rabbitmq-server"),
    }
}

/// The program that a backend's server is, where it is here.
pub fn server_program(backend: Backend) -> Option<PathBuf> {
    let name = server_name(backend)?;
    let debians = (backend == Backend::RabbitMq).then(|| PathBuf::from(RABBITMQ));
    let paths = env::var_os("PATH").unwrap_or_default();
    let searched = env::split_paths(&paths).map(|path| path.join(name)).collect::<Vec<_>>();
    debians.into_iter().chain(searched).find(|program| can_be_started(program))
}

fn can_be_started(program: &Path) -> bool {
    program.is_file() && access(program, Access::EXEC_OK).is_ok()
}

/// Where Docker is to be found.
pub fn docker_host() -> String {
    env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| DOCKER.to_owned())
}

/// Whether Docker is here, as far as its socket shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Docker {
    /// It lets this user in.
    Answers,
    /// Its socket is there, and this user may not use it.
    Forbidden,
    /// Its socket is there, and nobody listens.
    Silent,
    /// There is none, or it is on another machine.
    Absent,
}

/// Looks for Docker.
pub(super) fn docker() -> Docker {
    let host = docker_host();
    let Some(socket) = host.strip_prefix("unix://") else { return Docker::Absent };
    match UnixStream::connect(socket) {
        Ok(_) => Docker::Answers,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Docker::Forbidden,
        Err(_) if Path::new(socket).exists() => Docker::Silent,
        Err(_) => Docker::Absent,
    }
}

/// How the server of a backend can be had, the least effort first.
pub(super) fn ways_to(backend: Backend) -> String {
    let name = server_name(backend).unwrap_or("a server");
    let install = format!("install it, on Debian and Ubuntu: apt-get install {name}");
    let embedded = "or use --backend embedded";
    let host = docker_host();
    match docker() {
        Docker::Answers => format!(
            "use --environment container, since Docker answers at {host}; or {install}; {embedded}"
        ),
        Docker::Forbidden => format!(
            "{install}; or let yourself use Docker, whose socket {host} is there (sudo usermod -aG docker \
             $USER, and log in again), and --environment container; {embedded}"
        ),
        Docker::Silent => format!(
            "start Docker, whose socket {host} is there, and use --environment container; or {install}; \
             {embedded}"
        ),
        Docker::Absent => format!("{install}; {embedded}"),
    }
}

/// The program of a backend's server.
///
/// # Errors
/// Where it is not here: how it can be had.
pub(super) fn need_server_program(backend: Backend) -> Result<PathBuf, Unavailable> {
    server_program(backend).ok_or_else(|| {
        let name = server_name(backend).unwrap_or("a server");
        Unavailable(format!("{name} is not installed here ({})", ways_to(backend)))
    })
}
