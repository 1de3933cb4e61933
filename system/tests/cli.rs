//! The program as people and deployments use it: arguments, output, exit codes, signals.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use rstest::rstest;
use rustix::process::Signal;
use ttg_system::queue::Cursor;

use support::bench::Backend::{self, Embedded, Redis};
use support::bench::{Bench, whole};
use support::process::{Ended, Process, broker_environment, ttg, until};

fn run(command: &mut Command) -> Ended {
    Process::start(command).end()
}

fn on(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = ttg(arguments);
    command.envs(broker_environment(&bench.settings)).env("SIMULATE_WORK_MS", "0");
    command
}

/// The last line of standard output as JSON, with what differs from run to run left out.
fn summary(ended: &Ended) -> String {
    let mut summary = ended.summary();
    for changing in ["duration_seconds", "params_per_second"] {
        if let Some(value) = summary.get_mut(changing) {
            assert!(value.is_f64(), "{changing} is {value}");
            *value = "<number>".into();
        }
    }
    summary.to_string()
}

#[rstest]
#[tokio::test]
async fn a_sweep_from_the_coordinator_to_the_report(#[values(Embedded, Redis)] backend: Backend) {
    let bench = Bench::start(backend);
    let submitted = run(on(&bench, &["coordinator", "--chunk-size", "500"])
        .env("TOTAL_PARAMETERS", "10000")
        .env("JOB_ID", "a job"));
    assert_eq!(submitted.status.code(), Some(0), "{submitted}");
    assert_eq!(
        summary(&submitted),
        r#"{"chunks_found":0,"chunks_resubmitted":0,"chunks_submitted":20,"status":"submitted","total_chunks":20}"#
    );
    let worked = run(on(&bench, &["worker"]).env("WORKER_ID", "1"));
    assert_eq!(worked.status.code(), Some(0), "{worked}");
    assert_eq!(
        summary(&worked),
        format!(
            r#"{{"aggregates":{{"avg":500.0355,"count":10000,"max":999.98,"min":0.41,"sum":5000355.0}},"chunks_processed":20,"duration_seconds":"<number>","mode":"queue","params_per_second":"<number>","params_processed":10000,"queue_backend":"{}","queue_stats":{{"already_settled":0,"claimed":20,"committed":20,"failed":0,"taken_over":0}},"status":"completed","worker_id":"worker-1"}}"#,
            format!("{backend:?}").to_lowercase()
        )
    );
    let report = run(&mut on(&bench, &["aggregate", "--json"]));
    assert_eq!(report.status.code(), Some(0), "{report}");
    let result = report.summary()["result"].to_string();
    assert_eq!(result, r#"{"avg":500.0355,"count":10000,"max":999.98,"min":0.41,"sum":5000355.0}"#);
    let report = run(&mut on(&bench, &["aggregate", "--verbose"]));
    assert!(report.stdout.starts_with("Sweep results: complete\n"), "{report}");
    assert!(report.stdout.contains("5,000,355.00"), "{report}");
}

#[rstest]
#[case("ttg", &["--help"])]
#[case("coordinator", &["coordinator", "--help"])]
#[case("worker", &["worker", "--help"])]
#[case("aggregate", &["aggregate", "--help"])]
fn help_reads_like_this(#[case] role: &str, #[case] arguments: &[&str]) {
    let ended = run(ttg(arguments).env_remove("USE_QUEUE"));
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(format!("help_{role}"), ended.stdout);
    });
}

