//! What is said of the system's own processes: their environment variables, and programs in place of
//! ours.

use std::collections::BTreeMap;
use std::path::Path;

use ttg_contract::variables::{self, Says, Variable};

use super::error::Problem;
use super::fields::{Field, Fields};
use super::image::image;
use super::node::Value;
use super::words::quoted;
use crate::interpreter::script;
use crate::plan::{Backend, Foreign, ForeignProgram, RoleProgram, WorkersIn};

const KEYS: &[&str] = &["env", "command", "image", "workers", "coordinator", "aggregator"];

/// Environment variables for every process of the system.
pub(super) fn env(scenario: &Fields<'_>) -> Result<BTreeMap<String, String>, Problem> {
    let Some(system) = scenario.get("system") else { return Ok(BTreeMap::new()) };
    match system.mapping(KEYS)?.get("env") {
        Some(env) => variables(&env),
        None => Ok(BTreeMap::new()),
    }
}

/// A program in place of our worker.
pub(super) fn foreign(scenario: &Fields<'_>, workers: u32) -> Result<Option<Foreign>, Problem> {
    let Some(system) = scenario.get("system") else { return Ok(None) };
    let fields = system.mapping(KEYS)?;
    let Some(list) = fields.get("command") else {
        return match fields.get("workers").or_else(|| fields.get("image")) {
            Some(field) => Err(field.refuse(
                "is said of a program in place of our worker, and there is none (add command, or \
                 remove it)",
            )),
            None => Ok(None),
        };
    };
    let command = command(&list, r#"command: ["python3", "worker.py"]"#)?;
    let count = match fields.get("workers") {
        Some(field) => field.count(u64::from(workers), "workers: 1")?,
        None => u64::from(workers),
    };
    let image = fields.get("image").map(|field| image(&field)).transpose()?;
    Ok(Some(Foreign { command, image, workers: u32::try_from(count).expect("fewer than all") }))
}

/// Where the programs of a system are found, and whom there has to be.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) file: &'a Path,
    pub(super) backend: Backend,
    pub(super) workers_in: WorkersIn,
}

