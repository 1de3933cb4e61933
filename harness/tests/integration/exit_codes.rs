//! The exit codes that the design promises, each by what leads to it.

use rstest::rstest;

use crate::support::{Sandbox, finish, reasons, scenarios, shipped};

const QUICK: [&str; 2] = ["--set", "sweep.kernel={work_ms: 1}"];

fn quickstart(sandbox: &Sandbox, arguments: &[&str]) -> crate::support::Said {
    sandbox.run(&[&["run", &shipped("quickstart")], &QUICK[..], arguments].concat())
}

#[test]
fn pass_is_0() {
    let said = quickstart(&Sandbox::new(), &[]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.starts_with("PASS  quickstart\n"), "{said}");
}

#[test]
fn fail_is_1() {
    let sandbox = Sandbox::new();
    let file = shipped("m1-static-fault");
    let said = sandbox.run(&["run", &file, "--set", "expect.coverage=exactly-once"]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.starts_with("FAIL  m1-static-fault\n"), "{said}");
    let reasons = reasons(&sandbox.latest("m1-static-fault"));
    assert!(reasons.starts_with("coverage: "), "{reasons}");
}

#[rstest]
#[case::comes_too_late("faults.0.at=11s", "the sweep ended before 11.0 s")]
#[case::finds_nobody(
    "faults=[{at: 30%, kill: {worker: 1}}, {at: 60%, kill: {worker: 1}}]",
    "did not bite"
)]
fn inconclusive_is_2_where_a_fault(#[case] set: &str, #[case] because: &str) {
    let sandbox = Sandbox::new();
    let said = quickstart(&sandbox, &["--set", set]);
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.stdout.starts_with("INCONCLUSIVE  quickstart\n"), "{said}");
    assert!(said.stdout.contains(because), "{said}");
}

#[test]
fn the_gravest_of_several_scenarios_decides() {
    let sandbox = Sandbox::new();
    let scenario = std::fs::read_to_string(shipped("quickstart")).unwrap();
    let late = sandbox.write("quickstart.yaml", &scenario.replace("at: 30%", "at: 9s"));
    let pass = shipped("m1-static");
    let said = sandbox
        .run(&[&["run", &pass, &late, &pass], &QUICK[..], &["--set", "sweep.params=20"]].concat());
    assert_eq!(said.code, Some(2), "{said}");
    let verdicts: Vec<&str> = said
        .stdout
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
        .collect();
    assert_eq!(verdicts, ["PASS  m1-static", "INCONCLUSIVE  quickstart", "PASS  m1-static"]);
}

#[rstest]
#[case::no_arguments(&[], "Usage: harness")]
#[case::an_unknown_command(&["judge"], "unrecognized subcommand 'judge'")]
#[case::an_unknown_flag(&["run", "ok.yaml", "--sed", "7"], "unexpected argument '--sed'")]
#[case::no_scenario(&["run"], "<SCENARIO>...")]
#[case::a_scenario_that_is_not_there(&["run", "nowhere.yaml"], "nowhere.yaml")]
#[case::a_second_scenario_that_is_bad(&["run", "ok.yaml", "typo.yaml"], "typo.yaml:5:1: ")]
#[case::what_is_no_yaml(&["run", "torn.yaml"], "torn.yaml:")]
#[case::an_unknown_key(&["run", "typo.yaml"], "workers")]
#[case::another_name_than_the_files(&["run", "other.yaml"], "give both the same name")]
#[case::an_unknown_backend(&["run", "ok.yaml", "--backend", "kafka"], "valid: embedded, redis, rabbitmq, static")]
#[case::a_seed_that_is_none(&["run", "ok.yaml", "--seed", "soon"], "'soon'")]
#[case::an_assignment_that_is_none(&["run", "ok.yaml", "--set", "workers"], "expected KEY=VALUE")]
#[case::an_assignment_to_nothing(&["run", "ok.yaml", "--set", "wrokers=3"], "workers")]
#[case::an_impossible_value(&["run", "ok.yaml", "--set", "workers=0"], "--set workers=0")]
#[case::an_impossible_expectation(&["run", "ok.yaml", "--set", "expect.throughput_min=1e9"], "throughput_min")]
#[case::a_fault_on_nobody(&["run", "ok.yaml", "--set", "faults=[{at: 10%, kill: {worker: 9}}]"], "worker")]
#[case::a_run_directory_that_is_a_file(&["run", "ok.yaml", "--out", "ok.yaml"], "cannot write ok.yaml")]
#[case::a_check_of_nothing(&["check", "nowhere"], "cannot read nowhere/plan.json")]
#[case::a_list_of_nothing(&["list", "nowhere"], "nowhere")]
#[case::an_unknown_defect(&["selftest", "drops-everything"], "valid: ")]
fn wrong_input_is_64(#[case] arguments: &[&str], #[case] said_so: &str) {
    let sandbox = Sandbox::new();
    let scenario = "\
name: ok
description: One that would pass.
sweep: { params: 10, chunk_size: 1, kernel: { reference: { work_ms: 1 } } }
backend: embedded
workers: 2
";
    sandbox.write("ok.yaml", scenario);
    sandbox.write("other.yaml", scenario);
    sandbox.write("torn.yaml", "name: [torn");
    sandbox.write("typo.yaml", &scenario.replace("ok", "typo").replace("workers", "wrokers"));
    let before = sandbox.entries();
    let said = sandbox.run(arguments);
    assert_eq!(said.code, Some(64), "{said}");
    assert!(said.stderr.contains(said_so), "{said}");
    assert_eq!(said.stdout, "");
    assert_eq!(sandbox.entries(), before, "nothing was started");
}

#[rstest]
#[case::run(&["run", "SCENARIO"])]
#[case::selftest(&["selftest", "drops-remainder", "--scenarios", "SCENARIOS"])]
fn a_broker_that_is_not_installed_is_69(#[case] arguments: &[&str]) {
    let sandbox = Sandbox::new();
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| match *argument {
            "SCENARIO" => shipped("quickstart"),
            "SCENARIOS" => scenarios().display().to_string(),
            other => other.to_owned(),
        })
        .chain(["--backend".to_owned(), "redis".to_owned()])
        .collect();
    let nothing = tempfile::tempdir().unwrap();
    // Docker would do as well.
    let nowhere = format!("unix://{}", nothing.path().join("docker.sock").display());
    let said =
        finish(sandbox.harness(&arguments).env("PATH", nothing.path()).env("DOCKER_HOST", nowhere));
    assert_eq!(said.code, Some(69), "{said}");
    assert!(said.stderr.contains("apt-get install redis-server"), "{said}");
    assert!(said.stderr.contains("or use --backend embedded"), "{said}");
}
