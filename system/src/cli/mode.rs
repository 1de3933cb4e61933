//! Whether a worker takes chunks from a broker or computes a fixed share of the range.
//!
//! The wire contract's default is the fixed share, and its `QUEUE_BACKEND` and its addresses may be set
//! beside that in deployments that exist: so those say nothing. Whatever only this program knows does: a
//! flag that names a broker, and the variables that the contract does not have.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};

use super::failed::Failed;

/// What says that there is a broker, by the id of its argument: the flag, and the variable where that is
/// not the wire contract's.
const SAYS_SO: &[(&str, &str, Option<&str>)] = &[
    ("backend", "--backend", None),
    ("broker_url", "--broker-url", None),
    ("embedded_path", "--embedded-path", Some("EMBEDDED_PATH")),
    ("redis_host", "--redis-host", None),
    ("redis_port", "--redis-port", None),
    ("redis_db", "--redis-db", None),
    ("rabbitmq_host", "--rabbitmq-host", None),
    ("rabbitmq_port", "--rabbitmq-port", None),
    ("rabbitmq_vhost", "--rabbitmq-vhost", None),
];

/// Who says that there is a broker: `--backend`, `EMBEDDED_PATH`; empty where nobody does.
///
/// It adds no argument, and must stand before those that it looks at: they are taken out when they are read.
#[derive(Debug)]
pub(super) struct BrokerIsSaid(Option<&'static str>);

impl BrokerIsSaid {
    /// Whether the worker takes chunks from a broker.
    pub(super) fn uses_queue(&self, use_queue: Option<bool>) -> Result<bool, Failed> {
        match (use_queue, self.0) {
            (Some(false), Some(by)) => Err(Failed::Usage(format!(
                "USE_QUEUE is false, which computes a fixed share of the range without a broker, but {by} \
                 names one (leave out one of them)"
            ))),
            (Some(said), _) => Ok(said),
            (None, by) => Ok(by.is_some()),
        }
    }
}

impl FromArgMatches for BrokerIsSaid {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let says_so = |(id, flag, variable): &(&str, &'static str, Option<&'static str>)| {
            // A flag that this role does not have says nothing.
            matches.try_contains_id(id).ok()?;
            match matches.value_source(id)? {
                ValueSource::CommandLine => Some(*flag),
                ValueSource::EnvVariable => *variable,
                _ => None,
            }
        };
        // Not a flag's, since a password may be in it.
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|url| !url.is_empty());
        let url = ["BROKER_URL", "BROKER_URL_FILE"].into_iter().find(is_set);
        Ok(Self(SAYS_SO.iter().find_map(says_so).or(url)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for BrokerIsSaid {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}
