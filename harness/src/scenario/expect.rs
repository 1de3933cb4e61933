//! What a scenario expects, and whether that can be at all.

use std::time::Duration;

use super::error::Problem;
use super::fault;
use super::fields::{Field, Fields};
use super::node::Value;
use super::nominal;
use super::units::{self, show};
use super::words::quoted;
use crate::plan::{
    Backend, Coverage, Expect, FaultKind, MAX_CHUNKS, Plan, PlannedFault, Recompute, RoleProgram,
};
use crate::words::counted;

const KEYS: &[&str] = &[
    "coverage",
    "dead_letters",
    "retries_min",
    "recompute",
    "throughput_min",
    "duration_max",
    "efficiency_min",
    "recovery_max",
    "finish_max",
];

const COVERAGE: &[(&str, Coverage)] = &[
    ("exactly-once", Coverage::ExactlyOnce),
    ("lost-with-worker", Coverage::LostWithWorker),
    ("lost-with-broker", Coverage::LostWithBroker),
];

/// What the scenario expects of a plan that is complete but for this.
pub(super) fn read(scenario: &Fields<'_>, plan: &Plan) -> Result<Expect, Problem> {
    let Some(expect) = scenario.get("expect") else {
        return Ok(plan.expect.clone());
    };
    let fields = expect.mapping(KEYS)?;
    let given = |key| fields.get(key);
    let duration_max = given("duration_max").map(|field| duration_max(&field, plan)).transpose()?;
    Ok(Expect {
        coverage: given("coverage")
            .map(|field| coverage(&field, plan))
            .transpose()?
            .unwrap_or(Coverage::ExactlyOnce),
        dead_letters: given("dead_letters")
            .map(|field| dead_letters(&field, plan))
            .transpose()?
            .unwrap_or(0),
        retries_min: given("retries_min")
            .map(|field| retries_min(&field, plan))
            .transpose()?
            .unwrap_or(0),
        recompute: given("recompute").map(|field| recompute(&field, plan)).transpose()?,
        throughput_min: given("throughput_min")
            .map(|field| throughput_min(&field, plan, duration_max))
            .transpose()?,
        duration_max,
        efficiency_min: given("efficiency_min")
            .map(|field| efficiency_min(&field, plan))
            .transpose()?,
        recovery_max: given("recovery_max").map(|field| recovery_max(&field, plan)).transpose()?,
        finish_max: given("finish_max").map(|field| finish_max(&field, plan)).transpose()?,
    })
}

fn coverage(field: &Field<'_>, plan: &Plan) -> Result<Coverage, Problem> {
    let coverage = field.choice(COVERAGE)?;
    if coverage == Coverage::LostWithWorker {
        if plan.backend != Backend::Static {
            return Err(field.refuse(format!(
                "is lost-with-worker, but backend {} loses nothing (write exactly-once, or \
                 backend: static)",
                plan.backend
            )));
        }
        if !plan.faults.iter().any(fault::ends_worker) {
            return Err(field.refuse(
                "is lost-with-worker, but no fault kills or terminates a worker (write \
                 exactly-once, or add such a fault)",
            ));
        }
    }
    let wipes = |fault: &PlannedFault| fault.kind == FaultKind::Wipe;
    if coverage == Coverage::LostWithBroker && !plan.has_fault(wipes) {
        return Err(field.refuse(
            "is lost-with-broker, but no fault wipes the broker (write exactly-once, or add wipe: \
             { role: broker })",
        ));
    }
    if coverage == Coverage::LostWithBroker && plan.aggregator != RoleProgram::Ours {
        return Err(field.refuse(
            "is lost-with-broker, but only our own aggregator tells by its exit code that the data is \
             gone (write exactly-once, or remove aggregator)",
        ));
    }
    Ok(coverage)
}

fn finish_max(field: &Field<'_>, plan: &Plan) -> Result<Duration, Problem> {
    let never_over = |fault: &PlannedFault| fault.kind == FaultKind::SlowChunks;
    if !plan.faults.is_empty() && plan.faults.iter().all(never_over) {
        return Err(field.refuse(
            "counts from the end of the last fault, and slow-chunks is never over (add one that \
             is, or write duration_max)",
        ));
    }
    if plan.faults.is_empty() {
        return Err(field.refuse(
            "counts from the end of the last fault, and there is none (add one, or write \
             duration_max)",
        ));
    }
    field.duration("finish_max: 20s")
}

fn dead_letters(field: &Field<'_>, plan: &Plan) -> Result<u64, Problem> {
    let expected = field.whole("dead_letters: 1")?;
    let chunks = plan.sweep.chunks();
    if expected > 0 && plan.backend == Backend::Static {
        return Err(field.refuse(format!(
            "is {expected}, but backend static has no dead letters (remove it, or choose another \
             backend)"
        )));
    }
    if expected > 0 {
        something_dies(field, plan)?;
    }
    if expected > chunks {
        return Err(field.refuse(format!(
            "is {expected}, but the sweep has only {} (expect fewer)",
            counted(chunks, "chunk")
        )));
    }
    Ok(expected)
}

