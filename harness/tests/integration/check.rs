//! `harness check`: the files of a run are the evidence, and changed evidence is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Said, Sandbox, finish, json, shipped};

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

/// What `check` says once the lines of the history have been changed so.
fn tampered(change: impl FnOnce(&mut Vec<String>)) -> Said {
    let (sandbox, run, _) = passed();
    tamper(&run, change);
    check(&sandbox)
}

fn tamper(run: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let path = run.join("events.jsonl");
    let mut lines: Vec<String> =
        fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

fn is(line: &str, event: &str) -> bool {
    serde_json::from_str::<Value>(line).unwrap()["event"] == event
}

fn is_result_of(line: &str, chunk: &str) -> bool {
    is(line, "result") && line.contains(&format!("\"chunk_id\":\"{chunk}\""))
}

fn find(lines: &mut [String], so: impl Fn(&str) -> bool) -> &mut String {
    lines.iter_mut().find(|line| so(line)).unwrap()
}

/// Puts another number into a line.
fn put(line: &mut String, field: &str, change: impl FnOnce(f64) -> f64) {
    let number = serde_json::from_str::<Value>(line).unwrap()[field].clone();
    let changed = change(number.as_f64().unwrap());
    let said = format!("\"{field}\":{number}");
    assert!(line.contains(&said), "{line}");
    *line = line.replace(&said, &format!("\"{field}\":{changed}"));
}

#[test]
fn the_files_alone_give_the_same_verdict_and_report() {
    let (sandbox, run, ran) = passed();
    let checked = check(&sandbox);
    assert_eq!(checked.code, Some(0), "{checked}");
    let report = |said: &Said| -> String {
        let lines = said.stdout.lines().filter(|line| !line.starts_with("  run "));
        lines.map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(report(&checked), report(&ran));
    fs::remove_file(run.join("results.json")).unwrap();
    let alone = check(&sandbox);
    assert_eq!(alone.code, Some(0), "{alone}");
    let told = alone.stdout.strip_prefix(&*checked.stdout).unwrap();
    assert!(told.starts_with("  recorded      results.json cannot be read: "), "{told}");
}

#[test]
fn a_seal_can_be_computed_with_the_tools_of_the_system() {
    let (_sandbox, run, _) = passed();
    let told = finish(
        Command::new("sh")
            .args(["-c", "cat plan.json events.jsonl | head -c -76 | sha256sum"])
            .current_dir(&run),
    );
    let hash = told.stdout.split_whitespace().next().unwrap();
    let events = fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert!(events.ends_with(&format!(",\"hash\":\"{hash}\"}}\n")), "{told}");
}

#[test]
fn a_line_without_which_nothing_is_wrong_is_missed_all_the_same() {
    let said = tampered(|lines| lines.retain(|line| !is(line, "broker-ready")));
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.stdout.contains("the history does not prove itself"), "{said}");
    assert!(said.stdout.contains("its seal is over"), "{said}");
}

#[test]
fn a_plan_that_was_changed_is_noticed() {
    let (sandbox, run, _) = passed();
    let plan = fs::read_to_string(run.join("plan.json")).unwrap();
    let changed = plan.replacen("\"description\": \"", "\"description\": \"Not ", 1);
    assert_ne!(changed, plan);
    fs::write(run.join("plan.json"), changed).unwrap();
    let said = check(&sandbox);
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.stdout.contains("plan.json was changed"), "{said}");
}

#[test]
fn results_that_were_changed_are_told_of_and_do_not_count() {
    let (sandbox, run, _) = passed();
    tamper(&run, |lines| lines.retain(|line| !is_result_of(line, "00017")));
    let said = check(&sandbox);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(
        said.stdout.contains("results.json says verdict pass, the history gives fail"),
        "{said}"
    );
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
    let said = tampered(|lines| lines.retain(|line| !is_result_of(line, "00017")));
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.contains("170..180"), "{said}");
}

#[test]
fn a_sum_that_was_changed_in_its_last_place_is_wrong() {
    let said = tampered(|lines| {
        put(find(lines, |line| is_result_of(line, "00017")), "sum", |sum| sum + 0.01);
    });
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.contains("00017"), "{said}");
}

#[test]
fn a_result_that_is_there_twice_counts_as_counted_twice() {
    let said = tampered(|lines| {
        let again = find(lines, |line| is_result_of(line, "00017")).clone();
        let end = lines.len() - 1;
        lines.insert(end, again);
    });
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.contains("10 committed more than once"), "{said}");
    assert!(said.stdout.contains("chunk 00017 was committed by"), "{said}");
}

#[test]
fn a_total_that_was_changed_is_wrong() {
    let said = tampered(|lines| {
        put(find(lines, |line| is(line, "aggregate")), "count", |count| count - 1.0);
    });
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.contains("aggregate"), "{said}");
}

#[test]
fn a_fault_that_was_removed_is_not_proved() {
    let said = tampered(|lines| lines.retain(|line| !is(line, "fault-injected")));
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
fn what_a_plan_says_of_a_kind_of_fault_is_not_believed_where_it_was_changed() {
    let (sandbox, run, _) = passed();
    let path = run.join("plan.json");
    let plan = fs::read_to_string(&path).unwrap();
    let changed = plan.replacen("\"orphans\": true", "\"orphans\": false", 1);
    assert_ne!(plan, changed);
    fs::write(path, changed).unwrap();
    let said = check(&sandbox);
    assert_eq!(said.code, Some(64), "{said}");
    assert!(
        said.stderr.contains("fault_kinds says of a kind what this harness does not"),
        "{said}"
    );
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
