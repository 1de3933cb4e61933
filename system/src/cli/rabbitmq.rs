//! Flags that only RabbitMQ has.

use clap::{Args, ValueEnum};

use crate::queue::Address;
use crate::queue::rabbitmq::{QueueType, Queues, Secret, Server};

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
    /// Host of RabbitMQ.
    #[arg(
        long,
        env = "RABBITMQ_HOST",
        default_value = "ttg-rabbitmq",
        help_heading = "Broker: RabbitMQ"
    )]
    rabbitmq_host: String,
    /// Port of RabbitMQ.
    #[arg(long, env = "RABBITMQ_PORT", default_value_t = 5672, help_heading = "Broker: RabbitMQ")]
    rabbitmq_port: u16,
    /// User.
    #[arg(long, env = "RABBITMQ_USER", default_value = "guest", help_heading = "Broker: RabbitMQ")]
    rabbitmq_user: String,
    /// Password; not a flag, because everybody sees those [env: RABBITMQ_PASSWORD].
    #[arg(skip = password())]
    password: Secret,
    /// Virtual host.
    #[arg(long, env = "RABBITMQ_VHOST", default_value = "/", help_heading = "Broker: RabbitMQ")]
    rabbitmq_vhost: String,
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
    pub(super) fn address(&self) -> Address {
        let usual = Queues::of(match self.rabbitmq_queue_type {
            Kind::Classic => QueueType::Classic,
            Kind::Quorum => QueueType::Quorum,
        });
        let or = |own: &Option<String>, usual: String| own.clone().unwrap_or(usual);
        Address::RabbitMq(Box::new(Server {
            host: self.rabbitmq_host.clone(),
            port: self.rabbitmq_port,
            user: self.rabbitmq_user.clone(),
            password: self.password.clone(),
            vhost: self.rabbitmq_vhost.clone(),
            queues: Queues {
                kind: usual.kind,
                tasks: or(&self.rabbitmq_task_queue, usual.tasks),
                results: or(&self.rabbitmq_result_queue, usual.results),
                retry: or(&self.rabbitmq_retry_queue, usual.retry),
                letters: or(&self.rabbitmq_dlq_queue, usual.letters),
            },
        }))
    }
}

/// The variable with the password.
pub(super) const PASSWORD: &str = "RABBITMQ_PASSWORD";

fn password() -> Secret {
    Secret(std::env::var(PASSWORD).unwrap_or_else(|_| "guest".to_owned()))
}
