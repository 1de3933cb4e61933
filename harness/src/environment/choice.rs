//! Which environment a scenario runs in, where nobody says: the first that works here.

use std::env;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::plan::{Backend, Environment};

/// Where Debian keeps RabbitMQ's own program.
const RABBITMQ: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// Where Docker listens, unless `DOCKER_HOST` says otherwise.
const DOCKER: &str = "/var/run/docker.sock";

/// The first environment that works here for this backend, and why it is that. Where none does, it is
/// the first: its own error says best what to install.
pub fn choose(backend: Backend) -> (Environment, String) {
    let Some(program) = program(backend) else {
        return (Environment::Process, format!("backend {backend} needs no server"));
    };
    if is_installed(program) {
        return (Environment::Process, format!("{program} is installed here"));
    }
    if docker_answers() {
        return (Environment::Container, format!("{program} is not installed here, Docker is"));
    }
    (Environment::Process, format!("neither {program} nor Docker is here"))
}

/// Whether a broker of our own can be had here for this backend.
pub fn has_broker(backend: Backend) -> bool {
    program(backend).is_none_or(is_installed)
}

/// The program that a backend's server is.
fn program(backend: Backend) -> Option<&'static str> {
    match backend {
        Backend::Embedded | Backend::Static => None,
        Backend::Redis => Some("redis-server"),
        Backend::RabbitMq => Some("rabbitmq-server"),
    }
}

fn is_installed(program: &str) -> bool {
    let debians = program == "rabbitmq-server" && Path::new(RABBITMQ).exists();
    let paths = env::var_os("PATH").unwrap_or_default();
    debians || env::split_paths(&paths).any(|path| path.join(program).is_file())
}

fn docker_answers() -> bool {
    let host = env::var("DOCKER_HOST").unwrap_or_else(|_| format!("unix://{DOCKER}"));
    host.strip_prefix("unix://").is_some_and(|path| UnixStream::connect(path).is_ok())
}
