//! Environment `kubernetes` on a real cluster: `TTG_TEST_CONTEXT` names its context, `kind-ttg-sandbox`
//! where it does not. `ci/kind-test` runs these; plain test runs leave them out.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn context() -> String {
    std::env::var("TTG_TEST_CONTEXT").unwrap_or_else(|_| "kind-ttg-sandbox".to_owned())
}

/// The harness with these arguments, on the cluster.
fn harness(directory: &TempDir, arguments: &[&str]) -> Output {
    let context = context();
    Command::new(env!("CARGO_BIN_EXE_harness"))
        .args(arguments)
        .args(["--context", &context])
        .current_dir(directory.path())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stderr), text(&output.stdout))
}

fn results(directory: &TempDir, scenario: &str) -> Value {
    let path = directory.path().join("runs").join(scenario).join("latest/results.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A shipped scenario, with what a cluster may need more time for.
fn passes(scenario: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{scenario}.yaml"));
    let file = file.display().to_string();
    let arguments = ["run", &file, "--environment", "kubernetes"];
    let patient = ["--set", "expect.efficiency_min=null", "--set", "expect.recovery_max=5s"];
    let output = harness(&directory, &[&arguments[..], &patient].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(results(&directory, scenario)["environment"], "kubernetes");
}

#[test]
fn redis_and_a_killed_worker() {
    passes("m3-redis-fault");
}

#[test]
fn rabbitmq_and_a_killed_worker() {
    passes("m3-rabbitmq-fault");
}

#[test]
fn static_mode_in_an_indexed_job() {
    passes("m1-static-fault");
}

/// A scenario with one fault; its proof.
fn strikes(backend: &str, fault: &str, codes: &[i32]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "name: struck\ndescription: One fault on a cluster.\n\
         sweep: {{ params: 2000, chunk_size: 10, kernel: {{ reference: {{ work_ms: 20 }} }} }}\n\
         backend: {backend}\nenvironment: kubernetes\nworkers: 3\n\
         faults: [{{ at: 20%, {fault} }}]\n"
    );
    fs::write(directory.path().join("struck.yaml"), text).unwrap();
    let output = harness(&directory, &["run", "struck.yaml"]);
    let code = output.status.code();
    assert!(code.is_some_and(|code| codes.contains(&code)), "{}", said(&output));
    let results = results(&directory, "struck");
    let proofs = results["faults"].as_array().unwrap().iter();
    proofs.map(|fault| fault["proof"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
}

#[test]
fn workers_are_struck() {
    for (fault, proof) in [
        ("kill: { worker: busy }", "ended by signal 9"),
        ("kill: { worker: busy, by: delete }", "was deleted with no grace"),
        ("terminate: { worker: busy }", "ended"),
        ("restart: { worker: busy }", "-life-2 (uid "),
        ("pause: { worker: busy, for: 2s }", "is stopped (state T)"),
        ("slow: { worker: 0, share: 20%, for: 2s }", "of the time"),
        ("restart: { role: coordinator }", "now pod"),
    ] {
        let seen = strikes("redis", fault, &[0]);
        assert!(seen.contains(proof), "{fault}: {seen}");
    }
}

#[test]
fn brokers_are_struck() {
    for backend in ["redis", "rabbitmq"] {
        for (fault, proof) in [
            ("kill: { role: broker }", "exited with code 137, and is gone"),
            ("restart: { role: broker }", "now uid"),
            ("pause: { role: broker, for: 2s }", "are stopped (state T)"),
        ] {
            let seen = strikes(backend, fault, &[0]);
            assert!(seen.contains(proof), "{backend}: {fault}: {seen}");
        }
    }
}

#[test]
fn nodes_are_struck() {
    let seen = strikes("redis", "cordon: { node: busy, for: 2s }", &[0]);
    assert!(seen.contains("takes no more Pods"), "{seen}");
    let seen = strikes("redis", "drain: { node: busy, for: 5s }", &[0]);
    assert!(seen.contains("was evicted from node"), "{seen}");
}

#[test]
fn a_partition_bites_or_is_inconclusive() {
    let seen = strikes("redis", "partition: { worker: busy, for: 3s }", &[0, 2]);
    let proofs = ["no new connection", "does not heed", "those that were open go on"];
    assert!(proofs.iter().any(|proof| seen.contains(proof)), "{seen}");
}

#[test]
fn every_right_is_there_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let output = harness(&directory, &["doctor"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = harness(&directory, &["cleanup", "--dry-run"]);
    let said = said(&output);
    assert!(!said.contains("left over namespace"), "{said}");
}
