//! When a run is ended although it is not complete: generous, so that it only ever ends runs
//! that go nowhere. And when a sweep is surely over, so that what would strike later never does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bite;
use super::error::Problem;
use super::fault::{self, Ground};
use super::fields::Fields;
use super::nominal::{self, duration};
use super::units::show;
use crate::plan::{FaultKind, Plan, PlannedFault, Target, Trigger};

/// The longest time without a commit: what the scenario says, or 20 s, ten chunks, the longest
/// fault and three leases. A kernel without a nominal duration gets ten minutes, and foreign workers, of
/// whom nobody knows how long they take to start or for a chunk, two more.
pub(super) fn stall_after(scenario: &Fields<'_>, plan: &Plan) -> Result<Duration, Problem> {
    let chunk_s = nominal::chunk_s(&plan.sweep);
    if let Some(field) = scenario.get("stall_after") {
        let limit = field.duration("stall_after: 30s")?;
        return match chunk_s {
            Some(chunk) if chunk >= limit.as_secs_f64() => Err(field.refuse(format!(
                "is {}, but one chunk alone takes {} (allow more)",
                show(limit),
                show(duration(chunk))
            ))),
            _ => Ok(limit),
        };
    }
    let work_s = chunk_s.map_or(600.0, |chunk| 20.0 + 10.0 * chunk);
    let foreign_s = if plan.foreign.is_some() { 120.0 } else { 0.0 };
    let longest_fault = plan.faults.iter().filter_map(longest).max();
    let fault_s = longest_fault.unwrap_or_default().as_secs_f64();
    Ok(duration(work_s + foreign_s + fault_s + 3.0 * lease_s(plan)))
}

/// The longest time that a fault holds anything up.
fn longest(fault: &PlannedFault) -> Option<Duration> {
    let drawn = fault.settings.mix.iter().filter_map(|draw| draw.fault.hold);
    drawn.chain(fault.hold).max()
}

/// The longest run: what the scenario says, or a minute and four times the sweep on the workers
/// that are left, the faults' own time and the leases that they cost. It is never below what the
/// scenario allows elsewhere. A kernel without a nominal duration gets an hour.
pub(super) fn timeout(scenario: &Fields<'_>, plan: &Plan) -> Result<Duration, Problem> {
    let allowed = plan.expect.duration_max.unwrap_or_default();
    let ideal_s = |workers| nominal::ideal_s(&plan.sweep, plan.backend, workers);
    if let Some(field) = scenario.get("timeout") {
        let limit = field.duration("timeout: 120s")?;
        let latest = plan.faults.iter().filter_map(|fault| match fault.trigger {
            Trigger::Time(time) => Some(time),
            _ => None,
        });
        let needed = [
            (allowed, "duration_max allows"),
            (latest.max().unwrap_or_default(), "a fault strikes at"),
            (ideal_s(plan.workers).map(duration).unwrap_or_default(), "the sweep alone takes"),
        ];
        return match needed.into_iter().find(|(time, _)| *time > limit) {
            Some((time, why)) => Err(field.refuse(format!(
                "is {}, but {why} {} (allow more)",
                show(limit),
                show(time)
            ))),
            None => Ok(limit),
        };
    }
    let Some(nominal_s) = ideal_s(survivors(plan)) else {
        return Ok(Duration::from_secs(3600).max(allowed));
    };
    let faults_s: f64 = plan
        .faults
        .iter()
        .map(|fault| lease_s(plan) + fault.hold.unwrap_or_default().as_secs_f64())
        .sum();
    let derived = duration(60.0 + 4.0 * nominal_s + faults_s);
    Ok(derived.max(allowed))
}

/// Seconds after which such a sweep is over even on a slow machine, where that can be said: ten of them,
/// four times the ideal time on the workers that are left, ten milliseconds for each chunk, and what
/// the faults hold up. What fails by itself, or is struck again and again, has no such end.
pub(super) fn longest_s(
    fault: &PlannedFault,
    faults: &[PlannedFault],
    ground: Ground<'_>,
) -> Option<f64> {
    let is_endless = |other: &PlannedFault| {
        let poisons = other.kind == FaultKind::Poison;
        poisons || (other.every.is_some() && other.name != fault.name)
    };
    let fails = ground.site.foreign || ground.env.contains_key("SIMULATE_FAULT_RATE");
    if fails || faults.iter().any(is_endless) {
        return None;
    }
    // Until this one strikes, it has ended nobody.
    let others = faults.iter().filter(|other| other.name != fault.name);
    let left = survivors_of(others, ground.workers);
    let ideal_s = nominal::ideal_s(ground.sweep, ground.site.backend, left)?;
    let chunks_s = 0.01 * ground.sweep.chunks() as f64;
    let lease_s = lease_of(ground.env);
    let held_up = |other: &PlannedFault| lease_s + longest(other).unwrap_or_default().as_secs_f64();
    let faults_s: f64 = faults.iter().map(held_up).sum();
    Some(10.0 + 4.0 * ideal_s * bite::most_times(faults) + chunks_s + faults_s)
}

/// Workers that no fault ends for good; at least one, so that there is a time to speak of.
fn survivors(plan: &Plan) -> u32 {
    survivors_of(plan.faults.iter(), plan.workers)
}

fn survivors_of<'a>(faults: impl Iterator<Item = &'a PlannedFault>, workers: u32) -> u32 {
    let ended = faults.filter(|fault| fault::ends_worker(fault)).map(|fault| match fault.target {
        Target::All => workers,
        _ => 1,
    });
    workers.saturating_sub(ended.fold(0, u32::saturating_add)).max(1)
}

/// Seconds of a lease, where the scenario sets it; the system's own is within every margin here.
fn lease_s(plan: &Plan) -> f64 {
    lease_of(&plan.env)
}

fn lease_of(env: &BTreeMap<String, String>) -> f64 {
    let ms = env.get("STALE_THRESHOLD_MS");
    ms.and_then(|ms| ms.parse::<u32>().ok()).map_or(0.0, |ms| f64::from(ms) / 1e3)
}
