//! Random chaos: it passes on the system as it is, and fails on a broken one.

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Said, Sandbox, events, eventually, json};

fn soak(sandbox: &Sandbox, more: &str) -> Said {
    let arguments: Vec<&str> = ["soak", "--backend"].into_iter().chain(more.split(' ')).collect();
    sandbox.run(&arguments)
}

// A server of RabbitMQ takes seconds to start: fewer of them.
#[rstest]
#[case("embedded", 3)]
#[case("redis", 3)]
#[case("rabbitmq", 2)]
fn some_seeds_pass_and_leave_nothing_behind(#[case] backend: &str, #[case] runs: u32) {
    let sandbox = Sandbox::new();
    let said = soak(&sandbox, &format!("{backend} --runs {runs} --seed 1"));
    assert_eq!(said.code, Some(0), "{said}");
    let all = format!("{runs} runs: {runs} passed, 0 failed, 0 inconclusive");
    assert!(said.stdout.contains(&all), "{said}");
    assert!(said.stdout.contains(": 0 missing, 0 counted twice"), "{said}");
    assert_eq!(std::fs::read_dir(sandbox.path().join("runs/soak")).unwrap().count(), 0, "{said}");
    sandbox.assert_that_nothing_lives();
}

#[test]
fn a_broken_system_fails_and_the_command_that_repeats_it_is_told() {
    let sandbox = Sandbox::new();
    let again = "soak --backend embedded --seed 1 --runs 1 --defect drops-remainder";
    let said = soak(&sandbox, "embedded --runs 3 --seed 1 --defect drops-remainder");
    assert_eq!(said.code, Some(1), "{said}");
    // The first failure ends it.
    assert!(said.stdout.contains("1 run: 0 passed, 1 failed"), "{said}");
    assert!(said.stdout.contains(&format!("  again         harness {again}\n")), "{said}");
    let repeated = sandbox.run(&again.split(' ').collect::<Vec<_>>());
    assert_eq!(repeated.code, Some(1), "{repeated}");
    let run = sandbox.path().join("runs/soak/soak-embedded-1/latest");
    assert_eq!(json(run.join("results.json"))["verdict"], "fail");
    // What was run can be run by itself, and changed.
    assert!(run.join("soak-embedded-1.yaml").is_file());
    sandbox.assert_that_nothing_lives();
}

#[test]
fn an_interrupt_ends_it_with_a_summary() {
    let sandbox = Sandbox::new();
    let child = sandbox
        .harness(&["soak", "--backend", "embedded", "--seed", "1"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let run = sandbox.path().join("runs/soak/soak-embedded-1/latest");
    eventually(|| match events(&run) {
        none if none.is_empty() => Err("nothing happens".into()),
        _ => Ok(()),
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("0 runs: 0 passed"), "{said}");
    sandbox.assert_that_nothing_lives();
}
