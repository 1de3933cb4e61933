//! Where the broker is, as people say it: by a URL, by the wire contract's variables, in files; what
//! contradicts itself; and that a secret is repeated nowhere. No broker is needed.

mod support;

use std::process::Command;

use rstest::rstest;

use support::process::{Ended, Process, ttg};

const SECRET: &str = "hunter2";

fn coordinator(variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command: Command = ttg(&["coordinator", "--broker-patience-seconds", "0.1"]);
    command.args(arguments).envs(variables.iter().copied());
    Process::start(&mut command).end()
}

/// It ends as wrong arguments do, and says this.
fn refused(variables: &[(&str, &str)], arguments: &[&str], said: &str) -> Ended {
    let ended = coordinator(variables, arguments);
    assert_eq!(ended.status.code(), Some(64), "{ended}");
    assert!(ended.stderr.contains(said), "{ended}");
    ended
}

/// Nothing listens on port 1 of this machine.
#[rstest]
#[case::redis("redis://127.0.0.1:1/3", "redis at 127.0.0.1:1, database 3 does not answer")]
#[case::rediss("rediss://127.0.0.1:1", "redis at 127.0.0.1:1 over TLS, database 0 does not")]
#[case::amqp("amqp://127.0.0.1:1", "rabbitmq at 127.0.0.1:1, vhost / does not answer")]
#[case::amqps("amqps://me@127.0.0.1:1/v", "rabbitmq at 127.0.0.1:1 over TLS, vhost v does not")]
#[case::sentinels(
    "redis+sentinel://127.0.0.1:1,[::1]:1/mymaster/2",
    "redis master mymaster of the sentinels 127.0.0.1:1, ::1:1, database 2 does not answer"
)]
fn one_url_says_which_broker_and_where(
    #[case] url: &str,
    #[case] said: &str,
    #[values(false, true)] as_flag: bool,
) {
    let ended = match as_flag {
        true => coordinator(&[], &["--broker-url", url]),
        false => coordinator(&[("BROKER_URL", url)], &[]),
    };
    assert_eq!(ended.status.code(), Some(69), "{ended}");
    assert!(ended.stderr.contains(said), "{ended}");
    assert!(ended.stderr.contains("BROKER_URL"), "{ended}");
}

#[test]
fn a_file_is_a_url_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sweep.db");
    let ended = coordinator(&[("BROKER_URL", &format!("sqlite:{}", file.display()))], &[]);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert!(file.exists());
}

#[rstest]
#[case::host(&[("REDIS_HOST", ":hunter2@there")], &[], "REDIS_HOST is more than the name")]
#[case::host_flag(&[], &["--redis-host", "redis://:hunter2@there"], "REDIS_HOST is more than")]
#[case::rabbitmq_host(
    &[("QUEUE_BACKEND", "RabbitMQ"), ("RABBITMQ_HOST", "me:hunter2@there")],
    &[],
    "RABBITMQ_HOST is more than the name"
)]
#[case::url_flag(&[], &["--broker-url", "redis://:hunter2@there"], "--broker-url has a password in it")]
#[case::url(&[("BROKER_URL", "http://hunter2@there")], &[], "BROKER_URL begins with no scheme")]
#[case::url_port(&[("BROKER_URL", "redis://:hunter2@there:x")], &[], "BROKER_URL has a port")]
#[case::secrets(
    &[("BROKER_URL", "redis://:hunter2@there"), ("REDIS_PASSWORD", "hunter22")],
    &[],
    "BROKER_URL and REDIS_PASSWORD hold different secrets"
)]
fn a_secret_in_the_wrong_place_is_refused_and_not_repeated(
    #[case] variables: &[(&str, &str)],
    #[case] arguments: &[&str],
    #[case] said: &str,
) {
    let ended = refused(variables, arguments, said);
    assert!(!ended.stderr.contains(SECRET) && !ended.stdout.contains(SECRET), "{ended}");
}

#[test]
fn help_shows_no_value_of_what_may_hold_a_secret() {
    for variable in ["REDIS_HOST", "BROKER_URL", "REDIS_PASSWORD", "RABBITMQ_HOST"] {
        let ended = coordinator(&[(variable, "redis://:hunter2@there")], &["--help"]);
        assert!(ended.status.success(), "{ended}");
        assert!(!ended.stdout.contains(SECRET), "{variable}: {ended}");
    }
}

