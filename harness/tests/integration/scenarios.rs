//! Every shipped scenario, with what its file expects.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::support::{self, Sandbox, scenarios, shipped};

/// A tenth of the time per parameter, for what takes half a minute as shipped. Then the fixed costs of
/// a debug build beside other tests weigh ten times as much, so that its efficiency says nothing
/// of the shipped scenario: that figure alone is not judged here.
const TENTH_OF_100_MS: &[&str] =
    &["--set", "sweep.kernel.reference.work_ms=10", "--set", "expect.efficiency_min=null"];

/// Likewise.
const TENTH_OF_10_MS: &[&str] =
    &["--set", "sweep.kernel.reference.work_ms=1", "--set", "expect.efficiency_min=null"];

/// Chunks of a tenth of a second as shipped: the same holds of their costs in a debug build.
const UNTIMED: &[&str] = &["--set", "expect.efficiency_min=null"];

/// As shipped.
const WHOLE: &[&str] = &[];

macro_rules! each_is_a_test {
    ($($test:ident: $arguments:expr,)*) => {
        $(#[test]
        fn $test() {
            passes(&stringify!($test).replace('_', "-"), $arguments);
        })*

        /// Names of the scenarios that have a test.
        const TESTED: &[&str] = &[$(stringify!($test)),*];
    };
}

each_is_a_test! {
    embedded_aggregator_restart: WHOLE,
    embedded_chaos: WHOLE,
    embedded_coordinator_restart: WHOLE,
    embedded_dead_letters: WHOLE,
    embedded_fault: WHOLE,
    embedded_poison: WHOLE,
    embedded_replay: WHOLE,
    embedded_retry: WHOLE,
    embedded_rolling_kills: WHOLE,
    embedded_terminate: WHOLE,
    embedded_zombie: WHOLE,
    m1_static: WHOLE,
    m1_static_fault: WHOLE,
    m2_redis: TENTH_OF_100_MS,
    m2_redis_fault: TENTH_OF_100_MS,
    m2_redis_full: UNTIMED,
    m2_redis_medium: TENTH_OF_10_MS,
    m3_rabbitmq: TENTH_OF_100_MS,
    m3_rabbitmq_fault: TENTH_OF_100_MS,
    m3_rabbitmq_medium: TENTH_OF_10_MS,
    m3_redis: TENTH_OF_100_MS,
    m3_redis_fault: TENTH_OF_100_MS,
    m3_redis_medium: TENTH_OF_10_MS,
    quickstart: WHOLE,
    rabbitmq_broker_kill: WHOLE,
    rabbitmq_broker_restart: WHOLE,
    rabbitmq_chaos: WHOLE,
    rabbitmq_coordinator_kill: WHOLE,
    rabbitmq_dead_letters: WHOLE,
    rabbitmq_foreign_chaos: WHOLE,
    rabbitmq_foreign_mixed: WHOLE,
    rabbitmq_foreign_system: WHOLE,
    rabbitmq_network: WHOLE,
    rabbitmq_poison: WHOLE,
    rabbitmq_replay: WHOLE,
    rabbitmq_retry: WHOLE,
    rabbitmq_wipe: WHOLE,
    rabbitmq_zombie: WHOLE,
    redis_aggregator_kill: WHOLE,
    redis_broker_kill: WHOLE,
    redis_broker_pause: WHOLE,
    redis_broker_restart: WHOLE,
    redis_chaos: WHOLE,
    redis_coordinator_kill: WHOLE,
    redis_dead_letters: WHOLE,
    redis_foreign: WHOLE,
    redis_foreign_mixed: WHOLE,
    redis_foreign_system: WHOLE,
    redis_foreign_workers_alone: WHOLE,
    redis_network: WHOLE,
    redis_partition: WHOLE,
    redis_poison: WHOLE,
    redis_replay: WHOLE,
    redis_retry: WHOLE,
    redis_rolling_kills: WHOLE,
    redis_slow_chunks: WHOLE,
    redis_wipe: WHOLE,
    redis_zombie: WHOLE,
}

#[test]
fn every_file_has_a_test() {
    let files: BTreeSet<String> = fs::read_dir(scenarios())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let tests: BTreeSet<String> = TESTED.iter().map(|test| test.replace('_', "-")).collect();
    assert_eq!(files, tests, "give a new scenario its line in each_is_a_test!");
}

/// What a worker that fences nothing does once it wakes up: see `scenarios/findings`.
#[test]
fn a_freeze_of_a_naive_worker_beyond_its_lease_leaves_one_more_result() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["run", &shipped("findings/redis-foreign-chaos")]);
    assert_eq!(said.code, Some(1), "{said}");
    let results = support::json(sandbox.latest("redis-foreign-chaos").join("results.json"));
    assert_eq!(
        results["reasons"],
        json!(["coverage: of 600 parameters: 10 committed more than once"])
    );
    assert_eq!(results["coverage"]["duplicated"]["count"], 10, "one chunk: {said}");
    assert_eq!(results["coverage"]["missing"]["count"], 0, "{said}");
}

