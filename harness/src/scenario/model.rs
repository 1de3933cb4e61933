//! From the tree of a scenario to a plan. Every key of the format is in one of the `KEYS` here,
//! in `fault.rs` or in `expect.rs`.

use std::path::Path;
use std::time::Duration;

use super::deadline;
use super::error::{Place, Problem};
use super::expect;
use super::fault;
use super::fields::{Field, Fields};
use super::image::image;
use super::limits::{MAX_PARAM, MAX_WORKERS};
use super::node::{Node, Value};
use super::system;
use super::units;
use super::words::quoted;
use crate::fault::{Site, consequences};
use crate::plan::{
    Afterwards, Backend, BrokerSetup, BrokerStorage, ClusterChoice, Coverage, Environment, Expect,
    Fsync, Kernel, MAX_CHUNKS, Plan, SCHEMA_VERSION, Sweep, WorkersIn,
};

const KEYS: &[&str] = &[
    "name",
    "description",
    "sweep",
    "backend",
    "environment",
    "workers",
    "workers_in",
    "cluster",
    "broker",
    "seed",
    "faults",
    "system",
    "afterwards",
    "expect",
    "stall_after",
    "timeout",
];

/// The plan that a scenario asks for. Where it gives no seed, one is drawn.
pub(super) fn plan(root: &Node, file: &Path) -> Result<Plan, Problem> {
    if matches!(root.value, Value::Null) {
        let hint = "(start from a copy of quickstart.yaml)";
        return Err(Problem::new(
            &root.place,
            format!("the file is empty, but must hold a scenario {hint}"),
        ));
    }
    let fields = Field::unnamed("the scenario", root).mapping(KEYS)?;
    let backend = match fields.get("backend") {
        Some(field) => field.choice(&Backend::ALL.map(|backend| (backend.name(), backend)))?,
        None => Backend::Embedded,
    };
    let workers = workers(&fields)?;
    let (environment, environment_because) = environment(&fields, backend)?;
    let mut foreign = system::foreign(&fields, workers)?;
    let mut sweep = sweep(&fields.need("sweep", SWEEP_EXAMPLE)?, foreign.is_some())?;
    let workers_in = workers_in(&fields, environment)?;
    if workers_in == WorkersIn::Process {
        if let Some(foreign) = &mut foreign {
            system::beside(file, &mut foreign.command);
        }
        if let Kernel::Exec { command } = &mut sweep.kernel {
            system::beside(file, command);
        }
    }
    let at = system::Place { file, backend, workers_in };
    let coordinator = system::role(&fields, "coordinator", at)?;
    let aggregator = system::role(&fields, "aggregator", at)?;
    system::check_roles(&fields, backend, &coordinator, &aggregator)?;
    let site = Site {
        backend,
        environment,
        workers_in,
        foreign: foreign.is_some(),
        no_coordinator: coordinator.is_none(),
        no_aggregator: aggregator.is_none(),
    };
    let env = system::env(&fields)?;
    let seed = seed(&fields)?;
    let ground = fault::Ground { site, workers, sweep: &sweep, seed, env: &env };
    let faults = fault::read(&fields, ground)?;
    let mut plan = Plan {
        schema_version: SCHEMA_VERSION,
        scenario: name(&fields, file)?,
        description: description(&fields)?,
        sweep,
        backend,
        environment,
        environment_because,
        workers_in,
        cluster: cluster(&fields, environment)?,
        broker: broker(&fields, site)?,
        workers,
        seed,
        env: env.clone(),
        foreign,
        coordinator,
        aggregator,
        defect: None,
        strict: false,
        fault_kinds: consequences(&faults),
        faults,
        afterwards: afterwards(&fields, backend)?,
        // The rest is judged by what stands above.
        expect: Expect {
            coverage: Coverage::ExactlyOnce,
            dead_letters: 0,
            retries_min: 0,
            recompute: None,
            throughput_min: None,
            duration_max: None,
            efficiency_min: None,
            recovery_max: None,
            finish_max: None,
        },
        stall_after: Duration::ZERO,
        timeout: Duration::ZERO,
        stall_after_is_set: fields.get("stall_after").is_some(),
        timeout_is_set: fields.get("timeout").is_some(),
    };
    if let Some(field) = fields.get("afterwards") {
        expect::something_dies(&field, &plan)?;
    }
    plan.expect = expect::read(&fields, &plan)?;
    plan.stall_after = deadline::stall_after(&fields, &plan)?;
    plan.timeout = deadline::timeout(&fields, &plan)?;
    Ok(plan)
}

