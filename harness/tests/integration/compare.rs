//! Tables of runs, from their directories or from scenarios that are run.

use std::fs;

use crate::support::{Sandbox, finish};

/// A sweep of a tenth of a second, under the name of a column.
fn scenario(sandbox: &Sandbox, name: &str) -> String {
    let text = format!(
        "name: {name}\ndescription: Short.\nsweep: {{ params: 60, chunk_size: 10, kernel: {{ reference: {{ work_ms: 1 }} }} }}\n\
         backend: embedded\nworkers: 2\n"
    );
    sandbox.write(&format!("{name}.yaml"), &text)
}

#[test]
fn scenarios_are_run_in_turn_and_runs_are_read() {
    let sandbox = Sandbox::new();
    let files = ["m3-redis", "m3-rabbitmq"].map(|name| scenario(&sandbox, name));
    let said = sandbox.run(&["compare", "--table", "m3", "--repeat", "2", &files[0], &files[1]]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.starts_with("Redis and RabbitMQ\n"), "{said}");
    assert!(said.stdout.contains("2 of 2 pass"), "{said}");
    assert!(said.stdout.lines().all(|line| line.chars().count() <= 80), "{said}");
    let began = said.stderr.lines().filter_map(|line| line.split_once(": embedded"));
    let began: Vec<&str> = began.map(|(name, _)| name).collect();
    assert_eq!(began, ["m3-redis", "m3-rabbitmq", "m3-redis", "m3-rabbitmq"], "{said}");
    let latest = ["m3-redis", "m3-rabbitmq"].map(|name| sandbox.latest(name).display().to_string());
    let said = sandbox.run(&["compare", "--table", "queues", &latest[0], &latest[1]]);
    assert_eq!(said.code, Some(0), "{said}");
    let row = said.stdout.lines().find(|line| line.contains("ttg.results")).expect("a row");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["ttg.results", "6", "6"], "{said}");
}

#[test]
fn a_table_goes_into_a_document_and_into_the_step_summary() {
    let sandbox = Sandbox::new();
    let file = scenario(&sandbox, "m3-redis");
    let document = "before\n<!-- table: m3 -->\n<!-- end of table: m3 -->\nafter\n";
    let document = sandbox.write("README.md", document);
    let summary = sandbox.path().join("summary.md");
    let arguments =
        ["compare", "--table", "m3", "--format", "markdown", "--write", &document, &file];
    let said = finish(sandbox.harness(&arguments).env("GITHUB_STEP_SUMMARY", &summary));
    assert_eq!(said.code, Some(0), "{said}");
    let written = fs::read_to_string(&document).expect("the document");
    assert!(written.starts_with("before\n<!-- table: m3 -->\n\n|  | Redis"), "{written}");
    assert!(written.ends_with("<!-- end of table: m3 -->\nafter\n"), "{written}");
    let summary = fs::read_to_string(summary).expect("the summary");
    assert_eq!(summary.trim_end(), said.stdout.trim_end());
}

#[test]
fn a_run_adds_its_report_to_the_step_summary() {
    let sandbox = Sandbox::new();
    let file = scenario(&sandbox, "short");
    let summary = sandbox.path().join("summary.md");
    let said = finish(sandbox.harness(&["run", &file]).env("GITHUB_STEP_SUMMARY", &summary));
    assert_eq!(said.code, Some(0), "{said}");
    let report = fs::read_to_string(sandbox.latest("short").join("report.md")).expect("a report");
    assert_eq!(fs::read_to_string(summary).expect("a summary").trim_end(), report.trim_end());
}

#[test]
fn several_scenarios_are_cases_of_one_junit_file() {
    let sandbox = Sandbox::new();
    let files = ["one", "other"].map(|name| scenario(&sandbox, name));
    let said = sandbox.run(&["run", "--junit", "all.xml", &files[0], &files[1]]);
    assert_eq!(said.code, Some(0), "{said}");
    let text = fs::read_to_string(sandbox.path().join("all.xml")).expect("a report");
    assert!(text.contains("tests=\"16\" skipped=\"14\" failures=\"0\""), "{text}");
    let cases = ["one", "other"].map(|name| text.find(&format!("<testcase name=\"{name}\"")));
    assert!(cases[0].is_some() && cases[0] < cases[1], "{text}");
    let said = sandbox.run(&["run", "--junit", "nowhere/all.xml", &files[0]]);
    assert_eq!(said.code, Some(64), "before anything is run: {said}");
}

#[test]
fn what_cannot_be_compared_is_said_before_anything_is_run() {
    let sandbox = Sandbox::new();
    let file = scenario(&sandbox, "m3-redis");
    let refused = |arguments: &[&str]| {
        let said = sandbox.run(&[&["compare", "--table", "m3"], arguments].concat());
        assert_eq!(said.code, Some(64), "{said}");
        assert!(!sandbox.path().join("runs").exists(), "nothing was run: {said}");
        said.stderr
    };
    insta::assert_snapshot!(refused(&["--repeat", "2", "nowhere"]), @"error: --repeat needs scenario files to run (runs are read once)");
    insta::assert_snapshot!(refused(&["nowhere", &file]), @"error: nowhere/results.json cannot be read: No such file or directory (os error 2) (it is there once a run has ended)");
    insta::assert_snapshot!(refused(&["nowhere.yaml", &file]), @"error: nowhere.yaml: does not exist (`harness list` shows the scenarios)");
    fs::write(sandbox.path().join("results.json"), "{}").expect("writes");
    insta::assert_snapshot!(refused(&["."]), @"error: ./results.json is no result of a run: missing field `schema_version` at line 1 column 2");
}
