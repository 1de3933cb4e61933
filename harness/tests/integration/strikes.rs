//! How often and when a fault strikes, and when that is told.

use std::ops::RangeInclusive;
use std::process::Child;

use rstest::rstest;
use serde_json::Value;

use crate::support::{Sandbox, events, eventually, json, scenarios, shipped};

/// Strikes of a run that took.
fn strikes(sandbox: &Sandbox, scenario: &str) -> Vec<Value> {
    let results = json(sandbox.latest(scenario).join("results.json"));
    let faults = results["faults"].as_array().unwrap();
    faults.iter().filter(|fault| fault["bit"] == true).cloned().collect()
}

/// As often as the dead letter says that the chunk was delivered. One more may be struck while it makes
/// the chunk a dead letter.
fn assert_one_for_each_attempt(sandbox: &Sandbox, scenario: &str, attempts: RangeInclusive<usize>) {
    let strikes = strikes(sandbox, scenario);
    let events = events(&sandbox.latest(scenario));
    let letter = events.iter().find(|event| event["event"] == "dead-lettered").expect("a letter");
    let reason = letter["reason"].as_str().unwrap_or_default();
    let said = reason.split(' ').nth(1).and_then(|times| times.parse().ok());
    let delivered: usize = said.unwrap_or_else(|| panic!("{reason}"));
    assert!(attempts.contains(&delivered), "{reason}");
    assert!((delivered..=delivered + 1).contains(&strikes.len()), "{reason}: {strikes:#?}");
}

#[rstest]
#[case::embedded("embedded-poison")]
#[case::redis("redis-poison")]
#[case::rabbitmq("rabbitmq-poison")]
fn poison_strikes_once_for_each_attempt(#[case] scenario: &str) {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["run", &shipped(scenario)]);
    assert_eq!(said.code, Some(0), "{said}");
    // `MAX_DELIVERIES`, and one more where it is struck before the letter of the last is written.
    assert_one_for_each_attempt(&sandbox, scenario, 4..=5);
}

#[test]
fn poison_strikes_a_foreign_worker_once_for_each_attempt() {
    let sandbox = Sandbox::new();
    let worker = scenarios().join("../fixtures/foreign/worker.py");
    let file = sandbox.write(
        "mixed.yaml",
        &format!(
            "name: mixed\n\
             description: One chunk kills whoever has it, a foreign worker too.\n\
             sweep: {{ params: 600, chunk_size: 10, kernel: {{ reference: {{ work_ms: 30 }} }} }}\n\
             backend: redis\n\
             workers: 3\n\
             faults: [{{ poison: {{ chunk: 17 }} }}]\n\
             system:\n  command: [/usr/bin/python3, {}]\n  workers: 2\n  \
               env: {{ MAX_DELIVERIES: 4, STALE_THRESHOLD_MS: 1000, STALE_CHECK_INTERVAL_SECONDS: 1, \
               IDLE_TIMEOUT_SECONDS: 15 }}\n\
             expect: {{ coverage: exactly-once, dead_letters: 1 }}\n",
            worker.display()
        ),
    );
    let said = sandbox.run(&["run", &file]);
    assert_eq!(said.code, Some(0), "{said}");
    // A foreign worker makes no dead letters: it ends once it comes to one of ours.
    assert_one_for_each_attempt(&sandbox, "mixed", 4..=usize::MAX);
}

#[test]
fn a_strike_on_a_broker_is_told_while_it_is_down() {
    let sandbox = Sandbox::new();
    let file = sandbox.write(
        "down.yaml",
        "name: down\n\
         description: The broker is down for seconds.\n\
         sweep: { params: 600, chunk_size: 10, kernel: { reference: { work_ms: 5 } } }\n\
         backend: redis\n\
         workers: 2\n\
         faults: [{ at: 30%, kill: { role: broker, for: 3s } }]\n",
    );
    let mut harness = sandbox.start(&["run", &file]);
    let of = |name: &str| {
        let seen = events(&sandbox.latest("down"));
        seen.into_iter().find(|event| event["event"] == name)
    };
    eventually(|| of("fault-injected").map(drop).ok_or_else(|| "no strike is told".to_owned()));
    assert_eq!(of("fault-healed"), None, "it is down for seconds yet");
    assert!(harness.wait().unwrap().success());
    let (struck, healed) = (of("fault-injected").unwrap(), of("fault-healed").unwrap());
    let (from, to) = (struck["t_s"].as_f64().unwrap(), healed["t_s"].as_f64().unwrap());
    assert!(to - from >= 3.0, "{struck} {healed}");
    let fault = &strikes(&sandbox, "down")[0];
    assert_eq!(fault["at_s"], struck["t_s"], "{fault}");
    let proof = fault["proof"].as_str().unwrap();
    assert!(proof.contains("signal: 9") && proof.contains("now process"), "{proof}");
}

