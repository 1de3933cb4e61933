//! Every environment variable that `ttg` reads, once, as data. The command line's flags are held against
//! this list by a test; the documents are made from it; and whoever starts `ttg` can tell from it which
//! variables of its own environment would change what it does.

use std::ffi::OsStr;

/// A role of `ttg` that reads variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// `ttg coordinator`.
    Coordinator,
    /// `ttg worker`.
    Worker,
    /// `ttg aggregate`.
    Aggregator,
    /// `ttg dead-letters`.
    DeadLetters,
}

impl Reader {
    /// The subcommand.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Aggregator => "aggregate",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// What of a deployment a variable says, where that is more than a setting of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Whether there is a broker, which, and where.
    Broker,
    /// Which parameters there are.
    Parameters,
    /// How they are cut.
    ChunkSize,
    /// Which worker this is, and how many there are.
    Workers,
    /// What is computed.
    Kernel,
    /// How long that takes.
    Work,
    /// Which chunks take longer.
    SlowChunks,
    /// Where random choices come from.
    Seed,
    /// A setting.
    Setting,
}

/// An environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Who reads it.
    pub read_by: &'static [Reader],
    /// What holds without it, for people.
    pub default: &'static str,
    /// One sentence.
    pub meaning: &'static str,
    /// Whether its value is to be shown to nobody.
    pub is_secret: bool,
    /// What of a deployment it says.
    pub says: Says,
}

const ALL_ROLES: &[Reader] =
    &[Reader::Coordinator, Reader::Worker, Reader::Aggregator, Reader::DeadLetters];
const SWEEP_ROLES: &[Reader] = &[Reader::Coordinator, Reader::Worker];
const WORKER: &[Reader] = &[Reader::Worker];

