//! Environment `container`: the same scenarios as on processes, and nothing left on the engine. They
//! need Docker and the images of `ci/images`.

use std::process::Command;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{QUICK, Sandbox, events, eventually, json, shipped, struck};

const IN_CONTAINER: [&str; 2] = ["--environment", "container"];

const WORKERS_TOO: [&str; 4] = ["--environment", "container", "--set", "workers_in=container"];

fn passes(scenario: &str, arguments: &[&[&str]]) -> Sandbox {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&[&["run", &shipped(scenario)], &arguments.concat()[..]].concat());
    assert_eq!(said.code, Some(0), "{said}");
    let results = json(sandbox.latest(scenario).join("results.json"));
    assert_eq!(results["environment"], "container");
    assert_eq!(results["environment_because"], "--environment container");
    sandbox
}

#[rstest]
#[case::redis("m3-redis-fault")]
#[case::rabbitmq("m3-rabbitmq-fault")]
fn the_same_file_passes_with_its_broker_in_a_container(#[case] scenario: &str) {
    passes(scenario, &[&IN_CONTAINER, &QUICK]);
}

#[rstest]
#[case::redis("m3-redis-fault")]
#[case::rabbitmq("m3-rabbitmq-fault")]
fn and_with_its_workers_in_containers(#[case] scenario: &str) {
    let sandbox = passes(scenario, &[&WORKERS_TOO, &QUICK]);
    let fault = &json(sandbox.latest(scenario).join("results.json"))["faults"][0];
    assert!(fault["proof"].as_str().unwrap().contains("ended by signal 9"), "{fault}");
}

/// A scenario of one fault, with its workers in containers.
fn with_fault(sandbox: &Sandbox, backend: &str, fault: &str, more: &str) -> String {
    struck(sandbox, "container", backend, fault, more)
}

#[rstest]
#[case::terminate("terminate: { worker: busy }", "ended by signal 15")]
#[case::pause("pause: { worker: busy, for: 1s }", "is stopped (state T)")]
#[case::restart("restart: { worker: busy }", "now process")]
#[case::out_of_memory("out-of-memory: { worker: busy }", "memory")]
#[case::slow("slow: { worker: 0, share: 20%, for: 1s }", "of a processor")]
#[case::latency("latency: { worker: all, delay: 20ms, for: 1s }", "bytes delayed")]
#[case::partition("partition: { worker: busy, for: 1s }", "bytes held")]
#[case::broker_kill("kill: { role: broker, for: 300ms }", "exited with code 137")]
#[case::broker_restart("restart: { role: broker }", "now process")]
#[case::broker_pause("pause: { role: broker, for: 1s }", "is paused")]
#[case::disk_full("disk-full: { role: broker, for: 1s }", "0 KiB free")]
fn a_fault_bites_in_containers(#[case] fault: &str, #[case] proof: &str) {
    let sandbox = Sandbox::new();
    // A server that always writes first ends where it cannot write: that is another test.
    let more = if fault.starts_with("disk") { "broker: { appendfsync: everysec }\n" } else { "" };
    let said = sandbox.run(&["run", &with_fault(&sandbox, "redis", fault, more)]);
    assert_eq!(said.code, Some(0), "{said}");
    let results = json(sandbox.latest("struck").join("results.json"));
    let seen = results["faults"][0]["proof"].as_str().unwrap();
    assert!(seen.contains(proof), "{seen}");
}

