//! The command line of `ttg`. Every flag has the environment variable of the wire contract.

mod aggregate;
mod args;
mod coordinator;
mod dead_letters;
mod failed;
mod given;
mod hooks;
mod letter;
mod manifests;
mod memory;
mod mode;
mod output;
mod place;
pub(crate) mod progress;
mod rabbitmq;
mod reasons;
mod redis;
mod signals;
mod values;
mod worker;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ttg_contract::exit;

pub use hooks::Hooks;
pub use place::address_of_environment;

use self::failed::Failed;
use self::output::{complain, print, print_json};
use self::signals::Signals;
use crate::queue::QueueError;
use crate::{kernel, variables};

/// Parameter sweeps over a broker: each parameter counts once, whoever dies.
#[derive(Debug, Parser)]
#[command(name = "ttg", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

const EXIT_CODES: &str = "\
Exit codes: 0 finished, 1 failed or incomplete, 64 wrong arguments, 65 the broker has lost the \
sweep or results of it, 69 the broker does not answer or is not there, 130 or 143 interrupted.

Example, on one machine with nothing installed:
  export QUEUE_BACKEND=embedded EMBEDDED_PATH=sweep.db
  ttg coordinator --total-parameters 10000 --chunk-size 100
  ttg worker --worker-id 1 & ttg worker --worker-id 2
  ttg aggregate";

#[derive(Debug, Subcommand)]
enum Role {
    /// Submit a sweep's chunks, each once, however often this is run.
    Coordinator(coordinator::Args),
    /// Compute chunks until the sweep is complete.
    Worker(Box<worker::Args>),
    /// Combine the results of a sweep and report them.
    Aggregate(aggregate::Args),
    /// List, show, replay or drop tasks that nobody will attempt again.
    DeadLetters(Box<dead_letters::Args>),
    /// Print a sweep's objects for Kubernetes, as YAML for kubectl.
    Manifests(Box<manifests::Args>),
    /// Print every environment variable, as the table of the documents.
    Variables,
}

/// How a role ended.
enum Ended {
    Finished,
    Incomplete,
    /// By the signal of this number.
    Interrupted(u8),
}

/// Runs `ttg` with these arguments, the first of which is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>, hooks: &Hooks) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if kernel::lead_if_asked(&arguments) {
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return told_by_clap(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report(&format!("cannot start the runtime: {error}"), 1),
    };
    let outcome = runtime.block_on(async {
        match cli.role {
            Role::Coordinator(args) => coordinator::run(args, hooks).await,
            Role::Worker(args) => worker::run(*args, hooks).await,
            Role::Aggregate(args) => aggregate::run(args, hooks).await,
            Role::DeadLetters(args) => dead_letters::run(*args, hooks).await,
            Role::Manifests(args) => manifests::run(&args),
            Role::Variables => {
                print(format_args!("{}", variables::markdown())).map(|()| Ended::Finished)
            }
        }
    });
    // A blocking step that a frozen broker holds up must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit_code(outcome)
}

fn exit_code(outcome: Result<Ended, Failed>) -> ExitCode {
    match outcome {
        Ok(Ended::Finished) => ExitCode::SUCCESS,
        Ok(Ended::Incomplete) => ExitCode::from(1),
        Ok(Ended::Interrupted(signal)) | Err(Failed::Interrupted(signal)) => {
            ExitCode::from(128 + signal)
        }
        Err(Failed::Usage(message)) => report(&message, 64),
        Err(Failed::Queue(error)) => report(&error.to_string(), code_of(&error)),
        Err(Failed::Other(message)) => report(&message, 1),
    }
}

fn code_of(error: &QueueError) -> u8 {
    match error {
        QueueError::Unreachable { .. } | QueueError::NotThere { .. } => 69,
        QueueError::SweepLost { .. } => exit::SWEEP_LOST,
        QueueError::HalfSifted { cause, .. } => code_of(cause),
        _ => 1,
    }
}

/// Help and version are no errors, and go to standard output.
fn told_by_clap(error: &clap::Error) -> ExitCode {
    let told = error.print().and_then(|()| std::io::stdout().flush());
    if error.use_stderr() {
        return ExitCode::from(64);
    }
    exit_code(output::result(told).map(|()| Ended::Finished))
}

fn report(message: &str, code: u8) -> ExitCode {
    complain(message);
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::{BTreeMap, BTreeSet};

    /// The variables of every subcommand, by the role that it is a part of.
    fn read_by_flags() -> BTreeMap<String, BTreeSet<String>> {
        let cli = Cli::command();
        let roles = cli.get_subcommands();
        roles.map(|role| (role.get_name().to_owned(), read_below(role))).collect()
    }

    fn read_below(command: &clap::Command) -> BTreeSet<String> {
        let own = command.get_arguments().filter_map(clap::Arg::get_env);
        let own = own.map(|name| name.to_string_lossy().into_owned());
        own.chain(command.get_subcommands().flat_map(read_below)).collect()
    }

    #[test]
    fn the_list_of_variables_is_that_of_the_flags() {
        let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for variable in variables::VARIABLES.iter().filter(|variable| !variable.is_secret) {
            for reader in variable.read_by {
                listed
                    .entry(reader.name().to_owned())
                    .or_default()
                    .insert(variable.name.to_owned());
            }
        }
        let mut flags = read_by_flags();
        flags.retain(|_, names| !names.is_empty());
        assert_eq!(listed, flags);
    }

    #[test]
    fn what_is_secret_is_no_flag_and_is_read() {
        let secrets = variables::VARIABLES.iter().filter(|variable| variable.is_secret);
        let secrets: Vec<&str> = secrets.map(|variable| variable.name).collect();
        let read = [given::URL, redis::PASSWORD, rabbitmq::PASSWORD];
        assert_eq!(secrets, read);
        for secret in read {
            assert!(read_by_flags().values().all(|names| !names.contains(secret)), "{secret}");
        }
    }

    #[test]
    fn defaults_are_those_of_the_flags() {
        let cli = Cli::command();
        for role in cli.get_subcommands() {
            for flag in role.get_arguments() {
                let Some(name) = flag.get_env() else { continue };
                let variable = variables::find(&name.to_string_lossy()).expect("it is listed");
                if let [default] = flag.get_default_values() {
                    let default = format!("`{}`", default.to_string_lossy());
                    assert_eq!(variable.default, default, "{}", variable.name);
                }
            }
        }
    }

    #[test]
    fn the_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/variables.md");
        let text = std::fs::read_to_string(path).expect("it is there");
        assert_eq!(text, variables::markdown(), "run ttg variables > docs/variables.md");
    }
}
