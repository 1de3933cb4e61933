//! Programs of the scenario that are not there: found before anything is started.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::environment::Unavailable;
use crate::interpreter::script;
use crate::plan::{Environment, Kernel, Plan, RoleProgram, WorkersIn};

/// Refuses to begin where a program that is to run on this machine is not there.
///
/// # Errors
/// Which, and what to do.
pub(super) fn programs_are_there(plan: &Plan) -> Result<(), Unavailable> {
    let is_here = plan.workers_in == WorkersIn::Process
        && matches!(
            plan.environment,
            Environment::Process | Environment::External | Environment::Container
        );
    if !is_here {
        return Ok(());
    }
    let path = plan.env.get("PATH").cloned().or_else(|| std::env::var("PATH").ok());
    let path = path.unwrap_or_default();
    for (command, key) in commands(plan) {
        let Some(program) = command.first() else { continue };
        if let Err(problem) = found(program, &path) {
            let advice = format!("install it, or correct {key}");
            return Err(Unavailable(format!("cannot start {program}: {problem} ({advice})")));
        }
        let script = script(command).map(|at| Path::new(&command[at]));
        if let Some(script) = script.filter(|script| !script.exists()) {
            let (script, here) = (script.display(), here());
            return Err(Unavailable(format!(
                "{program} cannot start {script}: no such file (paths are from where the scenario's file is, \
                 or from {here}; correct {key})"
            )));
        }
    }
    Ok(())
}

fn here() -> String {
    std::env::current_dir().map_or_else(|_| "here".to_owned(), |it| it.display().to_string())
}

/// Commands of the scenario, and the key that says each.
fn commands<'a>(plan: &'a Plan) -> Vec<(&'a [String], &'static str)> {
    let foreign = plan.foreign.as_ref();
    let ours = foreign.is_none_or(|foreign| foreign.workers < plan.workers);
    let kernel = match &plan.sweep.kernel {
        Kernel::Exec { command } if ours => Some((&command[..], "sweep.kernel.exec.command")),
        _ => None,
    };
    let worker = foreign.map(|foreign| (&foreign.command[..], "system.command"));
    let role = |program: &'a RoleProgram, key| {
        program.foreign().map(|foreign| (&foreign.command[..], key))
    };
    let coordinator = role(&plan.coordinator, "system.coordinator.command");
    let aggregator = role(&plan.aggregator, "system.aggregator.command");
    worker.into_iter().chain(kernel).chain(coordinator).chain(aggregator).collect()
}

/// Looks where the operating system would.
fn found(program: &str, path: &str) -> Result<(), &'static str> {
    if program.contains('/') {
        return startable(Path::new(program));
    }
    let candidates = || std::env::split_paths(path).map(|directory| directory.join(program));
    if candidates().any(|candidate| startable(&candidate).is_ok()) {
        return Ok(());
    }
    let there: Option<PathBuf> = candidates().find(|candidate| candidate.is_file());
    Err(there.map_or("no such program in PATH", |_| "it is not executable"))
}

fn startable(program: &Path) -> Result<(), &'static str> {
    if !program.exists() {
        return Err("no such file");
    }
    if !program.is_file() {
        return Err("it is no file");
    }
    access(program, Access::EXEC_OK).map_err(|_| "it is not executable")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::plan;
    use crate::plan::Foreign;

    fn refused(command: &str) -> String {
        let mut plan = plan();
        let command = vec![command.to_owned()];
        plan.foreign = Some(Foreign { command, image: None, workers: 1 });
        programs_are_there(&plan).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_what_to_do() {
        insta::assert_snapshot!(refused("no-such-program"), @"cannot start no-such-program: no such program in PATH (install it, or correct system.command)");
        insta::assert_snapshot!(refused("/no/such"), @"cannot start /no/such: no such file (install it, or correct system.command)");
        insta::assert_snapshot!(refused("/etc/passwd"), @"cannot start /etc/passwd: it is not executable (install it, or correct system.command)");
        insta::assert_snapshot!(refused("/etc"), @"cannot start /etc: it is no file (install it, or correct system.command)");
        assert_eq!([refused("sh"), refused("/bin/sh")], ["fine", "fine"]);
    }

    #[test]
    fn the_kernels_program_is_looked_for_where_one_of_ours_runs_it() {
        let mut plan = plan();
        plan.sweep.kernel = Kernel::Exec { command: vec!["no-such-kernel".to_owned()] };
        let error = programs_are_there(&plan).unwrap_err().to_string();
        assert!(error.contains("correct sweep.kernel.exec.command"), "{error}");
        let command = vec!["sh".to_owned()];
        plan.foreign = Some(Foreign { command, image: None, workers: plan.workers });
        assert!(programs_are_there(&plan).is_ok());
    }

    #[test]
    fn the_script_of_an_interpreter_is_looked_for_too() {
        let mut plan = plan();
        let command = ["sh", "/no/such.sh"].map(str::to_owned).to_vec();
        plan.sweep.kernel = Kernel::Exec { command };
        let error = programs_are_there(&plan).unwrap_err().to_string();
        let wanted = "sh cannot start /no/such.sh: no such file (paths are from where the scenario's file is, or";
        assert!(error.starts_with(wanted), "{error}");
        assert!(error.ends_with("correct sweep.kernel.exec.command)"), "{error}");
    }

    #[test]
    fn what_runs_elsewhere_is_not_looked_for_here() {
        let mut plan = plan();
        plan.sweep.kernel = Kernel::Exec { command: vec!["no-such-kernel".to_owned()] };
        plan.workers_in = WorkersIn::Container;
        assert!(programs_are_there(&plan).is_ok());
    }
}
