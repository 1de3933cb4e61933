//! What flags and variables say of where a broker is, one by one.

use std::env;
use std::net::Ipv6Addr;
use std::path::Path;

use super::failed::Failed;
use crate::queue::{Secret, ServerUrl};

/// The variable with the address in one line. It may hold a password, and so is no flag's.
pub(super) const URL: &str = "BROKER_URL";

/// What a flag or variable says of the place, if it does.
pub(super) struct Given {
    pub(super) id: &'static str,
    pub(super) variable: &'static str,
    pub(super) value: Option<String>,
}

impl Given {
    pub(super) fn new(id: &'static str, variable: &'static str, value: Option<String>) -> Self {
        Self { id, variable, value: value.filter(|value| !value.is_empty()) }
    }
}

/// A port, or what Kubernetes says of a service whose name is the same as ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Number(u16),
    ServiceLink,
}

impl Port {
    pub(super) fn given(self) -> Option<String> {
        match self {
            Self::Number(port) => Some(port.to_string()),
            Self::ServiceLink => None,
        }
    }

    pub(super) fn number(self, variable: &str, usual: u16) -> Result<u16, Failed> {
        match self {
            Self::Number(port) => Ok(port),
            Self::ServiceLink => usage(format!(
                "{variable} is an address of the kind tcp://10.0.0.1:{usual}, which Kubernetes sets \
                 for each Service: say {variable}={usual} or {URL} in the Pod, or enableServiceLinks: \
                 false"
            )),
        }
    }
}

/// Reads a port.
pub(super) fn port(text: &str) -> Result<Port, String> {
    if text.starts_with("tcp://") {
        return Ok(Port::ServiceLink);
    }
    text.parse().map(Port::Number).map_err(|_| "expected a number from 0 to 65535".to_owned())
}

/// A name or address, and nothing else.
pub(super) fn host(variable: &str, text: &str) -> Result<String, Failed> {
    let is_alone = !text.contains([':', '@', '/', '?', '#']) && !text.contains(char::is_whitespace);
    if !text.is_empty() && (is_alone || text.parse::<Ipv6Addr>().is_ok()) {
        return Ok(text.to_owned());
    }
    let of = variable.trim_end_matches("_HOST");
    let user = if of == "REDIS" { "REDIS_USERNAME" } else { "RABBITMQ_USER" };
    usage(format!(
        "{variable} is more than the name or address of a host, or nothing: the port goes into \
         {of}_PORT, the user into {user}, the password into {of}_PASSWORD, or all of it into {URL}"
    ))
}

/// The secret of a variable, or of a file that another names, or of a URL: once, or the same one.
pub(super) fn secret(
    variable: &str,
    file: Option<&Path>,
    of_url: Option<Secret>,
) -> Result<Option<Secret>, Failed> {
    let own = match env::var(variable) {
        Ok(text) if !text.is_empty() => Some(Secret(text)),
        Err(env::VarError::NotUnicode(_)) => return usage(format!("{variable} is no UTF-8")),
        _ => None,
    };
    let file = file.filter(|file| !file.as_os_str().is_empty());
    let filed = file.map(|file| read_secret(variable, file)).transpose()?;
    let sources =
        [(of_url, URL.to_owned()), (own, variable.to_owned()), (filed, format!("{variable}_FILE"))];
    let mut found: Option<(Secret, String)> = None;
    for (secret, source) in sources {
        match (secret, &found) {
            (Some(secret), Some((other, before))) if secret != *other => {
                return usage(format!(
                    "{before} and {source} hold different secrets: leave one of them out"
                ));
            }
            (Some(secret), None) => found = Some((secret, source)),
            _ => {}
        }
    }
    Ok(found.map(|(secret, _)| secret))
}

/// A mounted secret; editors and `echo` end it with a newline.
fn read_secret(variable: &str, file: &Path) -> Result<Secret, Failed> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let file = file.display();
        Failed::Usage(format!("{variable}_FILE names {file}, which cannot be read: {error}"))
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

/// The server, or the first of the Sentinels.
pub(super) fn first(url: &ServerUrl) -> (String, u16) {
    url.hosts.first().cloned().expect("a URL names a host")
}

/// A refusal of what was given.
pub(super) fn usage<T>(message: String) -> Result<T, Failed> {
    Err(Failed::Usage(message))
}