#[rstest]
#[case::no_role(&[], "Usage: ttg <COMMAND>")]
#[case::unknown_role(&["cordinator"], "a similar subcommand exists: 'coordinator'")]
#[case::unknown_flag(&["worker", "--chunksize", "3"], "a similar argument exists: '--chunk-size'")]
#[case::no_parameters(&["coordinator", "--total-parameters", "0"], "a sweep needs at least 1")]
#[case::no_chunk(&["coordinator", "--chunk-size", "0"], "a chunk needs at least 1 parameter")]
#[case::too_many(&["coordinator", "--total-parameters", "18446744073709551615"], "choose a smaller range")]
#[case::fault_rate(&["worker", "--simulate-fault-rate", "1.5"], "not between 0 and 1")]
#[case::work(&["worker", "--simulate-work-ms=-1"], "not a time")]
#[case::no_program(&["worker", "--kernel", "exec"], "needs a program after --")]
#[case::no_json(&["worker", "--kernel", "exec", "--kernel-command", "ls"], "not a JSON array")]
#[case::worker_number(&["worker", "--use-queue", "false", "--worker-id", "3"], "of 3 workers the last is 2")]
#[case::lease(&["worker", "--stale-threshold-ms", "0"], "0 is not in 10..")]
#[case::slow_share(&["worker", "--simulate-slow-share", "1.5"], "1.5, not between 0 and 1")]
#[case::slow_factor(&["worker", "--simulate-slow-factor", "0.5"], "0.5, not between 1 and")]
#[case::seconds(&["worker", "--idle-timeout-seconds", "soon"], "not a number of seconds")]
#[case::no_time(&["worker", "--kernel-timeout-seconds", "0"], "not a number of seconds above 0")]
#[case::no_wait(&["aggregate", "--now", "--timeout", "3"], "cannot be used with")]
fn wrong_arguments_are_64_and_say_what_is_wrong(#[case] arguments: &[&str], #[case] message: &str) {
    let ended = run(&mut ttg(arguments));
    assert_eq!(ended.status.code(), Some(64), "{ended}");
    assert!(ended.stderr.contains(message), "{ended}");
    assert_eq!(ended.stdout, "");
}

#[rstest]
#[case::coordinator("coordinator")]
#[case::worker("worker")]
#[case::aggregate("aggregate")]
fn a_broker_that_does_not_answer_is_69(#[case] role: &str) {
    // Nothing listens there.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = port.local_addr().expect("an address").port().to_string();
    let mut ttg = ttg(&[role]);
    ttg.env("REDIS_HOST", "127.0.0.1").env("REDIS_PORT", &port);
    let ended = run(ttg.env("BROKER_PATIENCE_SECONDS", "1"));
    assert_eq!(ended.status.code(), Some(69), "{ended}");
    let wanted = format!("error: redis at 127.0.0.1:{port}, database 0 does not answer: ");
    assert!(ended.stderr.contains(&wanted), "{ended}");
    if role == "worker" {
        assert_eq!(ended.summary()["status"], "failed");
    }
}

#[rstest]
#[case::coordinator("coordinator", "redis")]
#[case::aggregate("aggregate", "rabbitmq")]
#[case::worker("worker", "redis")]
fn a_broker_whose_name_is_not_known_yet_is_waited_for(#[case] role: &str, #[case] backend: &str) {
    // No name under `.invalid` is known to anybody (RFC 2606).
    let mut ttg = ttg(&[role]);
    ttg.env("QUEUE_BACKEND", backend).env("BROKER_PATIENCE_SECONDS", "5");
    for variable in ["REDIS_HOST", "RABBITMQ_HOST"] {
        ttg.env(variable, "ttg-broker.invalid");
    }
    let began = Instant::now();
    let ended = run(&mut ttg);
    assert_eq!(ended.status.code(), Some(69), "{ended}");
    // Without being asked to, whoever is no worker waits for three seconds at most.
    assert!(began.elapsed() > Duration::from_secs(3), "gave up after {:?}", began.elapsed());
}

#[test]
fn a_worker_finds_its_number_at_the_end_of_a_name() {
    let mut worker = ttg(&["worker"]);
    worker.env_remove("USE_QUEUE").envs([("SIMULATE_WORK_MS", "0"), ("TOTAL_PARAMETERS", "30")]);
    let ended = run(worker.env("WORKER_NAME", "ttg-worker-2"));
    assert_eq!(ended.summary()["worker_id"], "worker-2", "{ended}");
    let ended = run(worker.env("WORKER_ID", "1"));
    assert_eq!(ended.summary()["worker_id"], "worker-1", "{ended}");
    let ended = run(worker.env_remove("WORKER_ID").env("WORKER_NAME", "ttg-worker"));
    assert_eq!(ended.status.code(), Some(64), "{ended}");
    assert!(ended.stderr.contains("not a name with -NUMBER at its end"), "{ended}");
}

#[tokio::test]
async fn another_sweep_is_1_and_a_reset_makes_room() {
    let bench = Bench::start(Embedded);
    assert!(run(&mut on(&bench, &["coordinator"])).status.success());
    let refused = run(on(&bench, &["coordinator"]).env("TOTAL_PARAMS", "50"));
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.stderr.contains("or discard it with --reset"), "{refused}");
    let reset = run(on(&bench, &["coordinator", "--reset"]).env("TOTAL_PARAMS", "50"));
    assert_eq!(reset.summary()["total_chunks"], 1, "{reset}");
}

