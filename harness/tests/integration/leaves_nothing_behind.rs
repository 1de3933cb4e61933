//! However a run ends, or the harness itself: nothing that it started lives on.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Sandbox, events, eventually, json, shipped};

/// Seconds of work, of which a test sees the first.
const LONG: [&str; 2] = ["--set", "sweep.kernel={work_ms: 20}"];

/// A kernel that does not notice that nobody wants its answer any more. Its command line holds
/// the sandbox's path, so that it is found among the living.
const DEAF_KERNEL: &str = "\
import sys, time
line = sys.stdin.readline()
open(sys.argv[1], 'a').write(line)
while True:
    time.sleep(3600)
";

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until a run has a result: everything that belongs to it lives then.
fn in_mid_run(sandbox: &Sandbox, scenario: &str) {
    eventually(|| {
        let begun = events(&sandbox.latest(scenario)).iter().any(|it| it["event"] == "result");
        if begun { Ok(()) } else { Err("the run has no result".to_owned()) }
    });
    let living = sandbox.living();
    assert!(living.iter().any(|process| process.contains("aggregate")), "{living:#?}");
}

fn interrupted(backend: &str, signal: Signal) -> (Sandbox, ExitStatus) {
    let sandbox = Sandbox::new();
    let file = shipped("embedded-rolling-kills");
    let mut harness = sandbox.start(&[&["run", &file, "--backend", backend][..], &LONG].concat());
    in_mid_run(&sandbox, "embedded-rolling-kills");
    if backend == "redis" {
        let living = sandbox.living();
        assert!(living.iter().any(|process| process.contains("redis-server")), "{living:#?}");
    }
    send(&harness, signal);
    let status = harness.wait().unwrap();
    (sandbox, status)
}

#[rstest]
#[case::embedded("embedded")]
#[case::redis("redis")]
fn after_a_pass(#[case] backend: &str) {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["run", &shipped("quickstart"), "--backend", backend]);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(sandbox.living(), [""; 0], "everything is gone before the harness is");
}

#[rstest]
#[case::embedded("embedded")]
#[case::redis("redis")]
fn after_a_fail(#[case] backend: &str) {
    let sandbox = Sandbox::new();
    let quick = ["--set", "sweep.kernel={work_ms: 1}"];
    let fails = ["--set", "system.env={SIMULATE_FAULT_RATE: 1, MAX_RETRIES: 0}"];
    let run = ["run", &shipped("quickstart"), "--backend", backend];
    let said = sandbox.run(&[&run[..], &quick, &fails].concat());
    assert_eq!(said.code, Some(1), "{said}");
    assert_eq!(sandbox.living(), [""; 0], "everything is gone before the harness is");
}

#[rstest]
fn after_being_asked_to_end(
    #[values("embedded", "redis")] backend: &str,
    #[values(Signal::INT, Signal::TERM)] signal: Signal,
) {
    let (sandbox, status) = interrupted(backend, signal);
    assert_eq!(status.code(), Some(2));
    assert_eq!(sandbox.living(), [""; 0], "everything is gone before the harness is");
    let run = sandbox.latest("embedded-rolling-kills");
    for file in ["plan.json", "events.jsonl", "results.json", "report.md", "report.html"] {
        assert!(run.join(file).exists(), "{file} is not written");
    }
    assert!(run.join("logs/worker-0.log").exists(), "logs are kept without a pass");
    let results = json(run.join("results.json"));
    assert_eq!(
        (&results["verdict"], &results["ended"]),
        (&"inconclusive".into(), &"interrupted".into())
    );
}

#[rstest]
#[case::embedded("embedded")]
#[case::redis("redis")]
fn after_a_sigkill_of_the_harness_itself(#[case] backend: &str) {
    let (sandbox, status) = interrupted(backend, Signal::KILL);
    assert_eq!(status.signal(), Some(9));
    sandbox.assert_that_nothing_lives();
}