fn seed(fields: &Fields<'_>) -> Result<u64, Problem> {
    match fields.get("seed") {
        Some(field) => field.whole("seed: 7"),
        // 32 bits: enough, and short enough to be typed again.
        None => Ok(u64::from(fastrand::u32(..))),
    }
}

fn name(fields: &Fields<'_>, file: &Path) -> Result<String, Problem> {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let field = fields.need("name", "name: my-sweep")?;
    let name = field.name("name: my-sweep")?;
    if name != stem {
        return Err(field.refuse(format!(
            "is {}, but the file is called {stem} (give both the same name)",
            quoted(name)
        )));
    }
    Ok(name.to_owned())
}

fn description(fields: &Fields<'_>) -> Result<String, Problem> {
    let example = "description: What this shows, in one sentence.";
    let field = fields.need("description", example)?;
    Ok(field.text(example)?.to_owned())
}

/// Where the sweep runs, and who or what says so.
fn environment(fields: &Fields<'_>, backend: Backend) -> Result<(Environment, String), Problem> {
    let Some(field) = fields.get("environment") else {
        return Ok(crate::environment::choose(backend));
    };
    let chosen = field.choice(&Environment::ALL.map(|it| (it.name(), it)))?;
    if chosen == Environment::Kubernetes && backend == Backend::Embedded {
        return Err(field.refuse(
            "is kubernetes, but the embedded broker is a file, which Pods on several nodes do not share \
             (choose backend redis, rabbitmq or static)",
        ));
    }
    let needs_server = matches!(chosen, Environment::Container | Environment::External);
    if needs_server && matches!(backend, Backend::Embedded | Backend::Static) {
        return Err(field.refuse(format!(
            "is {chosen}, but backend {backend} has no server that could run there (write process, \
             or choose another backend)"
        )));
    }
    let said_by = match &field.node.place {
        Place::Argument(argument) => argument.clone(),
        _ => "the scenario says so".to_owned(),
    };
    Ok((chosen, said_by))
}

fn workers_in(fields: &Fields<'_>, environment: Environment) -> Result<WorkersIn, Problem> {
    let on_cluster = environment == Environment::Kubernetes;
    let Some(field) = fields.get("workers_in") else {
        return Ok(if on_cluster { WorkersIn::Container } else { WorkersIn::Process });
    };
    let chosen =
        field.choice(&[("process", WorkersIn::Process), ("container", WorkersIn::Container)])?;
    if chosen == WorkersIn::Process && on_cluster {
        return Err(
            field.refuse("is process, but in environment kubernetes workers are Pods (remove it)")
        );
    }
    if chosen == WorkersIn::Container && environment != Environment::Container && !on_cluster {
        return Err(field.refuse(format!(
            "is container, but the environment is {environment} (write environment: container)"
        )));
    }
    Ok(chosen)
}

/// Which cluster, and where in it.
fn cluster(fields: &Fields<'_>, environment: Environment) -> Result<ClusterChoice, Problem> {
    let Some(field) = fields.get("cluster") else { return Ok(ClusterChoice::default()) };
    if environment != Environment::Kubernetes {
        return Err(field.refuse(format!(
            "is said of environment kubernetes, but the environment is {environment} (write \
             environment: kubernetes, or --environment kubernetes)"
        )));
    }
    let given = field.mapping(&["context", "namespace"])?;
    let context =
        given.get("context").map(|it| it.text("context: kind-ttg-sandbox")).transpose()?;
    let namespace = given.get("namespace").map(|it| namespace(&it)).transpose()?;
    Ok(ClusterChoice { context: context.map(str::to_owned), namespace })
}