fn retries_min(field: &Field<'_>, plan: &Plan) -> Result<u64, Problem> {
    let expected = field.whole("retries_min: 1")?;
    if expected > 0 && plan.backend == Backend::Static {
        return Err(field.refuse(format!(
            "is {expected}, but backend static attempts nothing twice (remove it, or choose \
             another backend)"
        )));
    }
    if expected > 0 && !attempts_may_fail(plan) {
        return Err(field.refuse(format!(
            "is {expected}, but nothing here makes an attempt fail (set SIMULATE_FAULT_RATE in \
             system.env, or remove it)"
        )));
    }
    Ok(expected)
}

fn recompute(field: &Field<'_>, plan: &Plan) -> Result<Recompute, Problem> {
    if plan.sweep.kernel.work_ms().is_some() {
        return Err(field.refuse(
            "is said of a program of your own, but this kernel's values are all known (remove it)",
        ));
    }
    let example = "write for example recompute: all, recompute: 50 or recompute: 20%";
    let Value::Text(text) = &field.node.value else {
        return Ok(Recompute::Chunks(field.count(MAX_CHUNKS, "recompute: 50")?));
    };
    if text == "all" {
        return Ok(Recompute::All);
    }
    let percent = units::percentage(text).filter(|percent| *percent > 0.0 && *percent <= 100.0);
    percent.map(Recompute::Percent).ok_or_else(|| {
        field.refuse(format!(
            "is {}, but must be all, a number of chunks or a share ({example})",
            quoted(text)
        ))
    })
}

/// Whether an attempt may fail by itself: the reference kernel never does.
fn attempts_may_fail(plan: &Plan) -> bool {
    let rate = plan.env.get("SIMULATE_FAULT_RATE");
    let is_own = plan.foreign.is_some() || plan.sweep.kernel.work_ms().is_none();
    is_own || rate.is_some_and(|rate| rate.trim() != "0")
}

/// That a chunk may become a dead letter.
pub(super) fn something_dies(field: &Field<'_>, plan: &Plan) -> Result<(), Problem> {
    let kills =
        |fault: &PlannedFault| fault.kind == FaultKind::Poison || fault::orphans_chunks(fault);
    if attempts_may_fail(plan) || plan.has_fault(kills) {
        return Ok(());
    }
    Err(field.refuse(
        "is about dead letters, but nothing here makes a chunk die (add poison: { chunk: 17 } to the \
         faults, or set SIMULATE_FAULT_RATE in system.env)",
    ))
}

fn ideal_s(plan: &Plan) -> Option<f64> {
    nominal::ideal_s(&plan.sweep, plan.backend, plan.workers)
}

fn duration_max(field: &Field<'_>, plan: &Plan) -> Result<Duration, Problem> {
    let limit = field.duration("duration_max: 50s")?;
    match ideal_s(plan) {
        Some(ideal) if ideal > limit.as_secs_f64() => Err(field.refuse(format!(
            "is {}, but the sweep takes at least {} even if nothing goes wrong (allow more)",
            show(limit),
            show(nominal::duration(ideal))
        ))),
        _ => Ok(limit),
    }
}

fn throughput_min(
    field: &Field<'_>,
    plan: &Plan,
    duration_max: Option<Duration>,
) -> Result<f64, Problem> {
    let rate = field.amount("throughput_min: 20")?;
    let params = plan.sweep.params() as f64;
    if rate == 0.0 {
        return Err(field.refuse("is 0, which is always true (ask for more, or remove it)"));
    }
    if let Some(ideal) = ideal_s(plan)
        && rate * ideal > params
    {
        return Err(field.refuse(format!(
            "is {rate}, but at best the sweep does {:.1} parameters per second (ask for less)",
            params / ideal
        )));
    }
    if let Some(limit) = duration_max
        && rate * limit.as_secs_f64() > params
    {
        return Err(field.refuse(format!(
            "is {rate}, but duration_max allows {:.1} parameters per second (ask for less, or \
             write duration_max: {})",
            params / limit.as_secs_f64(),
            show(nominal::duration(params / rate))
        )));
    }
    Ok(rate)
}

fn efficiency_min(field: &Field<'_>, plan: &Plan) -> Result<f64, Problem> {
    let share = field.amount("efficiency_min: 0.95")?;
    if share == 0.0 || share > 1.0 {
        return Err(field.refuse(format!(
            "is {share}, but must be above 0 and at most 1 (write for example efficiency_min: \
             0.95)"
        )));
    }
    if plan.sweep.kernel.work_ms() == Some(0.0) {
        return Err(field.refuse(
            "has nothing to compare with where work_ms is 0 (give the kernel some work, or \
             remove it)",
        ));
    }
    Ok(share)
}

fn recovery_max(field: &Field<'_>, plan: &Plan) -> Result<Duration, Problem> {
    let limit = field.duration("recovery_max: 1s")?;
    if plan.backend == Backend::Static {
        return Err(field.refuse(
            "cannot be judged with backend static, where nobody takes over (remove it, or choose \
             another backend)",
        ));
    }
    if !plan.faults.iter().any(fault::orphans_chunks) {
        return Err(field.refuse(
            "cannot be judged, because no fault kills, pauses or restarts a worker (add one, or \
             remove it)",
        ));
    }
    Ok(limit)
}