const fn of(
    says: Says,
    read_by: &'static [Reader],
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Variable {
    Variable { name, read_by, default, meaning, is_secret: false, says }
}

/// Every variable, by what it is about.
pub const VARIABLES: &[Variable] = &[
    of(
        Says::Broker,
        WORKER,
        "USE_QUEUE",
        "`false`; `true` beside a flag that names a broker, or `EMBEDDED_PATH`",
        "`true`: take chunks from the broker; `false`: compute a fixed share of the range. \
         `QUEUE_BACKEND` and an address alone do not mean `true`: the wire contract has them beside static mode too.",
    ),
    of(
        Says::Broker,
        ALL_ROLES,
        "QUEUE_BACKEND",
        "`redis`",
        "Which broker: `redis`, `rabbitmq` or `embedded`; without it `embedded` where `EMBEDDED_PATH` is said.",
    ),
    Variable {
        is_secret: true,
        ..of(
            Says::Broker,
            ALL_ROLES,
            "BROKER_URL",
            "none",
            "Its address in one line, instead of the variables below: `redis://`, `rediss://`, `redis+sentinel://HOST,HOST/MASTER`, `amqp://`, `amqps://` or `sqlite:FILE`; without a password it may be the flag.",
        )
    },
    of(Says::Broker, ALL_ROLES, "BROKER_URL_FILE", "none", "File with that address."),
    of(
        Says::Broker,
        ALL_ROLES,
        "BROKER_TLS",
        "`false`; with a URL, what that says",
        "Whether the connection is over TLS; each of the following says so too.",
    ),
    of(
        Says::Broker,
        ALL_ROLES,
        "BROKER_TLS_CA",
        "the system's",
        "File with the certificates of those who are trusted.",
    ),
    of(
        Says::Broker,
        ALL_ROLES,
        "BROKER_TLS_CERT",
        "none",
        "File with our own certificate, where the broker asks for one.",
    ),
    of(Says::Broker, ALL_ROLES, "BROKER_TLS_KEY", "none", "File with the key of that."),
    of(
        Says::Broker,
        ALL_ROLES,
        "BROKER_TLS_SERVER_NAME",
        "the host's",
        "Name that the broker's certificate is for.",
    ),
    of(Says::Broker, ALL_ROLES, "REDIS_HOST", "`ttg-redis`", "Host of Redis."),
    of(Says::Broker, ALL_ROLES, "REDIS_PORT", "`6379`", "Port of Redis."),
    of(Says::Broker, ALL_ROLES, "REDIS_DB", "`0`", "Database number of Redis."),
    of(Says::Broker, ALL_ROLES, "REDIS_USERNAME", "the server's default one", "User of Redis."),
    Variable {
        is_secret: true,
        ..of(
            Says::Broker,
            ALL_ROLES,
            "REDIS_PASSWORD",
            "none",
            "Password of Redis; no flag, because everybody sees those.",
        )
    },
    of(Says::Broker, ALL_ROLES, "REDIS_PASSWORD_FILE", "none", "File with that password."),
    of(Says::Broker, ALL_ROLES, "EMBEDDED_PATH", "`ttg.db`", "File of the embedded broker."),
    of(Says::Broker, ALL_ROLES, "RABBITMQ_HOST", "`ttg-rabbitmq`", "Host of RabbitMQ."),
    of(Says::Broker, ALL_ROLES, "RABBITMQ_PORT", "`5672`; with TLS `5671`", "Port of RabbitMQ."),
    of(Says::Broker, ALL_ROLES, "RABBITMQ_USER", "`guest`", "User of RabbitMQ."),
    Variable {
        is_secret: true,
        ..of(
            Says::Broker,
            ALL_ROLES,
            "RABBITMQ_PASSWORD",
            "`guest`",
            "Password of RabbitMQ; no flag, because everybody sees those.",
        )
    },
    of(Says::Broker, ALL_ROLES, "RABBITMQ_PASSWORD_FILE", "none", "File with that password."),
    of(Says::Broker, ALL_ROLES, "RABBITMQ_VHOST", "`/`", "Virtual host of RabbitMQ."),
    of(
        Says::Setting,
        ALL_ROLES,
        "RABBITMQ_HEARTBEAT_SECONDS",
        "`STALE_THRESHOLD_MS` ÷ 2500",
        "Seconds between heartbeats; 0 for none.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "RABBITMQ_BLOCKED_TIMEOUT_SECONDS",
        "`BROKER_PATIENCE_SECONDS`",
        "How long a server is waited for that lacks memory or disk.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "RABBITMQ_QUEUE_TYPE",
        "`classic`",
        "What kind of queues, `classic` or `quorum`; quorum queues have names of their own.",
    ),
    of(Says::Setting, ALL_ROLES, "RABBITMQ_TASK_QUEUE", "`ttg.tasks`", "Queue of tasks."),
    of(Says::Setting, ALL_ROLES, "RABBITMQ_RESULT_QUEUE", "`ttg.results`", "Queue of results."),
    of(
        Says::Setting,
        ALL_ROLES,
        "RABBITMQ_RETRY_QUEUE",
        "`ttg.tasks.retry`",
        "Queue of failed tasks that wait.",
    ),
    of(Says::Setting, ALL_ROLES, "RABBITMQ_DLQ_QUEUE", "`ttg.tasks.dlq`", "Queue of dead letters."),
    of(
        Says::Setting,
        ALL_ROLES,
        "RABBITMQ_MAX_RETRIES",
        "`MAX_RETRIES`",
        "As `MAX_RETRIES`, for RabbitMQ alone.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "RABBITMQ_RETRY_DELAY_MS",
        "`RETRY_DELAY_MS`",
        "As `RETRY_DELAY_MS`, for RabbitMQ alone: all who share the queues must agree on it.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "STALE_THRESHOLD_MS",
        "`5000`",
        "A delivery without a sign of life for this long is anybody's.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "STALE_CHECK_INTERVAL_SECONDS",
        "`0.1`",
        "How often a worker looks for stale deliveries and those of the dead.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "MAX_RETRIES",
        "`3`",
        "How often a failed chunk is attempted again.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "RETRY_DELAY_MS",
        "`1000`; on RabbitMQ `5000`",
        "How long a failed chunk waits for that.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "MAX_DELIVERIES",
        "`10`",
        "A chunk whose workers died or fell silent this often is a dead letter.",
    ),
    of(
        Says::Setting,
        &[Reader::Worker, Reader::Aggregator],
        "MAX_DEAD_LETTERS",
        "any number",
        "More dead chunks than this, so many or a share such as `5%`, end the sweep with exit code 1.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "BROKER_PATIENCE_SECONDS",
        "`60`; for a first contact of who is no worker `3`",
        "How long a broker that went away, or is not there yet, is waited for.",
    ),
    of(Says::Parameters, SWEEP_ROLES, "TOTAL_PARAMETERS", "`10000`", "Parameters in the sweep."),
    of(
        Says::Parameters,
        SWEEP_ROLES,
        "TOTAL_PARAMS",
        "none",
        "The same by its other name; `TOTAL_PARAMETERS` comes first.",
    ),
    of(Says::Parameters, SWEEP_ROLES, "START_PARAMETER", "`0`", "First parameter."),
    of(Says::ChunkSize, SWEEP_ROLES, "CHUNK_SIZE", "`100`", "Parameters per chunk."),
    of(Says::ChunkSize, WORKER, "BATCH_SIZE", "`100`", "Static mode: parameters per batch."),
    of(
        Says::Setting,
        &[Reader::Coordinator],
        "JOB_ID",
        "none",
        "Name of the job; a coordinator of another job is refused.",
    ),
    of(
        Says::Setting,
        WORKER,
        "COORDINATE",
        "`false`",
        "Worker 0 submits the sweep before it works, where there is no coordinator.",
    ),
    of(Says::Workers, WORKER, "WORKER_ID", "`0`", "Number of this worker."),
    of(
        Says::Workers,
        WORKER,
        "JOB_COMPLETION_INDEX",
        "none",
        "The same, as an indexed Job says it; `WORKER_ID` comes first.",
    ),
    of(
        Says::Workers,
        WORKER,
        "WORKER_NAME",
        "none",
        "A name that ends in the worker's number, where that is all there is: a StatefulSet's Pod's.",
    ),
    of(
        Says::Workers,
        WORKER,
        "TOTAL_WORKERS",
        "`3`",
        "Static mode: how many workers share the range.",
    ),
    of(
        Says::Setting,
        WORKER,
        "IDLE_TIMEOUT_SECONDS",
        "`30`",
        "A worker leaves after this many seconds without a chunk, if none is open anywhere.",
    ),
    of(
        Says::Setting,
        WORKER,
        "STOP_GRACE_SECONDS",
        "`2`",
        "How long a chunk may take on after a request to stop, before it is given back.",
    ),
    of(
        Says::Kernel,
        WORKER,
        "KERNEL",
        "`reference`",
        "What is applied to every parameter: `reference`, `distinct` or `exec`.",
    ),
    of(
        Says::Kernel,
        WORKER,
        "KERNEL_COMMAND",
        "what stands after `--`",
        "The exec kernel's program and arguments, as a JSON array.",
    ),
    of(
        Says::Setting,
        WORKER,
        "KERNEL_TIMEOUT_SECONDS",
        "none: for ever",
        "Seconds after which a chunk of the exec kernel fails.",
    ),
    of(
        Says::Setting,
        WORKER,
        "SAME_KERNEL",
        "`false`",
        "Take part in a sweep that another program has computed: both compute the same.",
    ),
    of(
        Says::Work,
        WORKER,
        "SIMULATE_WORK_MS",
        "`1`",
        "Milliseconds of simulated work per parameter of a built-in kernel.",
    ),
    of(
        Says::SlowChunks,
        WORKER,
        "SIMULATE_SLOW_SHARE",
        "`0`",
        "Share of the chunks that take longer, from 0 to 1; which ones follows from `SEED`.",
    ),
    of(
        Says::SlowChunks,
        WORKER,
        "SIMULATE_SLOW_FACTOR",
        "`10`",
        "How many times the simulated work those take.",
    ),
    of(
        Says::Setting,
        WORKER,
        "SIMULATE_FAULT_RATE",
        "`0`",
        "Chance of a chunk to fail, to exercise retries and dead letters.",
    ),
    of(
        Says::Seed,
        WORKER,
        "SEED",
        "random; for slow chunks `0`",
        "Seed of those failures and of the slow chunks.",
    ),
    of(
        Says::Setting,
        ALL_ROLES,
        "LOG_LEVEL",
        "`INFO`",
        "What is logged, to standard error; for a word that is no level, as `INFO`.",
    ),
    of(Says::Setting, ALL_ROLES, "LOG_FORMAT", "`text`", "How it is logged: `text` or `json`."),
    of(
        Says::Setting,
        ALL_ROLES,
        "LOG_INCLUDE_TIMESTAMP",
        "`true`",
        "Whether each line of it begins with its moment.",
    ),
    of(Says::Setting, WORKER, "POD_NAME", "none", "Pod that it is in, for its summary."),
    of(Says::Setting, WORKER, "NODE_NAME", "none", "Node of that Pod, for its summary."),
];

/// Variables of the existing system that say nothing here, and what there is instead: who sets one is
/// told so.
pub const IGNORED: &[(&str, &str)] = &[(
    "SAVE_OUTPUT",
    "every result is kept by the broker, and `ttg aggregate --json` writes them down",
)];

/// Whatever begins so is of a broker or of a simulation, of this version or another.
const PREFIXES: &[&str] = &["BROKER_", "RABBITMQ_", "REDIS_", "SIMULATE_"];

/// The variable of this name, if there is one.
pub fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// Whether a variable of this name may change what a process of a sweep does.
pub fn is_of_system(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        find(name).is_some() || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// The table of the documents, in Markdown.
pub fn markdown() -> String {
    let mut text =
        "# Environment variables\n\nEvery variable that `ttg` reads; each but the secret ones \
                    has a flag, which comes first. Made by `ttg variables`.\n\n\
                    | variable | read by | without it | meaning |\n| --- | --- | --- | --- |\n"
            .to_owned();
    for Variable { name, read_by, default, meaning, is_secret, .. } in VARIABLES {
        let all = read_by.len() == ALL_ROLES.len();
        let by: Vec<&str> = read_by.iter().map(|reader| reader.name()).collect();
        let by = if all { "all".to_owned() } else { by.join(", ") };
        let secret = if *is_secret { " Secret." } else { "" };
        text += &format!("| `{name}` | {by} | {default} | {meaning}{secret} |\n");
    }
    text += "\nIgnored, with a line that says so:\n\n";
    for (name, why) in IGNORED {
        text += &format!("- `{name}`: {why}.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_is_there_once_and_its_meaning_fits_into_a_table() {
        let names: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
        for Variable { name, meaning, default, .. } in VARIABLES {
            assert!(meaning.ends_with('.') && !meaning.contains('|'), "{name}: {meaning}");
            assert!(!default.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_is_of_no_sweep_is_left_alone() {
        for name in ["PATH", "HOME", "NO_COLOR", "WORKER", "TTG_WORKER_IMAGE"] {
            assert!(!is_of_system(OsStr::new(name)), "{name}");
        }
        for name in ["WORKER_NAME", "SIMULATE_SOMETHING", "RABBITMQ_NODENAME"] {
            assert!(is_of_system(OsStr::new(name)), "{name}");
        }
    }
}
