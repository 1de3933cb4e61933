//! Where the broker is: by one URL, or by the wire contract's variables. What contradicts itself is
//! refused, and no message repeats a part in which a secret may be.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use super::failed::Failed;
use super::given::{Given, URL, first, secret, usage};
use super::rabbitmq::RabbitMqArgs;
use super::redis::RedisArgs;
use super::values::switch;
use crate::queue::{Address, BrokerUrl, Secret, Tls};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Backend {
    Redis,
    #[value(name = "rabbitmq")]
    RabbitMq,
    Embedded,
}

/// Which broker, and where.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    // First: the others take their values away.
    #[command(flatten)]
    on_command_line: OnCommandLine,
    /// Which broker [default: redis; where EMBEDDED_PATH is said, embedded].
    #[arg(long, env = "QUEUE_BACKEND", ignore_case = true, help_heading = "Broker")]
    backend: Option<Backend>,
    /// Its address in one line, instead of the other flags and variables: redis://USER@HOST:PORT/DB,
    /// rediss://, redis+sentinel://HOST,HOST/MASTER, amqp://USER@HOST:PORT/VHOST, amqps:// or
    /// sqlite:FILE. With a password, only as a variable [env: BROKER_URL].
    #[arg(long, value_name = "URL", value_parser = hidden, help_heading = "Broker")]
    broker_url: Option<Secret>,
    /// File with that address.
    #[arg(long, env = "BROKER_URL_FILE", value_name = "FILE", help_heading = "Broker")]
    broker_url_file: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    pub(super) rabbitmq: RabbitMqArgs,
    /// File of the embedded broker [default: ttg.db].
    #[arg(long, env = "EMBEDDED_PATH", help_heading = "Broker")]
    embedded_path: Option<PathBuf>,
}

/// How connections are encrypted.
#[derive(Debug, Args)]
struct TlsArgs {
    /// Connect over TLS; rediss:// and amqps:// say so too, and so does each of the following.
    #[arg(long, env = "BROKER_TLS", value_parser = switch, num_args = 0..=1,
        default_missing_value = "true", require_equals = true, value_name = "BOOL",
        help_heading = "Broker: TLS")]
    broker_tls: Option<bool>,
    /// File with the certificates of those who are trusted, instead of the system's.
    #[arg(long, env = "BROKER_TLS_CA", value_name = "FILE", help_heading = "Broker: TLS")]
    broker_tls_ca: Option<PathBuf>,
    /// File with our own certificate, where the broker asks for one.
    #[arg(long, env = "BROKER_TLS_CERT", value_name = "FILE", help_heading = "Broker: TLS")]
    broker_tls_cert: Option<PathBuf>,
    /// File with the key of that.
    #[arg(long, env = "BROKER_TLS_KEY", value_name = "FILE", help_heading = "Broker: TLS")]
    broker_tls_key: Option<PathBuf>,
    /// Name that the broker's certificate is for, where that is not its host's.
    #[arg(long, env = "BROKER_TLS_SERVER_NAME", value_name = "NAME", help_heading = "Broker: TLS")]
    broker_tls_server_name: Option<String>,
}

impl TlsArgs {
    /// Which of them is set, but for the switch.
    fn detail(&self) -> Option<&'static str> {
        let details = [
            (self.broker_tls_ca.is_some(), "BROKER_TLS_CA"),
            (self.broker_tls_cert.is_some(), "BROKER_TLS_CERT"),
            (self.broker_tls_key.is_some(), "BROKER_TLS_KEY"),
            (self.broker_tls_server_name.is_some(), "BROKER_TLS_SERVER_NAME"),
        ];
        details.into_iter().find(|(is_set, _)| *is_set).map(|(_, name)| name)
    }

    /// `url_says` where a URL does: whether the connection is encrypted.
    fn tls(&self, url_says: Option<bool>) -> Result<Option<Tls>, Failed> {
        let set = self.detail().or(self.broker_tls.filter(|on| *on).map(|_| "BROKER_TLS"));
        match (url_says, self.broker_tls, set) {
            (Some(false), _, Some(set)) => usage(format!(
                "{set} is set, but the broker's URL is one without TLS: with it, it begins with \
                 rediss:// or amqps://"
            ))?,
            (Some(true), Some(false), _) => {
                usage("BROKER_TLS is false, but the broker's URL is one with TLS".to_owned())?;
            }
            (None, Some(false), Some(set)) => {
                usage(format!("BROKER_TLS is false, but {set} is set: leave one of them out"))?;
            }
            _ => {}
        }
        if url_says != Some(true) && set.is_none() {
            return Ok(None);
        }
        let identity = match (&self.broker_tls_cert, &self.broker_tls_key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => return usage("BROKER_TLS_CERT needs BROKER_TLS_KEY".to_owned()),
            (None, Some(_)) => return usage("BROKER_TLS_KEY needs BROKER_TLS_CERT".to_owned()),
        };
        let tls = Tls {
            ca: self.broker_tls_ca.clone(),
            identity,
            server_name: self.broker_tls_server_name.clone(),
        };
        tls.config().map_err(Failed::Usage)?;
        Ok(Some(tls))
    }
}

impl PlaceArgs {
    /// Where the broker is.
    pub(super) fn address(&self) -> Result<Address, Failed> {
        match self.url()? {
            Some((url, named_by)) => self.address_of(url, named_by),
            None => match self.backend() {
                Backend::Embedded => {
                    let usual = || PathBuf::from("ttg.db");
                    Ok(Address::Embedded(self.embedded_path.clone().unwrap_or_else(usual)))
                }
                Backend::Redis => self.redis.address(self.tls.tls(None)?),
                Backend::RabbitMq => self.rabbitmq.address(self.tls.tls(None)?),
            },
        }
    }