/// Starts a run whose workers' kernels never answer, and waits until they all have been asked.
fn with_deaf_kernels(faults: &str) -> (Sandbox, Child) {
    let sandbox = Sandbox::new();
    let kernel = sandbox.write("kernel.py", DEAF_KERNEL);
    let asked = sandbox.write("asked", "");
    let scenario = sandbox.write(
        "deaf.yaml",
        &format!(
            "name: deaf\n\
             description: Its kernels never answer.\n\
             sweep:\n  params: 100\n  chunk_size: 10\n  \
               kernel: {{ exec: {{ command: [python3, {kernel}, {asked}] }} }}\n\
             workers: 2\n\
             faults: {faults}\n"
        ),
    );
    let harness = sandbox.start(&["run", &scenario]);
    eventually(|| {
        let lines = std::fs::read_to_string(&asked).unwrap().lines().count();
        if lines >= 2 { Ok(()) } else { Err(format!("{lines} kernels were asked")) }
    });
    (sandbox, harness)
}

#[rstest]
fn not_even_a_kernels_own_program(
    #[values(Signal::INT, Signal::TERM, Signal::KILL)] signal: Signal,
) {
    let (sandbox, mut harness) = with_deaf_kernels("[]");
    send(&harness, signal);
    harness.wait().unwrap();
    sandbox.assert_that_nothing_lives();
}

#[test]
fn not_even_the_program_of_a_worker_that_was_killed_and_replaced() {
    let (sandbox, mut harness) = with_deaf_kernels("[{ at: 100ms, restart: { worker: 0 } }]");
    eventually(|| {
        let struck =
            events(&sandbox.latest("deaf")).iter().any(|it| it["event"] == "fault-injected");
        if struck { Ok(()) } else { Err("the worker was not replaced".to_owned()) }
    });
    send(&harness, Signal::TERM);
    harness.wait().unwrap();
    assert_eq!(sandbox.living(), [""; 0], "everything is gone before the harness is");
}