#[rstest]
#[case::redis("redis")]
#[case::rabbitmq("rabbitmq")]
fn a_wiped_broker_is_told(#[case] backend: &str) {
    let sandbox = Sandbox::new();
    let more = "expect: { coverage: lost-with-broker }\n";
    let said =
        sandbox.run(&["run", &with_fault(&sandbox, backend, "wipe: { role: broker }", more)]);
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn a_foreign_worker_runs_unchanged_in_its_own_image() {
    let sandbox = Sandbox::new();
    let more = "system: { command: [worker.py], workers: 2, env: { IDLE_TIMEOUT_SECONDS: 15 } }\n";
    let file = with_fault(&sandbox, "redis", "restart: { worker: 2 }", more);
    let said = sandbox.run(&["run", &file]);
    assert_eq!(said.code, Some(0), "{said}");
    let results = json(sandbox.latest("struck").join("results.json"));
    for worker in ["worker-0", "worker-1", "worker-2"] {
        assert_ne!(results["workers"][worker], 0, "{said}");
    }
}

/// What is on the engine of the harness with this process id.
fn on_the_engine(owner: u32) -> String {
    let label = format!("label=io.ttg.harness.owner={owner}");
    let list = |what: &[&str]| {
        let output = Command::new("docker").args(what).args(["--filter", &label]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let containers = ["ps", "--all", "--quiet"];
    list(&containers) + &list(&["network", "ls", "--quiet"]) + &list(&["volume", "ls", "--quiet"])
}

#[rstest]
#[case::interrupt(Signal::INT)]
#[case::terminate(Signal::TERM)]
#[case::kill(Signal::KILL)]
fn nothing_is_left_on_the_engine_after(#[case] signal: Signal) {
    let sandbox = Sandbox::new();
    let slow = ["--set", "sweep.kernel={work_ms: 50}"];
    let file = shipped("m3-redis-fault");
    let mut harness = sandbox.start(&[&["run", &file], &WORKERS_TOO[..], &slow[..]].concat());
    eventually(|| {
        let seen = events(&sandbox.latest("m3-redis-fault"));
        let begun = seen.iter().any(|event| event["event"] == "result");
        if begun { Ok(()) } else { Err("the run has no result".to_owned()) }
    });
    let owner = harness.id();
    assert_ne!(on_the_engine(owner), "", "there is something that could be left");
    kill_process(Pid::from_child(&harness), signal).unwrap();
    harness.wait().unwrap();
    if signal == Signal::KILL {
        eventually(|| match on_the_engine(owner) {
            none if none.is_empty() => Ok(()),
            left => Err(left),
        });
    }
    assert_eq!(on_the_engine(owner), "", "everything is gone before the harness is");
    sandbox.assert_that_nothing_lives();
}

#[test]
fn an_engine_that_does_not_answer_is_69() {
    let sandbox = Sandbox::new();
    let mut harness =
        sandbox.harness(&[&["run", &shipped("m3-redis")], &IN_CONTAINER[..]].concat());
    let said = crate::support::finish(harness.env("DOCKER_HOST", "unix:///nonexistent.sock"));
    assert_eq!(said.code, Some(69), "{said}");
    assert!(said.stderr.contains("docker does not answer at unix:///nonexistent.sock"), "{said}");
    assert!(said.stderr.contains("--environment process"), "{said}");
}

#[test]
fn an_image_that_is_not_there_is_69() {
    let sandbox = Sandbox::new();
    let image = ["--set", "broker.image=ttg-nowhere:none"];
    let said =
        sandbox.run(&[&["run", &shipped("m3-redis")], &IN_CONTAINER[..], &image[..]].concat());
    assert_eq!(said.code, Some(69), "{said}");
    assert!(said.stderr.contains("ttg-nowhere:none"), "{said}");
    assert!(said.stderr.contains("ci/images"), "{said}");
}

/// The proof of a disk that was full for a second, in a run that passes.
fn full_for_a_second(backend: &str, more: &str) -> String {
    let sandbox = Sandbox::new();
    let file = with_fault(&sandbox, backend, "disk-full: { role: broker, for: 1s }", more);
    let said = sandbox.run(&["run", &file, "--set", "workers_in=process"]);
    assert_eq!(said.code, Some(0), "{said}");
    let results = json(sandbox.latest("struck").join("results.json"));
    results["faults"][0]["proof"].as_str().unwrap().to_owned()
}

#[test]
fn a_server_that_always_writes_first_ends_of_a_full_disk_and_is_started_again() {
    let proof = full_for_a_second("redis", "broker: { appendfsync: always }\n");
    assert!(proof.contains("it had ended for want of space (exit code 1)"), "{proof}");
    assert!(proof.contains("runs, now process"), "{proof}");
}

#[test]
fn a_server_that_takes_nothing_for_want_of_space_is_waited_for() {
    let proof = full_for_a_second("rabbitmq", "");
    assert!(proof.contains("it takes nothing (connection.blocked)"), "{proof}");
}
