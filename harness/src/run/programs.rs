//! What is started for each role: the wire contract's variables, and nothing that only we know.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use crate::environment::{BrokerProcess, FOREIGN_IMAGE, Output, Program, role_command};
use crate::plan::{Backend, Environment, FaultKind, Kernel, Plan, PlannedFault, WorkersIn};

/// The program of a process by its name: `worker-0`, `coordinator`, `aggregator`,
/// `dead-letters`. `way` is where it finds the broker, if that is not the broker itself; `env` is said besides all that the plan says.
pub(super) fn program(
    plan: &Plan,
    broker: Option<&BrokerProcess>,
    way: Option<SocketAddr>,
    name: &str,
    env: &BTreeMap<String, String>,
) -> io::Result<Program> {
    let arguments: &[&str] = match name {
        "coordinator" => &["coordinator"],
        "aggregator" => &["aggregate", "--json"],
        "dead-letters" => &["dead-letters", "replay", "--all"],
        _ => &["worker"],
    };
    let output = match name {
        "coordinator" | "dead-letters" => Output::Log,
        "aggregator" => Output::File,
        _ if plan.backend == Backend::Static => Output::Pipe,
        _ => Output::Log,
    };
    let mut variables = common(plan);
    let in_container = plan.workers_in == WorkersIn::Container;
    variables.extend(broker.into_iter().flat_map(|broker| broker.variables(way, in_container)));
    if matches!(broker, Some(BrokerProcess::Embedded(_) | BrokerProcess::Server(..))) {
        variables.push(("BROKER_PATIENCE_SECONDS", patience(plan.environment).to_owned()));
    }
    let number = name.strip_prefix("worker-");
    variables.extend(number.map(|number| ("WORKER_ID", number.to_owned())));
    let mut variables: Vec<(String, String)> =
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    variables.extend(plan.env.clone());
    variables.extend(env.clone());
    let foreign = plan.foreign(name);
    let command = match &foreign {
        // The image's own entry point is the program.
        Some(_) if in_container => Vec::new(),
        Some(foreign) => foreign.command.iter().map(Into::into).collect(),
        None if in_container => arguments.iter().map(Into::into).collect(),
        None => role_command(plan.defect.as_deref(), arguments)?,
    };
    let image = foreign.map(|foreign| foreign.image.unwrap_or_else(|| FOREIGN_IMAGE.to_owned()));
    let runs_out = |fault: &PlannedFault| fault.kind == FaultKind::OutOfMemory;
    let may_run_out = number.is_some() && plan.has_fault(runs_out);
    let name = name.to_owned();
    Ok(Program { name, command, variables, output, in_container, image, may_run_out })
}

/// Seconds that everybody waits for a broker of the harness, which may be away because of a fault while a
/// coordinator or an aggregator looks for it for the first time: nobody has typed a wrong address.
fn patience(environment: Environment) -> &'static str {
    match environment {
        // To make the broker's Pod anew takes longer than to start a server again.
        Environment::Kubernetes => "120",
        _ => "60",
    }
}

fn common(plan: &Plan) -> Vec<(&'static str, String)> {
    let sweep = &plan.sweep;
    let mut variables = vec![
        ("USE_QUEUE", (plan.backend != Backend::Static).to_string()),
        ("TOTAL_WORKERS", plan.workers.to_string()),
        ("START_PARAMETER", sweep.start.to_string()),
        ("TOTAL_PARAMETERS", sweep.params().to_string()),
        ("CHUNK_SIZE", sweep.chunk_size.to_string()),
        ("BATCH_SIZE", sweep.chunk_size.to_string()),
        ("SEED", plan.seed.to_string()),
        ("LOG_LEVEL", "INFO".to_owned()),
        ("NO_COLOR", "1".to_owned()),
    ];
    if let Some(skew) = plan.skew() {
        variables.push(("SIMULATE_SLOW_SHARE", skew.share.to_string()));
        variables.push(("SIMULATE_SLOW_FACTOR", skew.factor.to_string()));
    }
    match &sweep.kernel {
        Kernel::Reference { work_ms } => {
            variables.push(("KERNEL", "reference".to_owned()));
            variables.push(("SIMULATE_WORK_MS", work_ms.to_string()));
        }
        Kernel::Distinct { work_ms } => {
            variables.push(("KERNEL", "distinct".to_owned()));
            variables.push(("SIMULATE_WORK_MS", work_ms.to_string()));
        }
        Kernel::Exec { command } => {
            let command = serde_json::Value::from(command.clone());
            variables.push(("KERNEL", "exec".to_owned()));
            // There is one in a run; and it may write to the files that it is told of.
            variables.push(("SAME_KERNEL", "true".to_owned()));
            variables.push(("KERNEL_COMMAND", command.to_string()));
        }
    }
    variables
}
