//! Correct systems of unusual measures pass: nothing about them is a false alarm. `ci/correct-runs` runs
//! all of them on every backend, a million chunks too, and on a machine under load.

use std::path::PathBuf;

use rstest::rstest;

use crate::support::Sandbox;

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
fn another_correct_run_passes(#[case] scenario: &str, #[case] backend: &str) {
    passes(scenario, backend);
}
