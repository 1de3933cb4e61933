//! An address as the environment variables by which another process finds it.

use super::{Address, Secret, Tls};

impl Address {
    /// The wire contract's variables, and those beside it that this address needs. Some of them are
    /// secret.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Embedded(path) => vec![
                ("QUEUE_BACKEND", "embedded".to_owned()),
                ("EMBEDDED_PATH", path.display().to_string()),
            ],
            Self::Redis(server) => {
                let mut variables = vec![("QUEUE_BACKEND", "redis".to_owned())];
                match &server.sentinels {
                    None => variables.extend([
                        ("REDIS_HOST", server.host.clone()),
                        ("REDIS_PORT", server.port.to_string()),
                        ("REDIS_DB", server.db.to_string()),
                    ]),
                    Some(sentinels) => {
                        let scheme = if server.tls.is_some() { "rediss" } else { "redis" };
                        let hosts: Vec<String> = sentinels
                            .addresses
                            .iter()
                            .map(|(host, port)| format!("{}:{port}", bracketed(host)))
                            .collect();
                        let (hosts, master) = (hosts.join(","), &sentinels.master);
                        let url = format!("{scheme}+sentinel://{hosts}/{master}/{}", server.db);
                        variables.push(("BROKER_URL", url));
                    }
                }
                let username = server.username.iter().map(|name| ("REDIS_USERNAME", name.clone()));
                let password = server.password.iter();
                let password = password.map(|Secret(text)| ("REDIS_PASSWORD", text.clone()));
                variables.extend(username.chain(password));
                // A URL says by its scheme whether the connection is encrypted.
                let switch = server.sentinels.is_none();
                variables.extend(server.tls.iter().flat_map(|tls| encryption(tls, switch)));
                variables
            }
            Self::RabbitMq(server) => {
                let mut variables = vec![
                    ("QUEUE_BACKEND", "rabbitmq".to_owned()),
                    ("RABBITMQ_HOST", server.host.clone()),
                    ("RABBITMQ_PORT", server.port.to_string()),
                    ("RABBITMQ_USER", server.user.clone()),
                    ("RABBITMQ_PASSWORD", server.password.0.clone()),
                    ("RABBITMQ_VHOST", server.vhost.clone()),
                ];
                variables.extend(server.tls.iter().flat_map(|tls| encryption(tls, true)));
                variables
            }
        }
    }
}

fn encryption(tls: &Tls, switch: bool) -> Vec<(&'static str, String)> {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let mut variables = Vec::new();
    variables.extend(switch.then(|| ("BROKER_TLS", "true".to_owned())));
    variables.extend(tls.ca.as_ref().map(|ca| ("BROKER_TLS_CA", path(ca))));
    if let Some((certificate, key)) = &tls.identity {
        variables.push(("BROKER_TLS_CERT", path(certificate)));
        variables.push(("BROKER_TLS_KEY", path(key)));
    }
    variables.extend(tls.server_name.clone().map(|name| ("BROKER_TLS_SERVER_NAME", name)));
    variables
}

/// An address of IPv6 is in brackets where a port follows.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