#[tokio::test]
async fn an_incomplete_sweep_is_1() {
    let (bench, _) = Bench::start(Embedded).with_sweep(2).await;
    let report = run(&mut on(&bench, &["aggregate", "--timeout", "0.1"]));
    assert_eq!(report.status.code(), Some(1), "{report}");
    assert!(report.stdout.starts_with("Sweep results: INCOMPLETE\n"), "{report}");
    let report = run(&mut on(&bench, &["aggregate", "--now"]));
    assert_eq!(report.status.code(), Some(1), "{report}");
}

#[tokio::test]
async fn an_aggregator_that_is_asked_to_stop_reports_what_there_is() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(2).await;
    let client = redis::Client::open(bench.redis().url()).expect("a URL");
    let mut connection = client.get_connection().expect("connects");
    let aggregator = Process::start(&mut on(&bench, &["aggregate"]));
    until("the aggregator waits for results", async || {
        let clients: String =
            redis::cmd("CLIENT").arg("LIST").query(&mut connection).expect("clients");
        clients.contains("cmd=xread")
    })
    .await;
    aggregator.signal(Signal::TERM);
    let report = aggregator.end();
    assert_eq!(report.status.code(), Some(143), "{report}");
    assert!(report.stdout.starts_with("Sweep results: INCOMPLETE\n"), "{report}");
}

#[rstest]
#[case::terminated(Signal::TERM, 143)]
#[case::interrupted(Signal::INT, 130)]
#[tokio::test]
async fn a_signal_in_mid_chunk_gives_the_chunk_back(
    #[values(Embedded, Redis)] backend: Backend,
    #[case] signal: Signal,
    #[case] code: i32,
) {
    let (bench, sweep) = Bench::start(backend).with_sweep(3).await;
    let worker = Process::start(
        on(&bench, &["worker"])
            .env("WORKER_ID", "1")
            .env("SIMULATE_WORK_MS", "60000")
            .env("STOP_GRACE_SECONDS", "0.1"),
    );
    let onlooker = bench.onlooker().await;
    until("the worker has a chunk", async || !onlooker.held().await.expect("reads").is_empty())
        .await;
    let begun = Instant::now();
    worker.signal(signal);
    let ended = worker.end();
    assert_eq!(ended.status.code(), Some(code), "{ended}");
    assert_eq!(ended.summary()["status"], "interrupted");
    assert_eq!(ended.summary()["chunks_processed"], 0);
    assert!(begun.elapsed() < Duration::from_secs(2));
    let other = run(on(&bench, &["worker"]).env("WORKER_ID", "2"));
    assert_eq!(other.summary()["chunks_processed"], 3, "{other}");
    bench.assert_exact(&sweep).await;
}

/// Leaves a file to say that it has begun, and takes its time.
const SLOW: &str = "
import json, sys, time
for line in sys.stdin:
    open(sys.argv[1], 'w').close()
    time.sleep(0.3)
    print(json.dumps({'values': [1.0] * 10}), flush=True)
";

#[rstest]
#[tokio::test]
async fn a_signal_lets_a_chunk_finish_within_the_grace(
    #[values(Embedded, Redis)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(3).await;
    let directory = tempfile::tempdir().expect("a directory");
    let begun = directory.path().join("begun");
    let worker = Process::start(
        on(&bench, &["worker", "--kernel", "exec", "--", "python3", "-c", SLOW])
            .arg(&begun)
            .env("STOP_GRACE_SECONDS", "20"),
    );
    until("the kernel has begun", async || begun.exists()).await;
    worker.signal(Signal::TERM);
    let ended = worker.end();
    assert_eq!(ended.status.code(), Some(143), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 1, "{ended}");
    assert_eq!(bench.onlooker().await.held().await.expect("reads"), []);
}

#[tokio::test]
async fn a_worker_without_a_sweep_leaves_after_the_idle_timeout() {
    let bench = Bench::start(Embedded);
    // A file, and nothing in it.
    drop(bench.onlooker().await);
    let ended = run(on(&bench, &["worker"]).env("IDLE_TIMEOUT_SECONDS", "0.2"));
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(ended.summary()["status"], "idle");
}