/// Who plays the role of this key, `coordinator` or `aggregator`.
pub(super) fn role(
    scenario: &Fields<'_>,
    key: &'static str,
    at: Place<'_>,
) -> Result<RoleProgram, Problem> {
    let system = scenario.get("system").map(|system| system.mapping(KEYS)).transpose()?;
    let Some(field) = system.and_then(|system| system.get(key)) else {
        return Ok(RoleProgram::Ours);
    };
    if at.backend == Backend::Static {
        return Err(field.refuse(format!(
            "is said, but backend static has no {key} (remove it, or choose another backend)"
        )));
    }
    let example = format!(r#"{key}: {{ command: ["python3", "{key}.py"] }}, or {key}: none"#);
    if let Value::Text(word) = &field.node.value {
        return match word.as_str() {
            "none" => Ok(RoleProgram::None),
            _ => Err(field.refuse(format!(
                "is {}, but must be a program in place of ours, or none (write for example \
                 {example})",
                quoted(word)
            ))),
        };
    }
    let fields = field.mapping(&["command", "image"])?;
    let mut command = command(&fields.need("command", &example)?, &example)?;
    let image = fields.get("image").map(|field| image(&field)).transpose()?;
    match at.workers_in {
        WorkersIn::Process => beside(at.file, &mut command),
        WorkersIn::Container if image.is_none() => {
            return Err(field.refuse(format!(
                "is to run in a container, and no image holds it (add image: my-{key}:latest)"
            )));
        }
        WorkersIn::Container => {}
    }
    Ok(RoleProgram::Foreign(ForeignProgram { command, image }))
}

/// Our aggregator waits for a sweep of whose size it is told, and on RabbitMQ the wire contract has no
/// place for that.
pub(super) fn check_roles(
    scenario: &Fields<'_>,
    backend: Backend,
    coordinator: &RoleProgram,
    aggregator: &RoleProgram,
) -> Result<(), Problem> {
    let is_told = coordinator.foreign().is_none() || *aggregator != RoleProgram::Ours;
    let system = scenario.get("system").map(|system| system.mapping(KEYS)).transpose()?;
    match system.and_then(|system| system.get("coordinator")) {
        Some(field) if backend == Backend::RabbitMq && !is_told => Err(field.refuse(
            "is a program of others, which on RabbitMQ does not tell our aggregator how many chunks \
             there are (add aggregator: none, or a program of yours)",
        )),
        _ => Ok(()),
    }
}

/// A program and its arguments.
pub(super) fn command(list: &Field<'_>, example: &str) -> Result<Vec<String>, Problem> {
    let command: Vec<String> = list
        .list(example)?
        .into_iter()
        .map(|item| match &item.value {
            Value::Text(text) if !text.contains('\0') => Ok(text.clone()),
            other => Err(Problem::new(
                &item.place,
                format!("an argument of command is {other}, but must be text (put it in quotes)"),
            )),
        })
        .collect::<Result<_, _>>()?;
    if command.first().is_none_or(String::is_empty) {
        return Err(list.refuse(format!("names no program (write for example {example})")));
    }
    Ok(command)
}

/// A program and its arguments, of which those that begin with `./` or `../` are paths from where the
/// scenario's file is: it means the same whatever directory it is run from. The script of an interpreter
/// need not begin so, where it is there.
pub(super) fn beside(file: &Path, command: &mut [String]) {
    let directory = file.parent().unwrap_or(Path::new(""));
    let script = script(command).filter(|at| directory.join(&command[*at]).is_file());
    for (at, word) in command.iter_mut().enumerate() {
        let is_path = word.starts_with("./") || word.starts_with("../") || Some(at) == script;
        if let (true, Ok(path)) = (is_path, std::path::absolute(directory.join(&*word))) {
            *word = path.to_string_lossy().into_owned();
        }
    }
}

/// Names and values.
pub(super) fn variables(env: &Field<'_>) -> Result<BTreeMap<String, String>, Problem> {
    env.any_mapping()?
        .map(|variable| Ok((variable_name(&variable)?, variable_value(&variable)?)))
        .collect()
}

/// The key by which the plan itself says to the processes what a variable says. Setting one of these
/// another way would make the run something else than its plan.
fn implied_by(variable: &Variable) -> Option<&'static str> {
    match variable.says {
        Says::Broker => Some("backend"),
        Says::Parameters => Some("sweep.params"),
        Says::ChunkSize => Some("sweep.chunk_size"),
        Says::Workers => Some("workers"),
        Says::Kernel => Some("sweep.kernel"),
        Says::Work => Some("work_ms of sweep.kernel"),
        Says::SlowChunks => Some("slow-chunks of faults"),
        Says::Seed => Some("seed"),
        Says::Setting => None,
    }
}

fn variable_name(field: &Field<'_>) -> Result<String, Problem> {
    let name = field.name;
    let refuse = |what: String| Problem::new(field.key_place, what);
    let start = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
    let rest = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if !start || !name.chars().all(rest) {
        return Err(refuse(format!(
            "the variable {} in env must be capital letters, digits and `_`, not first a digit \
             (write for example STALE_THRESHOLD_MS)",
            quoted(name)
        )));
    }
    match variables::find(name).and_then(implied_by) {
        Some(key) => Err(refuse(format!(
            "the variable {name} follows from the scenario (remove it, and change {key} instead)"
        ))),
        None => Ok(name.to_owned()),
    }
}

fn variable_value(field: &Field<'_>) -> Result<String, Problem> {
    match &field.node.value {
        Value::Text(text) if !text.contains('\0') => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Whole(value) => Ok(value.to_string()),
        Value::Real(value) => Ok(format!("{value:?}")),
        other => Err(field.refuse(format!("is {other}, but must be text (put it in quotes)"))),
    }
}