    /// Who names a file, and no backend, means the file.
    fn backend(&self) -> Backend {
        let unsaid = if self.embedded_path.is_some() { Backend::Embedded } else { Backend::Redis };
        self.backend.unwrap_or(unsaid)
    }

    fn address_of(&self, url: BrokerUrl, named_by: NamedBy) -> Result<Address, Failed> {
        let backend = match &url {
            BrokerUrl::Embedded(_) => Backend::Embedded,
            BrokerUrl::Server(url) if url.is_amqp => Backend::RabbitMq,
            BrokerUrl::Server(_) => Backend::Redis,
        };
        let said = |backend: Backend| {
            let value = backend.to_possible_value().expect("each has a name");
            Some(value.get_name().to_owned())
        };
        let chosen = Given::new("backend", "QUEUE_BACKEND", self.backend.and_then(said));
        self.contradicts(&chosen, said(backend), named_by)?;
        match url {
            BrokerUrl::Embedded(path) => {
                let own = self.embedded_path.as_ref().map(|path| path.display().to_string());
                let own = Given::new("embedded_path", "EMBEDDED_PATH", own);
                self.contradicts(&own, Some(path.display().to_string()), named_by)?;
                Ok(Address::Embedded(path))
            }
            BrokerUrl::Server(url) => {
                let tls = self.tls.tls(Some(url.is_tls))?;
                let (host, port) = first(&url);
                let given = if url.is_amqp { self.rabbitmq.given() } else { self.redis.given() };
                let usual = if url.is_amqp { "/" } else { "0" };
                let there = url.place.clone().unwrap_or_else(|| usual.to_owned());
                let says = [Some(host), Some(port.to_string()), Some(there), url.user.clone()];
                for (own, says) in given.iter().zip(says) {
                    self.contradicts(own, says, named_by)?;
                }
                if url.is_amqp {
                    self.rabbitmq.address_of(url, tls)
                } else {
                    self.redis.address_of(url, tls)
                }
            }
        }
    }

    /// The URL, and who gave it.
    fn url(&self) -> Result<Option<(BrokerUrl, NamedBy)>, Failed> {
        let parse = |name: &str, text: &str| {
            BrokerUrl::parse(text).map_err(|problem| Failed::Usage(format!("{name} {problem}")))
        };
        if let Some(Secret(text)) = &self.broker_url {
            let url = parse("--broker-url", text)?;
            if url.has_password() {
                return usage(format!(
                    "--broker-url has a password in it, which everybody can see there: put the URL \
                     into {URL}, or the password into REDIS_PASSWORD, RABBITMQ_PASSWORD or a file \
                     of REDIS_PASSWORD_FILE or RABBITMQ_PASSWORD_FILE"
                ));
            }
            return Ok(Some((url, NamedBy::Flag)));
        }
        match secret(URL, self.broker_url_file.as_deref(), None)? {
            Some(Secret(text)) => Ok(Some((parse(URL, &text)?, NamedBy::Variable))),
            None => Ok(None),
        }
    }

    /// Refuses what says something else than the URL. A variable that a flag overrides may.
    fn contradicts(
        &self,
        own: &Given,
        url_says: Option<String>,
        named_by: NamedBy,
    ) -> Result<(), Failed> {
        let is_flag = self.on_command_line.0.contains(own.id);
        let overridden = named_by == NamedBy::Flag && !is_flag;
        match (&own.value, url_says) {
            (Some(value), Some(says)) if *value != says && !overridden => {
                let name = if is_flag {
                    format!("--{}", own.id.replace('_', "-"))
                } else {
                    own.variable.to_owned()
                };
                usage(format!(
                    "{} and {name} say different things of where the broker is: leave one of them \
                     out",
                    match named_by {
                        NamedBy::Flag => "--broker-url",
                        NamedBy::Variable => URL,
                    }
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Where the broker is by the variables of this process, as every role reads them; `host` is where
/// they do not say.
///
/// # Errors
/// One sentence about the variable that is wrong, or about two that contradict each other.
pub fn address_of_environment(backend: &str, host: &str) -> Result<Address, String> {
    let command = PlaceArgs::augment_args(Command::new("ttg").no_binary_name(true));
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let mut arguments = vec!["--backend", backend];
    let variable = if backend == "redis" { "REDIS_HOST" } else { "RABBITMQ_HOST" };
    if ![URL, "BROKER_URL_FILE", variable].into_iter().any(is_set) {
        let flag = if backend == "redis" { "--redis-host" } else { "--rabbitmq-host" };
        arguments.extend([flag, host]);
    }
    let place = command
        .try_get_matches_from(arguments)
        .and_then(|matches| PlaceArgs::from_arg_matches(&matches))
        .map_err(|error| error.to_string().trim_end().to_owned())?;
    place.address().map_err(|failed| match failed {
        Failed::Usage(message) | Failed::Other(message) => message,
        Failed::Queue(error) => error.to_string(),
        Failed::Interrupted(_) => "interrupted".to_owned(),
    })
}

/// Who gave the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedBy {
    Flag,
    Variable,
}

/// Which arguments stood on the command line, and are not from a variable.
#[derive(Debug, Default)]
struct OnCommandLine(BTreeSet<String>);

impl FromArgMatches for OnCommandLine {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut them = Self::default();
        them.update_from_arg_matches(matches)?;
        Ok(them)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let stood = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        self.0 = matches.ids().map(clap::Id::as_str).filter(stood).map(str::to_owned).collect();
        Ok(())
    }
}

impl Args for OnCommandLine {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

fn hidden(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret(text.to_owned()))
}