#[test]
fn the_total_is_the_same_to_the_last_bit_on_every_backend() {
    let sandbox = Sandbox::new();
    for (backend, workers) in [("embedded", 2), ("redis", 3), ("redis", 1)] {
        let workers = format!("workers={workers}");
        let quick = ["--set", "sweep.kernel.reference.work_ms=0.01", "--set", &workers];
        let file = shipped("m1-static");
        let said = sandbox.run(&[&["run", &file, "--backend", backend][..], &quick].concat());
        assert_eq!(said.code, Some(0), "{said}");
        let results = support::json(sandbox.latest("m1-static").join("results.json"));
        assert_eq!(results["aggregate"]["sum"], 5_000_355.00, "{backend}: {said}");
        assert_eq!(results["aggregate"]["count"], 10_000);
    }
}

fn passes(scenario: &str, arguments: &[&str]) {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&[&["run", &shipped(scenario)], arguments].concat());
    assert_eq!(said.code, Some(0), "{said}");
    let plan = support::json(sandbox.latest(scenario).join("plan.json"));
    let results = support::json(sandbox.latest(scenario).join("results.json"));
    assert_eq!(results["verdict"], "pass");
    assert_that_coverage_is_whole(&plan, &results);
    assert_that_every_fault_bit(&plan, &results);
    assert_that_the_total_is_right(&plan, &results);
}

fn assert_that_coverage_is_whole(plan: &Value, results: &Value) {
    let coverage = plan["expect"]["coverage"].as_str().unwrap();
    let loses = coverage.starts_with("lost-with-");
    let dies = plan["expect"]["dead_letters"] != 0;
    for (kind, found) in results["coverage"].as_object().unwrap() {
        let found = found["count"].as_u64().unwrap();
        if kind == "duplicated" && plan["backend"] == "rabbitmq" {
            // No step of AMQP both stores and acknowledges; the verdict has seen to the rest.
            let chunk_size = plan["sweep"]["chunk_size"].as_u64().unwrap();
            let removed = results["duplicates_removed"].as_u64().unwrap_or(0);
            assert!(found <= removed * chunk_size, "{found} parameters are {kind}");
            continue;
        }
        let expected = (kind == "missing" && loses) || (kind == "dead_lettered" && dies);
        assert_eq!(found > 0, expected, "{found} parameters are {kind}");
    }
}

fn assert_that_every_fault_bit(plan: &Value, results: &Value) {
    let name = |fault: &Value| fault["name"].as_str().unwrap().to_owned();
    let faults = |of: &Value| of["faults"].as_array().unwrap().clone();
    let planned: BTreeSet<String> = faults(plan).iter().map(name).collect();
    // One that strikes more than once numbers its strikes, as in `chaos-1.7`.
    let fault = |strike: &Value| name(strike).split('.').next().unwrap().to_owned();
    let bitten: BTreeSet<String> =
        faults(results).iter().filter(|fault| fault["bit"] == true).map(fault).collect();
    assert_eq!(planned, bitten, "{:#}", results["faults"]);
}

fn assert_that_the_total_is_right(plan: &Value, results: &Value) {
    if plan["backend"] == "static" {
        assert_eq!(results["aggregate"], Value::Null, "without a broker nothing is aggregated");
        return;
    }
    if plan["aggregator"] == "none" {
        assert_eq!(results["aggregate"], Value::Null, "nobody but the harness has summed");
        return;
    }
    if plan["expect"]["coverage"] == "lost-with-broker" {
        assert!(results["aggregate"]["count"].as_u64().unwrap_or(0) < 900, "not all is there");
        return;
    }
    let ranges = results["coverage"]["dead_lettered"]["ranges"].as_array().unwrap();
    let dead: Vec<_> =
        ranges.iter().map(|r| r[0].as_u64().unwrap()..r[1].as_u64().unwrap()).collect();
    let all = 0..plan["sweep"]["end"].as_u64().unwrap();
    let params: Vec<u64> = all.filter(|p| dead.iter().all(|range| !range.contains(p))).collect();
    assert_eq!(results["aggregate"]["count"], params.len());
    let sum = results["aggregate"]["sum"].as_f64().unwrap();
    let is_ours = plan["sweep"]["kernel"]["distinct"].is_object();
    let value = if is_ours { distinct } else { hundredths };
    let units = if is_ours { 1.0 } else { 100.0 };
    let expected = params.into_iter().map(value).sum::<u64>() as f64 / units;
    assert!((sum - expected).abs() < 1e-6, "the total is {sum}, not {expected}");
}

/// The wire contract's reference kernel, in hundredths: `0.5` for 5, `0.50` for 7,050.
fn hundredths(param: u64) -> u64 {
    let whole = (7 * param + 13) % 1000;
    let digits = param % 100;
    whole * 100 + if digits < 10 { digits * 10 } else { digits }
}

/// The kernel of which no two parameters have the same value.
fn distinct(param: u64) -> u64 {
    let mut low = param % 1024;
    low ^= low >> 5;
    low = low * 693 % 1024;
    low ^= low >> 5;
    param / 1024 * 1024 + low
}