#[rstest]
#[case::backend(
    &[("BROKER_URL", "amqp://there"), ("QUEUE_BACKEND", "redis")],
    &[],
    "BROKER_URL and QUEUE_BACKEND say different things"
)]
#[case::host(
    &[("BROKER_URL", "redis://there"), ("REDIS_HOST", "elsewhere")],
    &[],
    "BROKER_URL and REDIS_HOST say different things"
)]
#[case::flag(
    &[("BROKER_URL", "redis://there")],
    &["--redis-db", "3"],
    "BROKER_URL and --redis-db say different things"
)]
#[case::flags(
    &[],
    &["--broker-url", "sqlite:here.db", "--embedded-path", "there.db"],
    "--broker-url and --embedded-path say different things"
)]
#[case::user(
    &[("BROKER_URL", "amqp://me@there"), ("RABBITMQ_USER", "you")],
    &[],
    "BROKER_URL and RABBITMQ_USER say different things"
)]
#[case::tls(
    &[("BROKER_URL", "redis://there"), ("BROKER_TLS_SERVER_NAME", "there")],
    &[],
    "BROKER_TLS_SERVER_NAME is set, but the broker's URL is one without TLS"
)]
#[case::no_tls(
    &[("BROKER_URL", "rediss://there"), ("BROKER_TLS", "false")],
    &[],
    "BROKER_TLS is false, but the broker's URL is one with TLS"
)]
#[case::key(&[("BROKER_TLS_CERT", "here.pem")], &[], "BROKER_TLS_CERT needs BROKER_TLS_KEY")]
#[case::ca(&[("BROKER_TLS_CA", "/nowhere/ca.pem")], &[], "BROKER_TLS_CA names /nowhere/ca.pem")]
#[case::file(
    &[("REDIS_PASSWORD_FILE", "/nowhere/password")],
    &[],
    "REDIS_PASSWORD_FILE names /nowhere/password, which cannot be read"
)]
#[case::service_link(
    &[("REDIS_PORT", "tcp://10.0.0.1:6379")],
    &[],
    "REDIS_PORT is an address of the kind tcp://10.0.0.1:6379, which Kubernetes sets"
)]
#[case::rabbitmq_service_link(
    &[("QUEUE_BACKEND", "rabbitmq"), ("RABBITMQ_PORT", "tcp://10.0.0.1:5672")],
    &[],
    "RABBITMQ_PORT is an address of the kind tcp://10.0.0.1:5672, which Kubernetes sets"
)]
fn what_contradicts_itself_is_refused(
    #[case] variables: &[(&str, &str)],
    #[case] arguments: &[&str],
    #[case] said: &str,
) {
    refused(variables, arguments, said);
}

#[rstest]
#[case::the_same(&[("BROKER_URL", "redis://127.0.0.1:1"), ("REDIS_PORT", "1")], &[])]
#[case::service_link(&[("BROKER_URL", "redis://127.0.0.1:1"), ("REDIS_PORT", "tcp://10.0.0.1:1")], &[])]
#[case::the_flag_comes_first(&[("REDIS_HOST", "elsewhere")], &["--broker-url", "redis://127.0.0.1:1"])]
#[case::another_broker(&[("BROKER_URL", "redis://127.0.0.1:1"), ("RABBITMQ_HOST", "there")], &[])]
#[case::any_case(
    &[("QUEUE_BACKEND", "Redis"), ("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", "1")],
    &[]
)]
fn what_does_not_contradict_itself_is_taken(
    #[case] variables: &[(&str, &str)],
    #[case] arguments: &[&str],
) {
    let ended = coordinator(variables, arguments);
    assert_eq!(ended.status.code(), Some(69), "{ended}");
    assert!(ended.stderr.contains("redis at 127.0.0.1:1"), "{ended}");
}

#[test]
fn a_url_may_be_in_a_file_that_ends_with_a_newline() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("url");
    std::fs::write(&file, "redis://:hunter2@127.0.0.1:1/4\n").expect("writes");
    let ended = coordinator(&[("BROKER_URL_FILE", &file.display().to_string())], &[]);
    assert!(ended.stderr.contains("redis at 127.0.0.1:1, database 4 does not"), "{ended}");
    assert!(!ended.stderr.contains(SECRET), "{ended}");
}
