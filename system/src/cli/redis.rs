//! Flags that only Redis has.

use std::path::PathBuf;

use clap::Args;

use super::failed::Failed;
use super::given::{self, Given, Port, host, port, secret};
use crate::queue::redis::{Sentinels, Server};
use crate::queue::{Address, ServerUrl, Tls};

/// The variable with the password.
pub(super) const PASSWORD: &str = "REDIS_PASSWORD";

/// Where Redis is, and who we are to it.
#[derive(Debug, Args)]
pub(super) struct RedisArgs {
    /// Host of Redis [default: ttg-redis].
    #[arg(long, env = "REDIS_HOST", hide_env_values = true, help_heading = "Broker: Redis")]
    redis_host: Option<String>,
    /// Port of Redis [default: 6379].
    #[arg(long, env = "REDIS_PORT", hide_env_values = true, value_parser = port, help_heading = "Broker: Redis")]
    redis_port: Option<Port>,
    /// Database number of Redis [default: 0].
    #[arg(long, env = "REDIS_DB", help_heading = "Broker: Redis")]
    redis_db: Option<i64>,
    /// User of Redis, where it has others than the default one; the password is in REDIS_PASSWORD.
    #[arg(long, env = "REDIS_USERNAME", hide_env_values = true, help_heading = "Broker: Redis")]
    redis_username: Option<String>,
    /// File with that user's password, instead of REDIS_PASSWORD.
    #[arg(long, env = "REDIS_PASSWORD_FILE", help_heading = "Broker: Redis")]
    redis_password_file: Option<PathBuf>,
}

impl RedisArgs {
    /// What flags and variables say of the place.
    pub(super) fn given(&self) -> Vec<Given> {
        vec![
            Given::new("redis_host", "REDIS_HOST", self.redis_host.clone()),
            Given::new("redis_port", "REDIS_PORT", self.redis_port.and_then(Port::given)),
            Given::new("redis_db", "REDIS_DB", self.redis_db.map(|db| db.to_string())),
            Given::new("redis_username", "REDIS_USERNAME", self.redis_username.clone()),
        ]
    }

    pub(super) fn address(&self, tls: Option<Tls>) -> Result<Address, Failed> {
        let host = host("REDIS_HOST", self.redis_host.as_deref().unwrap_or("ttg-redis"))?;
        let port = self.redis_port.map_or(Ok(6379), |port| port.number("REDIS_PORT", 6379))?;
        let server = Server {
            db: self.redis_db.unwrap_or(0),
            username: self.redis_username.clone().filter(|name| !name.is_empty()),
            password: secret(PASSWORD, self.redis_password_file.as_deref(), None)?,
            tls,
            ..Server::at(&host, port)
        };
        Ok(Address::Redis(Box::new(server)))
    }

    pub(super) fn address_of(&self, url: ServerUrl, tls: Option<Tls>) -> Result<Address, Failed> {
        let (first, port) = given::first(&url);
        let sentinels = url.master.map(|master| Sentinels { addresses: url.hosts, master });
        let server = Server {
            db: url.place.and_then(|db| db.parse().ok()).unwrap_or(0),
            username: url.user.or_else(|| self.redis_username.clone()),
            password: secret(PASSWORD, self.redis_password_file.as_deref(), url.password)?,
            tls,
            sentinels,
            ..Server::at(&first, port)
        };
        Ok(Address::Redis(Box::new(server)))
    }
}