#[rstest]
#[case::own(&[("WORKER_ID", "4")], "worker-4")]
#[case::kubernetes(&[("JOB_COMPLETION_INDEX", "5")], "worker-5")]
#[case::both(&[("WORKER_ID", "4"), ("JOB_COMPLETION_INDEX", "5")], "worker-4")]
#[case::neither(&[], "worker-0")]
#[tokio::test]
async fn a_worker_is_named_after_its_number(
    #[case] environment: &[(&str, &str)],
    #[case] name: &str,
) {
    let (bench, _) = Bench::start(Embedded).with_sweep(1).await;
    let ended = run(on(&bench, &["worker"]).envs(environment.iter().copied()));
    assert_eq!(ended.summary()["worker_id"], name, "{ended}");
}

#[rstest]
#[tokio::test]
async fn worker_0_submits_the_sweep_where_it_is_asked_to(
    #[values(Embedded, Redis)] backend: Backend,
) {
    let bench = Bench::start(backend);
    let start = |number: &str| {
        Process::start(
            on(&bench, &["worker", "--coordinate"])
                .env("WORKER_ID", number)
                .env("TOTAL_PARAMS", "500")
                .env("CHUNK_SIZE", "10"),
        )
    };
    let workers = ["1", "0"].map(start);
    let ended = workers.map(Process::end);
    let counts = ended.each_ref().map(|ended| {
        assert_eq!(ended.status.code(), Some(0), "{ended}");
        ended.summary()["chunks_processed"].as_u64().expect("a number")
    });
    assert_eq!(counts.iter().sum::<u64>(), 50);
    let sweep = ttg_system::chunk::Sweep { start: 0, params: 500, chunk_size: 10 };
    bench.assert_exact(&sweep).await;
}

#[test]
fn static_workers_print_their_share_and_the_summary_last() {
    let mut next = 0;
    for number in 0..3 {
        let ended = run(ttg(&["worker"])
            .env("USE_QUEUE", "false")
            .env("WORKER_ID", number.to_string())
            .env("TOTAL_PARAMETERS", "1000")
            .env("SIMULATE_WORK_MS", "0"));
        assert_eq!(ended.status.code(), Some(0), "{ended}");
        let lines: Vec<serde_json::Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (last, batches) = lines.split_last().expect("a summary");
        assert_eq!(last["status"], "completed");
        assert_eq!((&last["mode"], &last["range_start"]), (&"static".into(), &next.into()));
        assert_eq!(last["aggregates"]["count"], last["params_processed"]);
        for batch in batches {
            assert_eq!(batch["start_param"], next);
            next = batch["end_param"].as_u64().expect("a number");
        }
        assert_eq!(last["range_end"], next);
    }
    assert_eq!(next, 1000);
}

const PYTHON: &str = "
import json, sys
for line in sys.stdin:
    chunk = json.loads(line)
    values = [(7 * k + 13) % 1000 + float('0.%d' % (k % 100))
              for k in range(chunk['start_param'], chunk['end_param'])]
    print(json.dumps({'values': values}), flush=True)
";

#[rstest]
#[tokio::test]
async fn a_program_in_another_language_is_a_kernel(#[values(Embedded, Redis)] backend: Backend) {
    let (bench, sweep) = Bench::start(backend).with_sweep(5).await;
    let mut command = on(&bench, &["worker", "--kernel", "exec", "--", "python3", "-c", PYTHON]);
    let ended = run(&mut command);
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 5);
    let result = bench.report().await.result.expect("values");
    assert!((result.sum - whole(&sweep).sum).abs() < 1e-6);
    assert_eq!(result.count, 50);
}

#[rstest]
#[tokio::test]
async fn a_kernel_that_fails_makes_dead_letters(#[values(Embedded, Redis)] backend: Backend) {
    let (bench, _) = Bench::start(backend).with_sweep(2).await;
    let program =
        "import sys\nfor line in sys.stdin: sys.stderr.write('out of cheese\\n'); sys.exit(3)";
    let command = serde_json::to_string(&["python3", "-c", program]).expect("text");
    let ended = run(on(&bench, &["worker", "--kernel", "exec"]).env("KERNEL_COMMAND", command));
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    assert_eq!(ended.summary()["chunks_processed"], 0);
    let onlooker = bench.onlooker().await;
    let letters = onlooker.dead_letters(&mut Cursor::default(), 10).await.expect("reads");
    assert_eq!(letters.len(), 2);
    for letter in letters {
        assert_eq!(letter.retry_count, 3);
        assert!(letter.last_error.contains("exit status: 3"), "{}", letter.last_error);
        assert!(letter.last_error.contains("out of cheese"), "{}", letter.last_error);
    }
    let report = run(&mut on(&bench, &["aggregate"]));
    assert_eq!(report.status.code(), Some(1), "{report}");
    assert!(
        report.stdout.contains("Dead letters, by reason\n         2  the kernel ended"),
        "{report}"
    );
    assert!(report.stdout.contains("ttg dead-letters list shows each"), "{report}");
    let report = run(&mut on(&bench, &["aggregate", "--json"])).summary();
    assert_eq!(report["dead_letter_reasons"][0]["letters"], 2, "{report}");
}

