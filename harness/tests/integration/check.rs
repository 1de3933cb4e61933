//! `harness check`: the files of a run are the evidence, and changed evidence is noticed.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json as value};

use crate::support::{Said, Sandbox, events, json, shipped};

/// A run that passed, and its directory.
fn passed() -> (Sandbox, PathBuf, Said) {
    let sandbox = Sandbox::new();
    let quick = ["--set", "sweep.params=403", "--set", "sweep.kernel={work_ms: 3}"];
    let said = sandbox.run(&[&["run", &shipped("quickstart")][..], &quick].concat());
    assert_eq!(said.code, Some(0), "{said}");
    let run = sandbox.latest("quickstart");
    (sandbox, run, said)
}

fn check(sandbox: &Sandbox) -> Said {
    sandbox.run(&["check", "runs/quickstart/latest"])
}

/// What `check` says once the history has been changed so.
fn tampered(change: impl FnOnce(&mut Vec<Value>)) -> Said {
    let (sandbox, run, _) = passed();
    let mut events = events(&run);
    change(&mut events);
    let text: String = events.iter().map(|event| format!("{event}\n")).collect();
    fs::write(run.join("events.jsonl"), text).unwrap();
    check(&sandbox)
}

fn is_result_of(event: &Value, chunk: &str) -> bool {
    event["event"] == "result" && event["chunk_id"] == chunk
}

fn result_of<'a>(events: &'a mut [Value], chunk: &str) -> &'a mut Value {
    events.iter_mut().find(|event| is_result_of(event, chunk)).unwrap()
}

#[test]
fn the_files_alone_give_the_same_verdict_and_report() {
    let (sandbox, run, ran) = passed();
    fs::remove_file(run.join("results.json")).unwrap();
    let checked = check(&sandbox);
    assert_eq!(checked.code, Some(0), "{checked}");
    let report = |said: &Said| -> String {
        let lines = said.stdout.lines().filter(|line| !line.starts_with("  run "));
        lines.map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(report(&checked), report(&ran));
}

#[test]
fn a_fail_stays_a_fail() {
    let sandbox = Sandbox::new();
    let file = shipped("m1-static-fault");
    let ran = sandbox.run(&["run", &file, "--set", "expect.coverage=exactly-once"]);
    let checked = sandbox.run(&["check", "runs/m1-static-fault/latest"]);
    assert_eq!((ran.code, checked.code), (Some(1), Some(1)), "{ran}{checked}");
}

#[test]
fn a_result_that_was_removed_is_missing() {
    let said = tampered(|events| events.retain(|event| !is_result_of(event, "00017")));
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.contains("170..180"), "{said}");
}

#[test]
fn a_sum_that_was_changed_in_its_last_place_is_wrong() {
    let said = tampered(|events| {
        let sum = &mut result_of(events, "00017")["sum"];
        *sum = value!(sum.as_f64().unwrap() + 0.01);
    });
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.contains("00017"), "{said}");
}

#[test]
fn a_result_that_is_there_twice_counts_as_counted_twice() {
    let said = tampered(|events| {
        let again = result_of(events, "00017").clone();
        let end = events.len() - 1;
        events.insert(end, again);
    });
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.contains("10 committed more than once"), "{said}");
    assert!(said.stdout.contains("chunk 00017 was committed by"), "{said}");
}

#[test]
fn a_total_that_was_changed_is_wrong() {
    let said = tampered(|events| {
        let total = events.iter_mut().find(|event| event["event"] == "aggregate").unwrap();
        total["count"] = value!(total["count"].as_u64().unwrap() - 1);
    });
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.contains("aggregate"), "{said}");
}

#[test]
fn a_fault_that_was_removed_is_not_proved() {
    let said = tampered(|events| events.retain(|event| event["event"] != "fault-injected"));
    assert_ne!(said.code, Some(0), "{said}");
    assert!(said.stdout.contains("did not bite"), "{said}");
}

#[test]
fn a_history_that_was_cut_off_anywhere_does_not_pass() {
    let (sandbox, run, _) = passed();
    let whole = fs::read(run.join("events.jsonl")).unwrap();
    let last_line = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in [0, 1, whole.len() / 3, whole.len() / 2, last_line, whole.len() - 5] {
        fs::write(run.join("events.jsonl"), &whole[..length]).unwrap();
        let said = check(&sandbox);
        assert_eq!(said.code, Some(2), "after {length} of {} bytes: {said}", whole.len());
    }
}

#[test]
fn garbage_in_the_history_is_named_with_its_line() {
    let (sandbox, run, _) = passed();
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[4] = "{\"t_s\":0.1,\"event\":\"earthquake\"}";
    fs::write(run.join("events.jsonl"), lines.join("\n")).unwrap();
    let said = check(&sandbox);
    assert_eq!(said.code, Some(64), "{said}");
    assert!(said.stderr.contains("events.jsonl:5: not an event"), "{said}");
}

#[test]
fn a_directory_that_no_run_wrote_is_named() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["check", "."]);
    assert_eq!(said.code, Some(64), "{said}");
    assert!(said.stderr.contains("name a directory that `harness run` wrote"), "{said}");
}

#[test]
fn checking_changes_nothing() {
    let (sandbox, run, _) = passed();
    let before = json(run.join("results.json"));
    let entries = || fs::read_dir(&run).unwrap().count();
    let count = entries();
    check(&sandbox);
    assert_eq!((json(run.join("results.json")), entries()), (before, count));
}
