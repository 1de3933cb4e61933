//! Flags that several roles share.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Hooks;
use super::failed::Failed;
use super::place::PlaceArgs;
use super::values::{seconds, switch};
use crate::chunk::{CHUNKS_BOUND, PARAMS_BOUND, Sweep};
use crate::queue::{Address, Settings};
use crate::telemetry::{self, Format, Level};
use crate::variables;

/// Between two looks for the dead: whoever says 0 means often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(5);

/// Which broker, and how patient to be with it.
#[derive(Debug, Args)]
pub(super) struct BrokerArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// A delivery without a sign of life for this long is anybody's.
    #[arg(long, env = "STALE_THRESHOLD_MS", default_value_t = 5000,
        value_parser = clap::value_parser!(u64).range(10..), help_heading = "Broker")]
    stale_threshold_ms: u64,
    /// How often a worker looks for stale deliveries and those of the dead.
    #[arg(long, env = "STALE_CHECK_INTERVAL_SECONDS", default_value = "0.1",
        value_parser = seconds, help_heading = "Broker")]
    stale_check_interval_seconds: Duration,
    /// How often a failed chunk is attempted again [default: 3].
    #[arg(long, env = "MAX_RETRIES", help_heading = "Broker")]
    max_retries: Option<u32>,
    /// How long a failed chunk waits for that [default: 1000; on RabbitMQ 5000].
    #[arg(long, env = "RETRY_DELAY_MS", help_heading = "Broker")]
    retry_delay_ms: Option<u64>,
    /// A chunk whose workers died or fell silent this often is a dead letter.
    #[arg(long, env = "MAX_DELIVERIES", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..), help_heading = "Broker")]
    max_deliveries: u32,
    /// How long a broker that went away, or is not there yet, is waited for [default: 60; but
    /// whoever is no worker tries a first time for 3].
    #[arg(long, env = "BROKER_PATIENCE_SECONDS", value_parser = seconds, help_heading = "Broker")]
    broker_patience_seconds: Option<Duration>,
}

impl BrokerArgs {
    fn max_retries(&self, address: &Address) -> u32 {
        let own = match address {
            Address::RabbitMq(_) => self.place.rabbitmq.rabbitmq_max_retries,
            _ => None,
        };
        own.or(self.max_retries).unwrap_or(3)
    }

    fn retry_delay_ms(&self, address: &Address) -> u64 {
        // On RabbitMQ it is an argument of a queue: another default would keep others out.
        let (own, default) = match address {
            Address::RabbitMq(_) => (self.place.rabbitmq.rabbitmq_retry_delay_ms, 5000),
            _ => (None, 1000),
        };
        own.or(self.retry_delay_ms).unwrap_or(default)
    }

    /// As `QUEUE_BACKEND` names it.
    pub(super) fn backend_name(&self) -> Option<&'static str> {
        Some(match self.place.address().ok()? {
            Address::Embedded(_) => "embedded",
            Address::Redis(_) => "redis",
            Address::RabbitMq(_) => "rabbitmq",
        })
    }

    /// How the broker is reached, by whoever submits nothing.
    pub(super) fn settings(&self, hooks: &Hooks) -> Result<Settings, Failed> {
        let address = self.place.address()?;
        let (max_retries, retry_delay_ms) =
            (self.max_retries(&address), self.retry_delay_ms(&address));
        let usual = Settings::new(address);
        let mut settings = Settings {
            lease: Duration::from_millis(self.stale_threshold_ms),
            takeover_interval: self.stale_check_interval_seconds.max(SHORTEST_INTERVAL),
            max_retries,
            retry_delay: Duration::from_millis(retry_delay_ms),
            max_deliveries: self.max_deliveries,
            patience: self.broker_patience_seconds.unwrap_or(usual.patience),
            first_contact: self.broker_patience_seconds.unwrap_or(usual.first_contact),
            creates: false,
            ..usual
        };
        (hooks.settings)(&mut settings);
        Ok(settings)
    }
}

/// Which sweep.
#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// Parameters in the sweep [env: TOTAL_PARAMETERS or TOTAL_PARAMS] [default: 10000]
    #[arg(long, env = "TOTAL_PARAMETERS", hide_env = true, help_heading = "Sweep")]
    total_parameters: Option<u64>,
    #[arg(long, env = "TOTAL_PARAMS", hide = true)]
    total_params: Option<u64>,
    /// First parameter.
    #[arg(long, env = "START_PARAMETER", default_value_t = 0, help_heading = "Sweep")]
    start_parameter: u64,
    /// Parameters per chunk.
    #[arg(long, env = "CHUNK_SIZE", default_value_t = 100, help_heading = "Sweep")]
    chunk_size: u64,
}

impl SweepArgs {
    pub(super) fn sweep(&self) -> Result<Sweep, Failed> {
        let params = self.total_parameters.or(self.total_params).unwrap_or(10_000);
        let problem = if params == 0 {
            "--total-parameters is 0, but a sweep needs at least 1".to_owned()
        } else if self.chunk_size == 0 {
            "--chunk-size is 0, but a chunk needs at least 1 parameter".to_owned()
        } else if self.start_parameter.checked_add(params).is_none_or(|end| end > PARAMS_BOUND) {
            format!("the last parameter is over {PARAMS_BOUND}: choose a smaller range")
        } else {
            let (start, chunk_size) = (self.start_parameter, self.chunk_size);
            return Ok(Sweep { start, params, chunk_size });
        };
        Err(Failed::Usage(problem))
    }

    /// The sweep, where it is to be submitted.
    pub(super) fn submittable(&self) -> Result<Sweep, Failed> {
        let sweep = self.sweep()?;
        if sweep.chunks() <= CHUNKS_BOUND {
            return Ok(sweep);
        }
        let Sweep { params, chunk_size, .. } = sweep;
        let (chunks, least) = (sweep.chunks(), params.div_ceil(CHUNKS_BOUND));
        Err(Failed::Usage(format!(
            "--chunk-size {chunk_size} cuts {params} parameters into {chunks} chunks, and no sweep has \
             more than {CHUNKS_BOUND} (choose a --chunk-size of at least {least})"
        )))
    }
}

/// Logs.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// What is logged, to standard error: TRACE, DEBUG, INFO, WARNING or ERROR; INFO for any other
    /// word.
    #[arg(long, env = "LOG_LEVEL", default_value = "INFO", help_heading = "Logs")]
    log_level: String,
    /// How it is logged.
    #[arg(
        long,
        env = "LOG_FORMAT",
        default_value = "text",
        ignore_case = true,
        help_heading = "Logs"
    )]
    log_format: Format,
    /// Whether each line begins with its moment.
    #[arg(long, env = "LOG_INCLUDE_TIMESTAMP", default_value = "true", value_parser = switch,
        action = clap::ArgAction::Set, value_name = "BOOL", help_heading = "Logs")]
    log_include_timestamp: bool,
}

impl LogArgs {
    pub(super) fn start(&self) {
        let level = Level::from_str(&self.log_level, true);
        let told = level.clone().unwrap_or(Level::Info);
        telemetry::start(told, self.log_format, self.log_include_timestamp);
        if level.is_err() {
            tracing::info!(
                "LOG_LEVEL is {:?}, which is no level, and INFO holds",
                self.log_level.escape_debug().take(40).collect::<String>()
            );
        }
        for (variable, why) in variables::IGNORED {
            if std::env::var_os(variable).is_some() {
                tracing::info!("{variable} is set, and ignored: {why}");
            }
        }
    }
}
