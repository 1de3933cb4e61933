//! The house rules that a machine can see. A failure names the place and the rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ttg_harness::scenario::{self, Overrides};

/// Lines of a Rust file, at most.
const LINES: usize = 600;

/// The one place where a test may sleep.
const POLLING: &str = "harness/tests/integration/support.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Files that git knows of, or would take, with their text; others than text are left out.
fn files() -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is needed to know which files are the project's");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let text = |name: &str| fs::read_to_string(root().join(name)).ok();
    listed.lines().filter_map(|name| Some((name.to_owned(), text(name)?))).collect()
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|(name, _)| name.ends_with(".rs")).collect()
}

/// Places, by file and line, where a line is so.
fn places(files: &[(String, String)], so: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut places = Vec::new();
    for (name, text) in files {
        for (number, line) in text.lines().enumerate() {
            if so(name, line) {
                places.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    places
}

fn assert_none(places: &[String], rule: &str) {
    assert!(places.is_empty(), "{rule}:\n{}", places.join("\n"));
}

#[test]
fn there_are_files_to_look_at() {
    assert!(rust_files().len() > 50, "the rules below would hold of nothing");
}

#[test]
fn a_file_is_short_enough_to_be_read() {
    let long: Vec<String> = rust_files()
        .iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    assert_none(&long, &format!("split a Rust file of over {LINES} lines by concern"));
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not break its own rule.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!"], ["unimplemented", "!"]];
    let marks = marks.map(|halves| halves.concat());
    let found = places(&rust_files(), |_, line| marks.iter().any(|mark| line.contains(mark)));
    assert_none(&found, "do it now, or write an issue");
}

#[test]
fn no_test_is_switched_off() {
    let mark = ["#[", "ignore"].concat();
    let found = places(&rust_files(), |_, line| line.contains(&mark));
    assert_none(&found, "repair a test or remove it");
}

#[test]
fn tests_wait_for_events() {
    let in_tests = |name: &str| name.contains("/tests/") && name != POLLING;
    let found = places(&rust_files(), |name, line| in_tests(name) && sleeps(line));
    assert_none(&found, &format!("wait for an event, with `eventually` of {POLLING} if need be"));
}

fn sleeps(line: &str) -> bool {
    ["thread::", "time::"].iter().any(|module| line.contains(&[module, "sleep"].concat()))
}

#[test]
fn each_shipped_scenario_can_be_read() {
    let directory = root().join("scenarios");
    let mut bad = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if let Err(error) = scenario::load(&path, &Overrides::default()) {
            bad.push(error.to_string());
        }
    }
    assert_none(&bad, "a shipped scenario must be valid, and scenarios/ holds nothing else");
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let homes = ["home", "Users", "root", "work"].map(|home| format!("/{home}/"));
    let own = root().display().to_string();
    let outside = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "._-}*~".contains(before))
    };
    let found = places(&files(), |_, line| {
        line.contains(&own)
            || homes.iter().any(|home| line.match_indices(home).any(|(at, _)| outside(line, at)))
    });
    assert_none(&found, "paths are relative, or come from the environment");
}
