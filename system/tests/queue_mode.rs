//! When a worker takes chunks from a broker though nobody has said `USE_QUEUE`, and when it does not.

mod support;

use std::process::Command;

use rstest::rstest;
use ttg_system::queue::Address;

use support::bench::Backend::Embedded;
use support::bench::Bench;
use support::process::{Ended, Process, ttg};

/// Says its file where it stands in arguments and in the environment.
const FILE: &str = "FILE";

/// A worker alone, near a file that holds a sweep of 3 chunks.
async fn worker(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let (bench, _) = Bench::start(Embedded).with_sweep(3).await;
    let Address::Embedded(path) = &bench.settings.address else { panic!("it has no file") };
    let path = path.display().to_string();
    let said = |word: &str| if word == FILE { path.clone() } else { word.to_owned() };
    let arguments: Vec<String> = arguments.iter().copied().map(said).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command: Command = ttg(&[&["worker"], &arguments[..]].concat());
    command.env_remove("USE_QUEUE").env("SIMULATE_WORK_MS", "0");
    command.envs([("TOTAL_WORKERS", "1"), ("TOTAL_PARAMETERS", "700")]);
    command.envs(environment.iter().map(|(name, value)| (name, said(value))));
    Process::start(&mut command).end()
}

#[rstest]
#[case::flags(&["--backend", "embedded", "--embedded-path", FILE], &[])]
#[case::flag_of_the_file(&["--embedded-path", FILE], &[])]
#[case::variable_of_the_file(&[], &[("EMBEDDED_PATH", FILE)])]
#[case::flag_and_variable(&["--backend", "embedded"], &[("EMBEDDED_PATH", FILE)])]
#[case::both_variables(&[], &[("QUEUE_BACKEND", "embedded"), ("EMBEDDED_PATH", FILE)])]
#[tokio::test]
async fn whoever_names_a_broker_means_it(
    #[case] arguments: &[&str],
    #[case] environment: &[(&str, &str)],
) {
    let ended = worker(arguments, environment).await;
    assert!(ended.status.success(), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 3, "{ended}");
    assert_eq!(ended.summary()["params_processed"], 30, "{ended}");
}

#[rstest]
#[case::nothing(&[])]
#[case::the_contracts_variables(&[("QUEUE_BACKEND", "redis"), ("REDIS_HOST", "127.0.0.1")])]
#[case::said(&[("QUEUE_BACKEND", "rabbitmq"), ("USE_QUEUE", "false")])]
#[tokio::test]
async fn what_a_deployment_in_static_mode_has_keeps_it_there(#[case] environment: &[(&str, &str)]) {
    let ended = worker(&[], environment).await;
    assert!(ended.status.success(), "{ended}");
    assert_eq!(ended.summary()["params_processed"], 700, "{ended}");
    assert!(ended.stderr.contains("static mode: this worker computes a fixed share"), "{ended}");
}

#[rstest]
#[case::flag(&["--backend", "embedded"], &[], "--backend")]
#[case::host(&["--redis-host", "127.0.0.1"], &[], "--redis-host")]
#[case::file(&[], &[("EMBEDDED_PATH", FILE)], "EMBEDDED_PATH")]
#[tokio::test]
async fn a_broker_beside_a_no_is_refused(
    #[case] arguments: &[&str],
    #[case] environment: &[(&str, &str)],
    #[case] by: &str,
) {
    let environment = [environment, &[("USE_QUEUE", "false")]].concat();
    let ended = worker(arguments, &environment).await;
    assert_eq!(ended.status.code(), Some(64), "{ended}");
    let wanted = format!("but {by} names one (leave out one of them)");
    assert!(ended.stderr.contains(&wanted), "{ended}");
}
