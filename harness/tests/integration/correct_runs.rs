//! Correct systems of unusual measures pass: nothing about them is a false alarm. `ci/correct-runs` runs
//! all of them on every backend, a million chunks too, and on a machine under load.

use std::path::PathBuf;
use std::time::Duration;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::interval;
use ttg_system::queue::{self, Address, Settings};

use crate::support::{Sandbox, events, eventually};

fn passes(scenario: &str, backend: &str) {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/correct");
    let file = fixtures.join(format!("{scenario}.yaml")).display().to_string();
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["run", &file, "--backend", backend, "--environment", "process"]);
    assert_eq!(said.code, Some(0), "{said}");
    sandbox.assert_that_nothing_lives();
}

#[rstest]
fn a_correct_run_passes(
    #[values("embedded", "redis")] backend: &str,
    #[values(
        "one-parameter",
        "chunk-larger-than-the-sweep",
        "primes",
        "one-worker",
        "fifty-workers",
        "largest-parameters",
        "long-chunks",
        "chunks-of-one",
        "frozen-worker"
    )]
    scenario: &str,
) {
    passes(scenario, backend);
}

#[rstest]
#[case::primes("primes", "rabbitmq")]
#[case::frozen_worker("frozen-worker", "rabbitmq")]
#[case::slow_start("slow-start", "redis")]
#[case::started_while_away("started-while-away", "redis")]
fn another_correct_run_passes(#[case] scenario: &str, #[case] backend: &str) {
    passes(scenario, backend);
}

#[tokio::test]
async fn a_sweep_that_goes_by_while_the_harness_is_frozen_passes() {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/correct/one-parameter.yaml");
    let sandbox = Sandbox::new();
    let set = ["--backend", "embedded", "--environment", "process"];
    let mut harness = sandbox.start(&[&["run", &file.display().to_string()], &set[..]].concat());
    let run = || sandbox.latest("one-parameter");
    let is_coordinator =
        |it: &serde_json::Value| it["event"] == "process-started" && it["process"] == "coordinator";
    eventually(|| match events(&run()).iter().any(is_coordinator) {
        true => Ok(()),
        false => Err("there is no coordinator".to_owned()),
    });
    let pid = Pid::from_child(&harness);
    kill_process(pid, Signal::STOP).unwrap();
    let address = Address::Embedded(run().join("broker/queue.db"));
    let broker = queue::connect(&Settings::new(address), None).await.unwrap();
    let mut now = interval(Duration::from_millis(5));
    while !broker.standing().await.unwrap().is_complete() {
        now.tick().await;
    }
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(harness.wait().unwrap().code(), Some(0), "{}", sandbox.path().display());
}
