use std::path::Path;
use std::time::Duration;

use super::{BASE, accepted, changed, read};
use crate::plan::{Backend, Coverage, Environment, FaultKind, Kernel, Recompute, Target, Trigger};
use crate::scenario::{Overrides, list, load};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");

#[test]
fn every_shipped_scenario_loads_and_lists() {
    let listed = list(Path::new(SHIPPED)).unwrap();
    let lines: Vec<String> = listed
        .iter()
        .map(|one| {
            format!(
                "{}: {} {}/{}/{} on {}; {}",
                one.name,
                one.backend,
                one.params,
                one.chunk_size,
                one.work,
                one.workers,
                one.faults
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    embedded-aggregator-restart: embedded 1000/10/20 ms on 3; pause all for 1.5s at 30%, restart aggregator at 60%
    embedded-chaos: embedded 1500/10/10 ms on 3; chaos of 5 faults for 5s at 5%
    embedded-coordinator-restart: embedded 1000/10/20 ms on 3; restart coordinator at 30%
    embedded-dead-letters: embedded 400/10/python3 -c … on 3; 
    embedded-fault: embedded 1000/10/20 ms on 3; kill busy at 30%
    embedded-poison: embedded 300/10/100 ms on 3; poison chunk 17 from the start
    embedded-replay: embedded 400/10/python3 -c … on 3; 
    embedded-retry: embedded 1000/10/2 ms on 3; 
    embedded-rolling-kills: embedded 1000/10/10 ms on 3; restart worker 0 at 20%, restart worker 1 at 45%, restart worker 2 at 70%
    embedded-terminate: embedded 1000/10/20 ms on 3; terminate busy at 30%, terminate busy at 50%
    embedded-zombie: embedded 900/10/20 ms on 3; pause busy for 3s at 20%
    m1-static: static 10000/100/1 ms on 3; 
    m1-static-fault: static 10000/100/1 ms on 3; kill worker 1 at 30%
    m2-redis: redis 1000/10/100 ms on 3; 
    m2-redis-fault: redis 1000/10/100 ms on 3; kill busy at 30%
    m2-redis-full: redis 10000/100/1 ms on 3; 
    m2-redis-medium: redis 10000/100/10 ms on 3; 
    m3-rabbitmq: rabbitmq 1000/10/100 ms on 3; 
    m3-rabbitmq-fault: rabbitmq 1000/10/100 ms on 3; kill busy at 30%
    m3-rabbitmq-medium: rabbitmq 10000/100/10 ms on 3; 
    m3-redis: redis 1000/10/100 ms on 3; 
    m3-redis-fault: redis 1000/10/100 ms on 3; kill busy at 30%
    m3-redis-medium: redis 10000/100/10 ms on 3; 
    quickstart: embedded 1003/10/6 ms on 3; kill busy at 30%
    rabbitmq-broker-kill: rabbitmq 900/10/20 ms on 3; kill broker for 300ms at 20% every 4s
    rabbitmq-broker-restart: rabbitmq 900/10/10 ms on 3; restart broker at 40%
    rabbitmq-chaos: rabbitmq 1500/10/10 ms on 3; chaos of 8 faults for 5s at 5%
    rabbitmq-coordinator-kill: rabbitmq 8000/1/0.01 ms on 3; restart coordinator at 10% submitted
    rabbitmq-dead-letters: rabbitmq 400/10/python3 -c … on 3; 
    rabbitmq-foreign-chaos: rabbitmq 600/10/20 ms on 3; drop worker 0 for 1s at 20%, kill broker for 200ms at 50%
    rabbitmq-foreign-mixed: rabbitmq 900/10/10 ms on 3; kill worker 1 at 40%
    rabbitmq-foreign-system: rabbitmq 600/10/10 ms on 3; 
    rabbitmq-network: rabbitmq 1500/10/10 ms on 3; latency all for 500ms at 10%, bandwidth worker 0 for 500ms after late, and 7 more
    rabbitmq-poison: rabbitmq 300/10/100 ms on 3; poison chunk 17 from the start
    rabbitmq-replay: rabbitmq 400/10/python3 -c … on 3; 
    rabbitmq-retry: rabbitmq 1000/10/2 ms on 3; 
    rabbitmq-wipe: rabbitmq 900/10/10 ms on 3; wipe broker at 40%
    rabbitmq-zombie: rabbitmq 1200/10/20 ms on 3; pause busy for 6s at 20%
    redis-aggregator-kill: redis 900/10/10 ms on 3; restart aggregator at 50%
    redis-broker-kill: redis 900/10/10 ms on 3; kill broker for 300ms at 20% every 1s
    redis-broker-pause: redis 900/10/10 ms on 3; pause broker for 1s at 40%
    redis-broker-restart: redis 900/10/10 ms on 3; restart broker at 40%
    redis-chaos: redis 1500/10/10 ms on 3; chaos of 8 faults for 5s at 5%
    redis-coordinator-kill: redis 10000/1/0.01 ms on 3; restart coordinator at 20% submitted
    redis-dead-letters: redis 400/10/python3 -c … on 3; 
    redis-foreign: redis 600/10/10 ms on 3; 
    redis-foreign-mixed: redis 900/10/10 ms on 3; pause worker 0 for 300ms at 20%, kill worker 1 at 40%
    redis-foreign-system: redis 600/10/10 ms on 3; 
    redis-foreign-workers-alone: redis 600/10/10 ms on 3; terminate worker 0 at 40%
    redis-network: redis 1500/10/10 ms on 3; latency all for 500ms at 10%, bandwidth worker 0 for 500ms after late, and 7 more
    redis-partition: redis 900/10/20 ms on 3; partition busy for 3s at 20%
    redis-poison: redis 300/10/100 ms on 3; poison chunk 17 from the start
    redis-replay: redis 400/10/python3 -c … on 3; 
    redis-retry: redis 1000/10/2 ms on 3; 
    redis-rolling-kills: redis 1000/10/20 ms on 3; restart worker 0 at 20%, restart worker 1 at 45%, restart worker 2 at 70%
    redis-slow-chunks: redis 900/10/10 ms on 3; slow-chunks 10% from the start
    redis-wipe: redis 900/10/10 ms on 3; wipe broker at 40%
    redis-zombie: redis 900/10/20 ms on 3; pause busy for 3s at 20%
    ");
    for one in listed {
        assert!(one.description.ends_with('.'), "{} is a sentence", one.name);
        assert!(one.path.is_file());
    }
}

#[test]
fn a_zombie_wakes_up_while_its_sweep_still_runs() {
    for name in ["embedded-zombie", "redis-zombie"] {
        let path = Path::new(SHIPPED).join(name).with_extension("yaml");
        let plan = load(&path, &Overrides::default()).unwrap();
        let (Trigger::Progress(share), Some(hold)) = (&plan.faults[0].trigger, plan.faults[0].hold)
        else {
            panic!("{name} freezes a worker for a time at a share of the sweep");
        };
        let Some(work_ms) = plan.sweep.kernel.work_ms() else {
            panic!("{name} has a nominal duration");
        };
        let work_s = plan.sweep.params() as f64 * work_ms / 1e3;
        let left_s = work_s * (1.0 - share / 100.0);
        let rest_without_it_s = left_s / f64::from(plan.workers - 1);
        assert!(rest_without_it_s > hold.as_secs_f64() + 2.0);
        assert!(plan.env["STALE_THRESHOLD_MS"] == "1000" && hold > Duration::from_secs(2));
    }
}

#[test]
fn a_kernel_of_which_only_the_work_is_said_is_the_one_that_finds_most_out() {
    let with = |kernel: &str, more: &str| {
        let text = format!(
            "name: x\ndescription: A sweep.\nworkers: 3\nbackend: redis\n\
             sweep: {{ params: 1000, chunk_size: 10{kernel} }}\n{more}"
        );
        read(&text).unwrap().sweep.kernel
    };
    let foreign = "system: { command: [worker.py], workers: 1 }\n";
    assert_eq!(with(", kernel: { work_ms: 2 }", ""), Kernel::Distinct { work_ms: 2.0 });
    assert_eq!(
        with(", kernel: { distinct: { work_ms: 2 } }", ""),
        Kernel::Distinct { work_ms: 2.0 }
    );
    assert_eq!(with("", ""), Kernel::Distinct { work_ms: 0.0 });
    assert_eq!(with(", kernel: { work_ms: 2 }", foreign), Kernel::Reference { work_ms: 2.0 });
    assert_eq!(with("", foreign), Kernel::Reference { work_ms: 0.0 });
}

#[test]
fn how_much_is_computed_again_is_all_or_a_number_or_a_share() {
    let with = |recompute: &str| {
        let text = format!(
            "name: x\ndescription: A sweep.\nworkers: 3\n\
             sweep: {{ params: 1000, chunk_size: 10, kernel: {{ exec: {{ command: [f] }} }} }}\n\
             expect: {{ recompute: {recompute} }}\n"
        );
        read(&text).unwrap().expect.recompute.unwrap()
    };
    assert_eq!(with("all"), Recompute::All);
    assert_eq!(with("50"), Recompute::Chunks(50));
    assert_eq!(with("2.5%"), Recompute::Percent(2.5));
    assert_eq!((Recompute::Percent(2.5).of(100), Recompute::Chunks(50).of(7)), (3, 7));
}

#[test]
fn what_a_scenario_leaves_out_has_a_default() {
    let plan = read(
        "name: x\ndescription: A sweep.\nworkers: 3\n\
         sweep: { params: 1000, chunk_size: 10, kernel: { reference: { work_ms: 100 } } }\n",
    )
    .unwrap();
    assert_eq!(plan.backend, Backend::Embedded);
    assert_eq!(plan.environment, Environment::Process);
    assert_eq!(plan.expect.coverage, Coverage::ExactlyOnce);
    assert_eq!(plan.stall_after, Duration::from_secs(20 + 10));
    assert_eq!(plan.timeout, Duration::from_secs(60 + 4 * 34));
    assert!(!plan.stall_after_is_set && !plan.timeout_is_set);
    assert_eq!((plan.env.len(), plan.faults.len(), plan.defect), (0, 0, None));
}

#[test]
fn deadlines_leave_time_for_faults_leases_and_what_is_allowed() {
    let text = changed("kill: { worker: busy }", "pause: { worker: busy, for: 40s }")
        .replace("seed: 7", "system: { env: { STALE_THRESHOLD_MS: 2000 } }");
    let plan = read(&text).unwrap();
    assert_eq!(plan.stall_after, Duration::from_secs(20 + 10 + 40 + 3 * 2));
    assert_eq!(plan.timeout, Duration::from_secs(60 + 4 * 34 + 40 + 2));

    let one_left = accepted("kill: { worker: busy }", "kill: { worker: all }");
    assert_eq!(one_left.timeout, Duration::from_secs(60 + 4 * 100));
    let allowed = accepted("recovery_max: 1s", "duration_max: 1h");
    assert_eq!(allowed.timeout, Duration::from_secs(3600));
}

#[test]
fn a_deadline_that_the_scenario_sets_is_known_to_be_set() {
    let plan = accepted("seed: 7", "timeout: 10m\nstall_after: 30s");
    assert!(plan.stall_after_is_set && plan.timeout_is_set);
    assert_eq!(plan.timeout, Duration::from_secs(600));
}

#[test]
fn a_kernel_without_a_nominal_duration_gets_fixed_deadlines() {
    let plan = accepted(
        "kernel: { reference: { work_ms: 100 } }",
        r#"kernel: { exec: { command: ["python3", "kernel.py"] } }"#,
    );
    assert_eq!(plan.stall_after, Duration::from_secs(600));
    assert_eq!(plan.timeout, Duration::from_secs(3600));
}

#[test]
fn parameters_are_a_count_or_a_half_open_range() {
    let sweep = accepted("params: 1000", "params: 200..1205").sweep;
    assert_eq!((sweep.start, sweep.end, sweep.chunks()), (200, 1205, 101));
}

#[test]
fn times_have_units() {
    let time = |text: &str| {
        accepted("recovery_max: 1s", &format!("recovery_max: {text}"))
            .expect
            .recovery_max
            .map(|time| time.as_millis())
    };
    let all = ["500ms", "3s", "1.5s", "2m", "1h", "3 s"].map(time);
    let ms = [500, 3_000, 1_500, 120_000, 3_600_000, 3_000].map(Some);
    assert_eq!(all, ms);
}

#[test]
fn faults_have_triggers_kinds_targets_and_names() {
    let text = BASE.replace(
        "expect:",
        "  - after: first\n    pause: { worker: 1, for: 3s }\n  \
           - { at: 0.5%, restart: { role: coordinator } }\n  \
           - { at: 500ms, terminate: { worker: all } }\n  \
           - { after: pause-2, kill: { role: aggregator } }\nexpect:",
    );
    let plan = read(&text).unwrap();
    let faults: Vec<_> = plan
        .faults
        .iter()
        .map(|fault| (fault.name.as_str(), fault.kind, fault.target, fault.trigger.clone()))
        .collect();
    let after = |name: &str| Trigger::After(name.into());
    assert_eq!(
        faults,
        [
            ("first", FaultKind::Kill, Target::Busy, Trigger::Progress(30.0)),
            ("pause-2", FaultKind::Pause, Target::Worker(1), after("first")),
            ("restart-3", FaultKind::Restart, Target::Coordinator, Trigger::Progress(0.5)),
            (
                "terminate-4",
                FaultKind::Terminate,
                Target::All,
                Trigger::Time(Duration::from_millis(500))
            ),
            ("kill-5", FaultKind::Kill, Target::Aggregator, after("pause-2")),
        ]
    );
    assert_eq!(plan.faults[1].hold, Some(Duration::from_secs(3)));
}

#[test]
fn values_of_the_environment_are_taken_as_text() {
    let env =
        "system: { env: { A: 007, G: 1_000, B: 0.05, C: true, D: yes, E: \"2000\", F: \"\" } }";
    let env = accepted("seed: 7", env).env;
    let values: Vec<&str> = env.values().map(String::as_str).collect();
    assert_eq!(values, ["007", "0.05", "true", "yes", "2000", "", "1_000"]);
}

#[test]
fn an_expectation_that_can_just_be_met_is_accepted() {
    let plan = accepted("coverage: exactly-once", "duration_max: 34s\n  throughput_min: 29.4");
    assert_eq!(plan.expect.throughput_min, Some(29.4));
    let exact = accepted("coverage: exactly-once", "duration_max: 50s\n  throughput_min: 20");
    assert_eq!(exact.expect.throughput_min, Some(20.0));
}

#[test]
fn the_remainder_counts_towards_the_shortest_schedule() {
    let sweep = "params: 1000, chunk_size: 10";
    // Three full chunks, one each, and a chunk of one parameter on top.
    let text = changed(sweep, "params: 31, chunk_size: 10").replace("recovery_max", "duration_max");
    assert!(read(&text.replace("duration_max: 1s", "duration_max: 1100ms")).is_ok());
    insta::assert_snapshot!(read(&text).unwrap_err(), @"scenarios/x.yaml:13:17: duration_max is 1s, but the sweep takes at least 1.1s even if nothing goes wrong (allow more)");
}
