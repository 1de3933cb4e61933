//! Flags that only RabbitMQ has.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::failed::Failed;
use super::given::{self, Given, Port, host, port, secret};
use super::values::seconds;
use crate::queue::rabbitmq::{QueueType, Queues, Server};
use crate::queue::{Address, ServerUrl, Tls};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The wire contract's.
    Classic,
    /// Replicated over a cluster, under names of their own.
    Quorum,
}

/// Where RabbitMQ is, and what its queues are called.
#[derive(Debug, Args)]
pub(super) struct RabbitMqArgs {
    /// Host of RabbitMQ [default: ttg-rabbitmq].
    #[arg(long, env = "RABBITMQ_HOST", hide_env_values = true, help_heading = "Broker: RabbitMQ")]
    rabbitmq_host: Option<String>,
    /// Port of RabbitMQ [default: 5672; with TLS 5671].
    #[arg(long, env = "RABBITMQ_PORT", hide_env_values = true, value_parser = port,
        help_heading = "Broker: RabbitMQ")]
    rabbitmq_port: Option<Port>,
    /// User [default: guest]; the password is in RABBITMQ_PASSWORD.
    #[arg(long, env = "RABBITMQ_USER", hide_env_values = true, help_heading = "Broker: RabbitMQ")]
    rabbitmq_user: Option<String>,
    /// File with that user's password, instead of RABBITMQ_PASSWORD.
    #[arg(long, env = "RABBITMQ_PASSWORD_FILE", help_heading = "Broker: RabbitMQ")]
    rabbitmq_password_file: Option<PathBuf>,
    /// Virtual host [default: /].
    #[arg(long, env = "RABBITMQ_VHOST", help_heading = "Broker: RabbitMQ")]
    rabbitmq_vhost: Option<String>,
    /// Seconds between heartbeats, 0 for none; without, it follows from --stale-threshold-ms.
    #[arg(long, env = "RABBITMQ_HEARTBEAT_SECONDS", help_heading = "Broker: RabbitMQ")]
    rabbitmq_heartbeat_seconds: Option<u16>,
    /// How long a server is waited for that lacks memory or disk [default: as long as one that does
    /// not answer].
    #[arg(long, env = "RABBITMQ_BLOCKED_TIMEOUT_SECONDS", value_parser = seconds,
        help_heading = "Broker: RabbitMQ")]
    rabbitmq_blocked_timeout_seconds: Option<Duration>,
    /// What kind of queues; quorum queues have names of their own.
    #[arg(
        long,
        env = "RABBITMQ_QUEUE_TYPE",
        default_value = "classic",
        help_heading = "Broker: RabbitMQ"
    )]
    rabbitmq_queue_type: Kind,
    /// Queue of tasks [default: ttg.tasks].
    #[arg(long, env = "RABBITMQ_TASK_QUEUE", help_heading = "Broker: RabbitMQ")]
    rabbitmq_task_queue: Option<String>,
    /// Queue of results [default: ttg.results].
    #[arg(long, env = "RABBITMQ_RESULT_QUEUE", help_heading = "Broker: RabbitMQ")]
    rabbitmq_result_queue: Option<String>,
    /// Queue of failed tasks that wait [default: ttg.tasks.retry].
    #[arg(long, env = "RABBITMQ_RETRY_QUEUE", help_heading = "Broker: RabbitMQ")]
    rabbitmq_retry_queue: Option<String>,
    /// Queue of dead letters [default: ttg.tasks.dlq].
    #[arg(long, env = "RABBITMQ_DLQ_QUEUE", help_heading = "Broker: RabbitMQ")]
    rabbitmq_dlq_queue: Option<String>,
    /// As --max-retries, for RabbitMQ alone.
    #[arg(long, env = "RABBITMQ_MAX_RETRIES", help_heading = "Broker: RabbitMQ")]
    pub(super) rabbitmq_max_retries: Option<u32>,
    /// As --retry-delay-ms, for RabbitMQ alone: all who share the queues must agree on it.
    #[arg(long, env = "RABBITMQ_RETRY_DELAY_MS", help_heading = "Broker: RabbitMQ")]
    pub(super) rabbitmq_retry_delay_ms: Option<u64>,
}

impl RabbitMqArgs {
    /// What flags and variables say of the place.
    pub(super) fn given(&self) -> Vec<Given> {
        vec![
            Given::new("rabbitmq_host", "RABBITMQ_HOST", self.rabbitmq_host.clone()),
            Given::new("rabbitmq_port", "RABBITMQ_PORT", self.rabbitmq_port.and_then(Port::given)),
            Given::new("rabbitmq_vhost", "RABBITMQ_VHOST", self.rabbitmq_vhost.clone()),
            Given::new("rabbitmq_user", "RABBITMQ_USER", self.rabbitmq_user.clone()),
        ]
    }

    pub(super) fn address(&self, tls: Option<Tls>) -> Result<Address, Failed> {
        let usual = if tls.is_some() { 5671 } else { 5672 };
        let port = self.rabbitmq_port.map_or(Ok(usual), |it| it.number("RABBITMQ_PORT", usual))?;
        let host = self.rabbitmq_host.as_deref().unwrap_or("ttg-rabbitmq");
        let url = ServerUrl {
            is_amqp: true,
            is_tls: tls.is_some(),
            user: None,
            password: None,
            hosts: vec![(self::host("RABBITMQ_HOST", host)?, port)],
            master: None,
            place: self.rabbitmq_vhost.clone(),
        };
        self.address_of(url, tls)
    }

    pub(super) fn address_of(&self, url: ServerUrl, tls: Option<Tls>) -> Result<Address, Failed> {
        let (host, port) = given::first(&url);
        let password = secret(PASSWORD, self.rabbitmq_password_file.as_deref(), url.password)?;
        let user = url.user.or_else(|| self.rabbitmq_user.clone());
        let usual = Server::at(&host, port);
        Ok(Address::RabbitMq(Box::new(Server {
            user: user.unwrap_or(usual.user),
            password: password.unwrap_or(usual.password),
            vhost: url.place.unwrap_or(usual.vhost),
            tls,
            heartbeat: self.rabbitmq_heartbeat_seconds,
            blocked_timeout: self.rabbitmq_blocked_timeout_seconds,
            queues: self.queues(),
            host,
            port,
        })))
    }

    fn queues(&self) -> Queues {
        let usual = Queues::of(match self.rabbitmq_queue_type {
            Kind::Classic => QueueType::Classic,
            Kind::Quorum => QueueType::Quorum,
        });
        let or = |own: &Option<String>, usual: String| own.clone().unwrap_or(usual);
        Queues {
            kind: usual.kind,
            tasks: or(&self.rabbitmq_task_queue, usual.tasks),
            results: or(&self.rabbitmq_result_queue, usual.results),
            retry: or(&self.rabbitmq_retry_queue, usual.retry),
            letters: or(&self.rabbitmq_dlq_queue, usual.letters),
        }
    }
}

/// The variable with the password.
pub(super) const PASSWORD: &str = "RABBITMQ_PASSWORD";