/// The name of a namespace.
fn namespace(field: &Field<'_>) -> Result<String, Problem> {
    /// Longest label of RFC 1123.
    const LONGEST: usize = 63;
    let text = field.text("namespace: my-team")?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = text.len() <= LONGEST
        && text.chars().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.is_empty();
    if is_name {
        return Ok(text.to_owned());
    }
    Err(field.refuse(format!(
        "is {}, but a namespace has small letters, digits and `-`, {LONGEST} at most (write for example \
         namespace: my-team)",
        quoted(text)
    )))
}

/// How the broker is set up.
fn broker(fields: &Fields<'_>, site: Site) -> Result<BrokerSetup, Problem> {
    let Some(broker) = fields.get("broker") else { return Ok(BrokerSetup::default()) };
    let given = broker.mapping(&["image", "appendfsync", "storage", "storage_class"])?;
    let image = given.get("image").map(|field| image(&field)).transpose()?;
    let storage = storage(&given, site.environment)?;
    let fsync = match given.get("appendfsync") {
        Some(field) if site.backend != Backend::Redis => {
            return Err(field.refuse("is a setting of Redis alone (remove it)"));
        }
        Some(field) => {
            let words = [Fsync::Always, Fsync::EverySec, Fsync::No].map(|it| (it.word(), it));
            Some(field.choice(&words)?)
        }
        None => None,
    };
    Ok(BrokerSetup { image, storage, fsync })
}

/// Where its data is.
fn storage(
    broker: &Fields<'_>,
    environment: Environment,
) -> Result<Option<BrokerStorage>, Problem> {
    let (kind, class) = (broker.get("storage"), broker.get("storage_class"));
    for field in [&kind, &class].into_iter().flatten() {
        if environment != Environment::Kubernetes {
            return Err(field.refuse("is a setting of environment kubernetes alone (remove it)"));
        }
    }
    let is_volume = match &kind {
        Some(field) => Some(field.choice(&[("volume", true), ("ephemeral", false)])?),
        None => None,
    };
    match (is_volume, class) {
        (Some(false), Some(class)) => {
            Err(class.refuse("is said of a volume, but storage is ephemeral (remove one of them)"))
        }
        (Some(false), None) => Ok(Some(BrokerStorage::Ephemeral)),
        (_, Some(class)) => {
            let name = class.text("storage_class: standard")?.to_owned();
            Ok(Some(BrokerStorage::Volume(Some(name))))
        }
        (Some(true), None) => Ok(Some(BrokerStorage::Volume(None))),
        (None, None) => Ok(None),
    }
}

fn workers(fields: &Fields<'_>) -> Result<u32, Problem> {
    let field = fields.need("workers", "workers: 3")?;
    let workers = field.count(MAX_WORKERS, "workers: 3")?;
    Ok(u32::try_from(workers).expect("MAX_WORKERS fits"))
}

const SWEEP_EXAMPLE: &str = "sweep: { params: 1000, chunk_size: 10, kernel: { work_ms: 1 } }";

fn sweep(field: &Field<'_>, has_foreign: bool) -> Result<Sweep, Problem> {
    let fields = field.mapping(&["params", "chunk_size", "kernel"])?;
    let params = fields.need("params", "params: 1000")?;
    let (start, end) = range(&params)?;
    let size = fields.need("chunk_size", "chunk_size: 10")?;
    let sweep = Sweep {
        start,
        end,
        chunk_size: size.count(MAX_PARAM, "chunk_size: 10")?,
        kernel: match fields.get("kernel") {
            Some(field) => kernel(&field, has_foreign)?,
            None => built_in(0.0, has_foreign),
        },
    };
    if sweep.chunks() > MAX_CHUNKS {
        return Err(size.refuse(format!(
            "is {}, which makes {} chunks, but at most {MAX_CHUNKS} are possible (write at least \
             chunk_size: {})",
            sweep.chunk_size,
            sweep.chunks(),
            sweep.params().div_ceil(MAX_CHUNKS)
        )));
    }
    Ok(sweep)
}