#[test]
fn an_interrupted_selftest_does_not_go_on() {
    let sandbox = Sandbox::new();
    let scenarios = crate::support::scenarios().display().to_string();
    let harness = sandbox
        .harness(&[
            "selftest",
            "half-chunk-on-sigterm",
            "resubmits",
            "--backend",
            "embedded",
            "--jobs",
            "1",
            "--scenarios",
            &scenarios,
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually(|| {
        let run = sandbox.path().join("runs/selftest/embedded/correct/embedded-terminate/latest");
        let begun = events(&run).iter().any(|it| it["event"] == "result");
        if begun { Ok(()) } else { Err("the run has no result".to_owned()) }
    });
    send(&harness, Signal::INT);
    let output = harness.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing was caught or missed");
    assert!(
        !sandbox
            .path()
            .join("runs/selftest/embedded/correct/embedded-coordinator-restart")
            .exists()
    );
    sandbox.assert_that_nothing_lives();
}

#[test]
fn an_interrupt_ends_every_run_of_a_selftest() {
    let sandbox = Sandbox::new();
    let scenarios = crate::support::scenarios().display().to_string();
    let harness = sandbox
        .harness(&["selftest", "half-chunk-on-sigterm", "resubmits", "--backend", "embedded"])
        .args(["--jobs", "2", "--scenarios", &scenarios])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let runs = sandbox.path().join("runs/selftest/embedded/correct");
    eventually(|| {
        let begun = |scenario| {
            let events = events(&runs.join(scenario).join("latest"));
            events.iter().any(|it| it["event"] == "result")
        };
        let both = begun("embedded-terminate") && begun("embedded-coordinator-restart");
        if both { Ok(()) } else { Err("the runs have not come that far".to_owned()) }
    });
    send(&harness, Signal::INT);
    let output = harness.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing was caught or missed");
    let entries = std::fs::read_dir(sandbox.path().join("runs/selftest/embedded")).unwrap();
    assert_eq!(entries.count(), 1, "no defect was run");
    sandbox.assert_that_nothing_lives();
}

/// Starts something that goes as far out of the way as it can: twice removed, in a session of its own,
/// with nothing in its environment. Then it is an honest worker. That the other works in the sandbox's
/// directory is how a test finds it.
const DAEMONIC_WORKER: &str = "\
import os, sys
if os.fork() == 0:
    os.setsid()
    daemon = os.fork()
    if daemon == 0:
        null = os.open('/dev/null', os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.execve('/bin/sleep', ['sleep', '3600'], {})
    with open('daemon-' + os.environ['WORKER_ID'], 'a') as file:
        file.write(str(daemon) + '\\n')
    os._exit(0)
os.wait()
os.execv('/usr/bin/python3', ['/usr/bin/python3', sys.argv[1]])
";

/// A run of two such workers, with these parameters and this besides.
fn daemonic(sandbox: &Sandbox, params: u64, more: &str) -> String {
    let program = sandbox.write("daemonic.py", DAEMONIC_WORKER);
    let worker = crate::support::scenarios().join("../fixtures/foreign/worker.py");
    sandbox.write(
        "daemonic.yaml",
        &format!(
            "name: daemonic\n\
             description: Its workers start what nobody can tell to be theirs.\n\
             sweep: {{ params: {params}, chunk_size: 10, kernel: {{ reference: {{ work_ms: 2 }} }} }}\n\
             backend: redis\n\
             workers: 2\n\
             system:\n  command: [/usr/bin/python3, {program}, {}]\n  \
               env: {{ IDLE_TIMEOUT_SECONDS: \"1\" }}\n\
             {more}",
            worker.display()
        ),
    )
}

/// What the worker of this number has started; it is told before its worker works.
fn daemon_of(sandbox: &Sandbox, worker: u32) -> u32 {
    let file = sandbox.path().join(format!("daemon-{worker}"));
    eventually(|| {
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        let told =
            written.split_once('\n').ok_or(format!("worker {worker} has started nothing"))?;
        Ok(told.0.parse().unwrap())
    })
}

/// It has become what it is meant to be.
fn assert_it_lives(sandbox: &Sandbox, pid: u32) {
    eventually(|| if lives(pid) { Ok(()) } else { Err(format!("{:#?}", sandbox.living())) });
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains("(sleep)") && !stat.contains("(sleep) Z")
}

#[rstest]
#[case::a_pass("", Some(0))]
#[case::a_fail("system.env={SIMULATE_FAULT_RATE: 1, IDLE_TIMEOUT_SECONDS: 1}", Some(1))]
fn what_a_worker_detached_ends_with_it(#[case] set: &str, #[case] code: Option<i32>) {
    let sandbox = Sandbox::new();
    let scenario = daemonic(&sandbox, 200, "");
    let set: &[&str] = if set.is_empty() { &[] } else { &["--set", set] };
    let said = sandbox.run(&[&["run", &scenario], set].concat());
    assert_eq!(said.code, code, "{said}");
    assert_ne!(daemon_of(&sandbox, 0), daemon_of(&sandbox, 1), "both were there");
    assert_eq!(sandbox.living(), [""; 0], "everything is gone before the harness is");
}

#[rstest]
fn what_a_worker_detached_does_not_outlive_the_harness(
    #[values(Signal::INT, Signal::TERM, Signal::KILL)] signal: Signal,
) {
    let sandbox = Sandbox::new();
    let mut harness = sandbox.start(&["run", &daemonic(&sandbox, 100_000, "")]);
    in_mid_run(&sandbox, "daemonic");
    let daemons = [0, 1].map(|worker| daemon_of(&sandbox, worker));
    daemons.into_iter().for_each(|daemon| assert_it_lives(&sandbox, daemon));
    send(&harness, signal);
    harness.wait().unwrap();
    if signal == Signal::KILL {
        sandbox.assert_that_nothing_lives();
    }
    assert_eq!(sandbox.living(), [""; 0], "everything is gone before the harness is");
}

#[test]
fn what_a_worker_detached_ends_when_that_worker_is_killed_and_nobody_elses_does() {
    let sandbox = Sandbox::new();
    let fault = "faults: [{ at: 100ms, kill: { worker: 0 } }]";
    let mut harness = sandbox.start(&["run", &daemonic(&sandbox, 100_000, fault)]);
    let exited =
        |it: &serde_json::Value| it["event"] == "process-exited" && it["process"] == "worker-0";
    eventually(|| match events(&sandbox.latest("daemonic")).iter().any(exited) {
        true => Ok(()),
        false => Err("worker 0 has not ended".to_owned()),
    });
    assert!(!lives(daemon_of(&sandbox, 0)), "it was gone when its worker's end was told");
    assert_it_lives(&sandbox, daemon_of(&sandbox, 1));
    send(&harness, Signal::INT);
    harness.wait().unwrap();
    assert_eq!(sandbox.living(), [""; 0], "everything is gone before the harness is");
}
