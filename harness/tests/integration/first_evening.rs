//! What somebody meets who has never run the harness before.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Sandbox, finish, json, shipped};

/// Its program is a file, and not there.
const ABSENT: &str = "\
name: absent
description: Its program is not there.
sweep: { params: 4, chunk_size: 2, kernel: { exec: { command: [/usr/bin/python3, kernel.py] } } }
workers: 1
";

#[test]
fn a_shipped_scenario_is_found_by_its_name_from_anywhere() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["run", "quickstart", "--set", "sweep.kernel={work_ms: 1}"]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.starts_with("PASS  quickstart\n"), "{said}");
    let said = sandbox.run(&["list"]);
    assert!(said.code == Some(0) && said.stdout.contains("\nquickstart\n"), "{said}");
    let said = sandbox.run(&["run", "quikstart"]);
    assert_eq!(said.code, Some(64), "{said}");
    assert!(said.stderr.contains("(did you mean quickstart?)"), "{said}");
}

#[test]
fn one_of_the_own_directory_comes_before_the_one_that_is_built_in() {
    let sandbox = Sandbox::new();
    let own = fs::read_to_string(shipped("quickstart")).unwrap();
    fs::create_dir(sandbox.path().join("scenarios")).unwrap();
    sandbox.write("scenarios/quickstart.yaml", &own.replace("workers: 3", "workers: nobody"));
    let said = sandbox.run(&["run", "quickstart"]);
    assert_eq!(said.code, Some(64), "{said}");
    assert!(said.stderr.contains("scenarios/quickstart.yaml:"), "{said}");
}

#[test]
fn a_kernel_is_looked_for_where_the_scenario_is() {
    let sandbox = Sandbox::new();
    let program = "import json, sys\nfor line in sys.stdin:\n    chunk = json.loads(line)\n    \
                   params = range(chunk['start_param'], chunk['end_param'])\n    \
                   print(json.dumps({'values': [k * 0.5 for k in params]}), flush=True)\n";
    fs::create_dir(sandbox.path().join("mine")).unwrap();
    sandbox.write("mine/kernel.py", program);
    let scenario = sandbox.write("mine/absent.yaml", ABSENT);
    let said = sandbox.run(&["run", &scenario]);
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn a_run_that_never_began_says_why_wherever_one_looks() {
    let sandbox = Sandbox::new();
    let scenario = sandbox.write("absent.yaml", ABSENT);
    let said = sandbox.run(&["run", &scenario]);
    assert_eq!(said.code, Some(69), "{said}");
    let wanted = "/usr/bin/python3 cannot start kernel.py: no such file";
    assert!(said.stderr.contains(wanted), "{said}");
    assert!(!sandbox.latest("absent").exists(), "it is the latest of nothing");
    let runs = sandbox.path().join("runs/absent");
    let run = runs.read_dir().unwrap().next().unwrap().unwrap().path();
    assert!(fs::read_to_string(run.join("no-verdict.txt")).unwrap().contains(wanted));
    let said = sandbox.run(&["check", &run.display().to_string()]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said}");
    assert!(said.stderr.contains("the run never began"), "{said}");
    assert!(said.stderr.contains(wanted), "{said}");
}

#[test]
fn several_scenarios_end_with_what_each_came_to() {
    let sandbox = Sandbox::new();
    let absent = sandbox.write("absent.yaml", ABSENT);
    let quick = ["--set", "sweep.params=20", "--seed", "7"];
    let said = sandbox.run(&[&["run", "m1-static", &absent, "quickstart"], &quick[..]].concat());
    assert_eq!(said.code, Some(69), "{said}");
    let (_, table) = said.stdout.split_once("\n1 of 3 scenarios passed\n").expect("a table");
    for line in [
        "  PASS          m1-static",
        "runs/m1-static/",
        "harness run m1-static --seed 7 --set sweep.params=20",
        "  NOT BEGUN     absent",
        "/usr/bin/python3 cannot start kernel.py",
        "absent.yaml --seed 7 --set sweep.params=20",
        "  not run       quickstart",
    ] {
        assert!(table.contains(line), "no {line:?}: {said}");
    }
}

#[test]
fn ones_own_runs_are_compared_without_saying_which_table() {
    let sandbox = Sandbox::new();
    let quick = ["--set", "sweep.kernel={work_ms: 1}", "--set", "sweep.params=100"];
    let said = sandbox.run(&[&["run", "quickstart"], &quick[..]].concat());
    assert!(matches!(said.code, Some(0 | 2)), "{said}");
    let said = sandbox.run(&["compare", "runs/quickstart/latest"]);
    assert!(said.stdout.starts_with("Runs\n"), "{said}");
    assert!(said.stdout.contains("quickstart") && !said.stdout.contains("not run"), "{said}");
    let said = sandbox.run(&["compare", "--table", "m3", "runs/quickstart/latest"]);
    assert!(said.stdout.contains("quickstart"), "{said}");
    assert!(!said.stdout.contains("not run") && !said.stdout.contains("published"), "{said}");
}

#[test]
fn what_programs_printed_is_for_its_user_alone() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["run", "quickstart", "--set", "sweep.kernel={work_ms: 1}"]);
    assert_eq!(said.code, Some(0), "{said}");
    let run = sandbox.latest("quickstart");
    let mode = fs::metadata(&run).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    assert_eq!(json(run.join("results.json"))["verdict"], "pass");
}

#[test]
fn a_broker_that_is_missing_beside_docker_can_be_had_in_two_ways() {
    let sandbox = Sandbox::new();
    let nothing = tempfile::tempdir().unwrap();
    let socket = nothing.path().join("docker.sock");
    let arguments =
        ["run", &shipped("quickstart"), "--backend", "redis", "--environment", "process"];
    let said = |host: &str| {
        let mut harness = sandbox.harness(&arguments);
        finish(harness.env("PATH", nothing.path()).env("DOCKER_HOST", host))
    };
    let host = format!("unix://{}", socket.display());
    let absent = said(&host);
    assert_eq!(absent.code, Some(69), "{absent}");
    let wanted = "(install it, on Debian and Ubuntu: apt-get install redis-server; or use --backend embedded)";
    assert!(absent.stderr.contains(wanted), "{absent}");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let answers = said(&host);
    let wanted = format!(
        "(use --environment container, since Docker answers at {host}; or install it, on Debian and Ubuntu: \
         apt-get install redis-server; or use --backend embedded)"
    );
    assert!(answers.stderr.contains(&wanted), "{answers}");
    drop(listener);
    let silent = said(&host);
    assert!(silent.stderr.contains("(start Docker, whose socket"), "{silent}");
}