#[tokio::test]
async fn what_a_stranger_wrote_is_told_without_what_a_terminal_obeys() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(2).await;
    let result = r#"{"sum":1,"count":10,"min":0,"max":0,"avg":0.1}"#;
    let name = "\u{1b}]0;title\u{7}\u{1b}[31mred";
    bench.redis().command(&[
        "XADD",
        "ttg:results",
        "*",
        "chunk_id",
        "00001",
        "worker_id",
        name,
        "status",
        "completed",
        "result_data",
        result,
    ]);
    for arguments in [&["aggregate", "--now"][..], &["aggregate", "--now", "--verbose"]] {
        let report = run(&mut on(&bench, arguments));
        assert!(report.stdout.contains("]0;title  [31mred"), "{report}");
        let is_obeyed = |c: char| c.is_control() && c != '\n';
        assert!(!report.stdout.contains(is_obeyed), "{report}");
        assert!(!report.stderr.contains(is_obeyed), "{report}");
    }
}

#[rstest]
#[tokio::test]
async fn simulated_faults_are_retried_until_the_sweep_is_complete(
    #[values(Embedded, Redis)] backend: Backend,
) {
    let (mut bench, sweep) = Bench::start(backend).with_sweep(40).await;
    bench.settings.max_retries = 30;
    let workers = ["1", "2"].map(|number| {
        Process::start(
            on(&bench, &["worker", "--seed", "7"])
                .env("SIMULATE_FAULT_RATE", "0.4")
                .env("WORKER_ID", number),
        )
    });
    let ended = workers.map(Process::end);
    for ended in &ended {
        assert_eq!(ended.status.code(), Some(0), "{ended}");
        assert_eq!(ended.summary()["status"], "completed");
    }
    let failed = |ended: &Ended| ended.stderr.contains("an attempt failed");
    assert!(ended.iter().any(failed), "somebody's attempt failed");
    bench.assert_exact(&sweep).await;
}

#[tokio::test]
async fn logs_go_to_standard_error_as_json_where_that_is_asked_for() {
    let (bench, _) = Bench::start(Embedded).with_sweep(1).await;
    let ended = run(on(&bench, &["worker"])
        .env("LOG_FORMAT", "json")
        .env("SIMULATE_FAULT_RATE", "1")
        .env("MAX_RETRIES", "0"));
    assert!(!ended.stderr.is_empty());
    for line in ended.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["message"], "an attempt failed");
    }
    assert_eq!(ended.stdout.lines().count(), 1, "{ended}");
}

#[tokio::test]
async fn variables_of_the_existing_system_are_honoured_or_said_to_be_ignored() {
    let (bench, _) = Bench::start(Embedded).with_sweep(1).await;
    let ended = run(on(&bench, &["worker"]).envs([
        ("LOG_LEVEL", "VERBOSE"),
        ("LOG_INCLUDE_TIMESTAMP", "false"),
        ("SAVE_OUTPUT", "true"),
        ("IDLE_TIMEOUT_SECONDS", "0"),
        ("STOP_GRACE_SECONDS", "0"),
        ("STALE_CHECK_INTERVAL_SECONDS", "0"),
        ("POD_NAME", "ttg-worker-3"),
        ("NODE_NAME", "a-node"),
    ]));
    assert_eq!(ended.status.code(), Some(0), "{ended}");
    let lines: Vec<&str> = ended.stderr.lines().map(str::trim).collect();
    assert_eq!(lines[0], "INFO LOG_LEVEL is \"VERBOSE\", which is no level, and INFO holds");
    assert!(lines[1].starts_with("INFO SAVE_OUTPUT is set, and ignored: "), "{ended}");
    let summary = ended.summary();
    assert_eq!(
        (&summary["pod_name"], &summary["node_name"]),
        (&"ttg-worker-3".into(), &"a-node".into())
    );
    assert_eq!(summary["chunks_processed"], 1);
}