fn range(field: &Field<'_>) -> Result<(u64, u64), Problem> {
    let Value::Text(text) = &field.node.value else {
        return Ok((0, field.count(MAX_PARAM, "params: 1000")?));
    };
    let Some((start, end)) = units::range(text) else {
        return Err(field.refuse(format!(
            "is {}, but must be a count or a half-open range (write for example params: 1000 or \
             params: 200..1200)",
            quoted(text)
        )));
    };
    if end <= start {
        return Err(field.refuse(format!(
            "is {start}..{end}, which holds nothing: the end is not included and must be above \
             the start (write for example params: {start}..{})",
            start.saturating_add(1000)
        )));
    }
    if end > MAX_PARAM {
        return Err(field.refuse(format!("ends at {end}, but at most {MAX_PARAM} is possible")));
    }
    Ok((start, end))
}

/// What is applied to every parameter. Where only its work is said, it is one of ours.
fn kernel(field: &Field<'_>, has_foreign: bool) -> Result<Kernel, Problem> {
    let kinds = ["work_ms", "reference", "distinct", "exec"];
    let fields = field.mapping(&kinds)?;
    let kind = fields.exactly_one(&kinds, "kernel: { work_ms: 1 }")?;
    Ok(match kind.name {
        "exec" => exec(&kind)?,
        "reference" => Kernel::Reference { work_ms: work_of(&kind)? },
        "distinct" => Kernel::Distinct { work_ms: work_of(&kind)? },
        _ => built_in(work_ms(&kind)?, has_foreign),
    })
}

/// The kernel that finds most out: a foreign program knows that of the wire contract alone.
fn built_in(work_ms: f64, has_foreign: bool) -> Kernel {
    if has_foreign { Kernel::Reference { work_ms } } else { Kernel::Distinct { work_ms } }
}

fn work_of(kernel: &Field<'_>) -> Result<f64, Problem> {
    work_ms(&kernel.mapping(&["work_ms"])?.need("work_ms", "work_ms: 1")?)
}

fn work_ms(work: &Field<'_>) -> Result<f64, Problem> {
    /// An hour for one parameter.
    const MAX_WORK_MS: f64 = 3_600_000.0;
    let work_ms = work.amount("work_ms: 1")?;
    if work_ms > MAX_WORK_MS {
        return Err(work.refuse(format!(
            "is {work_ms}, but at most {MAX_WORK_MS} (an hour per parameter) is possible"
        )));
    }
    Ok(work_ms)
}

fn exec(field: &Field<'_>) -> Result<Kernel, Problem> {
    let example = r#"command: ["python3", "kernel.py"]"#;
    let list = field.mapping(&["command"])?.need("command", example)?;
    Ok(Kernel::Exec { command: system::command(&list, example)? })
}

fn afterwards(fields: &Fields<'_>, backend: Backend) -> Result<Option<Afterwards>, Problem> {
    let Some(field) = fields.get("afterwards") else { return Ok(None) };
    if backend == Backend::Static {
        return Err(field.refuse(
            "replays dead letters, which backend static has none of (remove it, or choose another \
             backend)",
        ));
    }
    let example = "afterwards: { replay: { env: { LICENCE: mine } } }";
    let replay = field.mapping(&["replay"])?.need("replay", example)?;
    let env = replay.mapping(&["env"])?.need("env", example)?;
    Ok(Some(Afterwards::Replay { env: system::variables(&env)? }))
}
