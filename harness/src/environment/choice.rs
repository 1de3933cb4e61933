//! Which environment a scenario runs in, where nobody says: the first that works here.

use super::here::{self, Docker};
use crate::plan::{Backend, Environment};

/// The first environment that works here for this backend, and why it is that. Where none does, it is
/// the first: its own error says best what to do.
pub fn choose(backend: Backend) -> (Environment, String) {
    let Some(name) = here::server_name(backend) else {
        return (Environment::Process, format!("backend {backend} needs no server"));
    };
    if here::server_program(backend).is_some() {
        return (Environment::Process, format!("{name} is installed here"));
    }
    match here::docker() {
        Docker::Answers => {
            (Environment::Container, format!("{name} is not installed here, Docker is"))
        }
        _ => (Environment::Process, format!("neither {name} nor Docker is here")),
    }
}

/// Whether a broker of our own can be had here for this backend.
pub fn has_broker(backend: Backend) -> bool {
    here::server_name(backend).is_none() || here::server_program(backend).is_some()
}