#[test]
fn a_fault_waits_until_its_target_is_not_frozen_by_another() {
    let sandbox = Sandbox::new();
    let file = sandbox.write(
        "frozen.yaml",
        "name: frozen\n\
         description: A worker is to be ended while it is frozen.\n\
         sweep: { params: 600, chunk_size: 10, kernel: { reference: { work_ms: 10 } } }\n\
         workers: 2\n\
         faults:\n\
         - { at: 10%, pause: { worker: 0, for: 800ms } }\n\
         - { at: 12%, terminate: { worker: 0 } }\n\
         expect: { coverage: exactly-once }\n",
    );
    let said = sandbox.run(&["run", &file]);
    assert_eq!(said.code, Some(0), "{said}");
    let kinds: Vec<String> =
        strikes(&sandbox, "frozen").iter().map(|it| it["kind"].to_string()).collect();
    assert_eq!(kinds, ["\"pause\"", "\"terminate\""]);
}

// Whoever comes second finds the victim dead, or its place taken, and strikes who is there now.
#[rstest]
#[case("role: aggregator")]
#[case("role: coordinator")]
#[case("worker: 0")]
fn restarts_at_the_same_moment_all_take_effect(#[case] whom: &str) {
    let sandbox = Sandbox::new();
    let restart = format!("- {{ at: 20%, restart: {{ {whom} }} }}\n");
    let file = sandbox.write(
        "together.yaml",
        &format!(
            "name: together\n\
             description: One process is restarted three times at the same moment.\n\
             sweep: {{ params: 600, chunk_size: 10, kernel: {{ reference: {{ work_ms: 10 }} }} }}\n\
             workers: 2\n\
             faults:\n{}\
             expect: {{ coverage: exactly-once }}\n",
            restart.repeat(3),
        ),
    );
    let said = sandbox.run(&["run", &file]);
    assert_eq!(said.code, Some(0), "{said}");
    let bits: Vec<Value> =
        strikes(&sandbox, "together").into_iter().map(|it| it["bit"].clone()).collect();
    assert_eq!(bits, [true, true, true], "{said}");
}

/// The state of a process, as the kernel says it: `T` where it is stopped.
fn state(pid: u64) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A sweep on whose broker nothing comes through for seconds, in which somebody is struck meanwhile; and the process
/// that is struck.
fn silence(sandbox: &Sandbox, strike: &str, victim: &str) -> (Child, u64) {
    let file = sandbox.write(
        "silent.yaml",
        &format!(
            "name: silent\n\
             description: Somebody is to be struck while the broker says nothing for seconds.\n\
             sweep: {{ params: 600, chunk_size: 10, kernel: {{ reference: {{ work_ms: 10 }} }} }}\n\
             backend: redis\n\
             workers: 2\n\
             faults:\n\
             - {{ at: 300ms, pause: {{ role: broker, for: 5s }} }}\n\
             - {{ at: 900ms, {strike} }}\n\
             expect: {{ coverage: exactly-once }}\n"
        ),
    );
    let harness = sandbox.start(&["run", &file]);
    let mut pid = None;
    eventually(|| {
        let is_started =
            |event: &Value| event["process"] == victim && event["event"] == "process-started";
        told(sandbox, is_started).map(|event| pid = event["pid"].as_u64())
    });
    (harness, pid.unwrap())
}

fn told(sandbox: &Sandbox, is_wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
    let event = events(&sandbox.latest("silent")).into_iter().find(is_wanted);
    event.ok_or_else(|| "it is not told".to_owned())
}

fn is_healed(event: &Value) -> bool {
    event["event"] == "fault-healed"
}

fn assert_struck_when_it_was_known_what_is_held(sandbox: &Sandbox, kind: &str) {
    let struck = told(sandbox, |event| event["kind"] == kind).unwrap();
    let after = told(sandbox, is_healed).unwrap()["t_s"].as_f64().unwrap();
    assert!(struck["t_s"].as_f64().unwrap() >= after, "what it held was known by then: {struck}");
}

#[test]
fn a_victim_is_not_kept_stopped_while_the_broker_is_away() {
    let sandbox = Sandbox::new();
    let (mut harness, pid) = silence(&sandbox, "restart: { role: aggregator }", "aggregator");
    let becomes = |stopped: bool| {
        eventually(|| match state(pid) {
            Some(state) if (state == 'T') == stopped => Ok(()),
            other => Err(format!("its state is {other:?}")),
        });
    };
    becomes(true);
    becomes(false);
    assert!(told(&sandbox, is_healed).is_err(), "the broker is silent still");
    assert!(harness.wait().unwrap().success());
    assert_struck_when_it_was_known_what_is_held(&sandbox, "restart");
}

#[test]
fn a_worker_that_is_to_end_at_work_is_left_alone_while_the_broker_is_away() {
    let sandbox = Sandbox::new();
    let (mut harness, pid) = silence(&sandbox, "kill: { worker: 0 }", "worker-0");
    eventually(|| {
        let is_stopped = state(pid) == Some('T');
        let healed = told(&sandbox, is_healed);
        assert!(!is_stopped || healed.is_ok(), "it was stopped before");
        healed
    });
    // A worker without a chunk would have made it inconclusive.
    assert!(harness.wait().unwrap().success());
    assert_struck_when_it_was_known_what_is_held(&sandbox, "kill");
}
