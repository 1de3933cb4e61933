//! Of each mistake that a scenario can make, the message.

use super::{BASE, changed, message, read, refused};

#[test]
fn an_unknown_key_is_refused_with_the_nearest_and_all_valid_ones() {
    insta::assert_snapshot!(refused("workers: 3", "worker: 3"), @r#"scenarios/x.yaml:5:1: unknown key "worker" in the scenario: did you mean workers? (valid: name, description, sweep, backend, environment, workers, workers_in, cluster, broker, seed, faults, system, afterwards, expect, stall_after, timeout)"#);
    insta::assert_snapshot!(refused("chunk_size", "chunksize"), @r#"scenarios/x.yaml:3:24: unknown key "chunksize" in sweep: did you mean chunk_size? (valid: params, chunk_size, kernel)"#);
    insta::assert_snapshot!(refused("reference:", "refrence:"), @r#"scenarios/x.yaml:3:50: unknown key "refrence" in kernel: did you mean reference? (valid: reference, exec)"#);
    insta::assert_snapshot!(refused("work_ms", "work"), @r#"scenarios/x.yaml:3:63: unknown key "work" in reference: did you mean work_ms? (valid: work_ms)"#);
    insta::assert_snapshot!(refused("    name: first", "    nam: first"), @r#"scenarios/x.yaml:9:5: unknown key "nam" in a fault: did you mean name? (valid: at, after, name, every, kill, terminate, pause, restart, slow, out-of-memory, wipe, disk-full, partition, latency, bandwidth, reset, drop, half-open, slice, poison, slow-chunks, chaos, cordon, drain)"#);
    insta::assert_snapshot!(refused("worker: busy", "workr: busy"), @r#"scenarios/x.yaml:10:13: unknown key "workr" in kill: did you mean worker? (valid: worker, role, for, by)"#);
    insta::assert_snapshot!(refused("recovery_max", "recovery"), @r#"scenarios/x.yaml:13:3: unknown key "recovery" in expect: did you mean recovery_max? (valid: coverage, dead_letters, retries_min, throughput_min, duration_max, efficiency_min, recovery_max, finish_max)"#);
    insta::assert_snapshot!(refused("seed: 7", "system: { environment: {} }"), @r#"scenarios/x.yaml:6:11: unknown key "environment" in system (valid: env, command, image, workers, coordinator, aggregator)"#);
    insta::assert_snapshot!(refused("seed: 7", "zzz: 7"), @r#"scenarios/x.yaml:6:1: unknown key "zzz" in the scenario (valid: name, description, sweep, backend, environment, workers, workers_in, cluster, broker, seed, faults, system, afterwards, expect, stall_after, timeout)"#);
    insta::assert_snapshot!(refused("    kill: { worker: busy }", "    kil: { worker: busy }"), @r#"scenarios/x.yaml:10:5: unknown key "kil" in a fault: did you mean kill? (valid: at, after, name, every, kill, terminate, pause, restart, slow, out-of-memory, wipe, disk-full, partition, latency, bandwidth, reset, drop, half-open, slice, poison, slow-chunks, chaos, cordon, drain)"#);
    insta::assert_snapshot!(refused("kernel: { reference: { work_ms: 100 } }", "kernel: { exec: { comand: [] } }"), @r#"scenarios/x.yaml:3:58: unknown key "comand" in exec: did you mean command? (valid: command)"#);
}

#[test]
fn a_missing_key_is_refused_with_an_example() {
    insta::assert_snapshot!(refused("name: x\n", ""), @"scenarios/x.yaml:1:1: the scenario has no name (write for example name: my-sweep)");
    insta::assert_snapshot!(refused("description: A sweep.\n", ""), @"scenarios/x.yaml:1:1: the scenario has no description (write for example description: What this shows, in one sentence.)");
    insta::assert_snapshot!(refused("sweep: { params: 1000, chunk_size: 10, kernel: { reference: { work_ms: 100 } } }\n", ""), @"scenarios/x.yaml:1:1: the scenario has no sweep (write for example sweep: { params: 1000, chunk_size: 10, kernel: { reference: { work_ms: 1 } } })");
    insta::assert_snapshot!(refused("workers: 3\n", ""), @"scenarios/x.yaml:1:1: the scenario has no workers (write for example workers: 3)");
    insta::assert_snapshot!(refused("params: 1000, ", ""), @"scenarios/x.yaml:3:8: sweep has no params (write for example params: 1000)");
    insta::assert_snapshot!(refused("chunk_size: 10, ", ""), @"scenarios/x.yaml:3:8: sweep has no chunk_size (write for example chunk_size: 10)");
    insta::assert_snapshot!(refused(", kernel: { reference: { work_ms: 100 } }", ""), @"scenarios/x.yaml:3:8: sweep has no kernel (write for example kernel: { reference: { work_ms: 1 } })");
    insta::assert_snapshot!(refused("kernel: { reference: { work_ms: 100 } }", "kernel: {}"), @"scenarios/x.yaml:3:48: kernel has no reference or exec (write for example kernel: { reference: { work_ms: 1 } })");
    insta::assert_snapshot!(refused("work_ms: 100", ""), @"scenarios/x.yaml:3:61: reference has no work_ms (write for example work_ms: 1)");
    insta::assert_snapshot!(refused("kernel: { reference: { work_ms: 100 } }", "kernel: { exec: {} }"), @r#"scenarios/x.yaml:3:56: exec has no command (write for example command: ["python3", "kernel.py"])"#);
}

#[test]
fn a_key_without_a_value_is_refused() {
    insta::assert_snapshot!(refused("workers: 3", "workers:"), @r#"scenarios/x.yaml:5:1: "workers" has no value (give one, or leave the key out)"#);
    insta::assert_snapshot!(refused("recovery_max: 1s", "recovery_max: ~"), @r#"scenarios/x.yaml:13:3: "recovery_max" has no value (give one, or leave the key out)"#);
}

#[test]
fn a_value_of_another_type_is_refused() {
    insta::assert_snapshot!(refused("workers: 3", "workers: three"), @r#"scenarios/x.yaml:5:10: workers is "three", but must be a whole number, not negative (write for example workers: 3)"#);
    insta::assert_snapshot!(refused("workers: 3", "workers: 2.5"), @"scenarios/x.yaml:5:10: workers is 2.5, but must be a whole number, not negative (write for example workers: 3)");
    insta::assert_snapshot!(refused("workers: 3", "workers: -3"), @"scenarios/x.yaml:5:10: workers is -3, but must be a whole number, not negative (write for example workers: 3)");
    insta::assert_snapshot!(refused("workers: 3", "workers: yes"), @r#"scenarios/x.yaml:5:10: workers is "yes", but must be a whole number, not negative (write for example workers: 3)"#);
    insta::assert_snapshot!(refused("workers: 3", "workers: [3]"), @"scenarios/x.yaml:5:10: workers is a list, but must be a whole number, not negative (write for example workers: 3)");
    insta::assert_snapshot!(refused("name: x", "name: 12"), @"scenarios/x.yaml:1:7: name is 12, but must be text (write for example name: my-sweep)");
    insta::assert_snapshot!(refused("name: x", "name: true"), @"scenarios/x.yaml:1:7: name is true, but must be text (write for example name: my-sweep)");
    insta::assert_snapshot!(refused("description: A sweep.", "description: { a: b }"), @"scenarios/x.yaml:2:14: description is a mapping, but must be text (write for example description: What this shows, in one sentence.)");
    insta::assert_snapshot!(refused("description: A sweep.", r#"description: """#), @r#"scenarios/x.yaml:2:14: description is "", but must be some text (write for example description: What this shows, in one sentence.)"#);
    insta::assert_snapshot!(refused("seed: 7", "seed: -1"), @"scenarios/x.yaml:6:7: seed is -1, but must be a whole number, not negative (write for example seed: 7)");
    insta::assert_snapshot!(refused("seed: 7", "seed: 99999999999999999999"), @"scenarios/x.yaml:6:7: seed is 1e20, but must be a whole number below 2^64 (write for example seed: 7)");
    insta::assert_snapshot!(refused("seed: 7", "seed: random"), @r#"scenarios/x.yaml:6:7: seed is "random", but must be a whole number, not negative (write for example seed: 7)"#);
    insta::assert_snapshot!(refused("sweep: { params: 1000, chunk_size: 10, kernel: { reference: { work_ms: 100 } } }", "sweep: 1000"), @"scenarios/x.yaml:3:8: sweep is 1000, but must be a mapping with the keys params, chunk_size and kernel");
    insta::assert_snapshot!(refused("kernel: { reference: { work_ms: 100 } }", "kernel: reference"), @r#"scenarios/x.yaml:3:48: kernel is "reference", but must be a mapping with the keys reference and exec"#);
    insta::assert_snapshot!(refused("work_ms: 100", "work_ms: 100ms"), @r#"scenarios/x.yaml:3:72: work_ms is "100ms", but must be a number (write for example work_ms: 1)"#);
    insta::assert_snapshot!(refused("coverage: exactly-once", "coverage: 1"), @"scenarios/x.yaml:12:13: coverage is 1, but must be exactly-once, lost-with-worker or lost-with-broker");
    insta::assert_snapshot!(refused("recovery_max: 1s", "recovery_max: 1"), @"scenarios/x.yaml:13:17: recovery_max is 1, but must be a time in ms, s, m or h (write for example recovery_max: 1s)");
    insta::assert_snapshot!(refused("recovery_max: 1s", "recovery_max: 1 second"), @r#"scenarios/x.yaml:13:17: recovery_max is "1 second", but must be a time in ms, s, m or h (write for example recovery_max: 1s)"#);
    insta::assert_snapshot!(refused("recovery_max: 1s", "recovery_max: 0s"), @"scenarios/x.yaml:13:17: recovery_max is 0s, but 1ms to 720h are possible");
    insta::assert_snapshot!(refused("recovery_max: 1s", "recovery_max: -1s"), @r#"scenarios/x.yaml:13:17: recovery_max is "-1s", but must be a time in ms, s, m or h (write for example recovery_max: 1s)"#);
    insta::assert_snapshot!(refused("recovery_max: 1s", "recovery_max: 2000h"), @"scenarios/x.yaml:13:17: recovery_max is 2000h, but 1ms to 720h are possible");
    insta::assert_snapshot!(refused("seed: 7", "stall_after: 1e3s"), @r#"scenarios/x.yaml:6:14: stall_after is "1e3s", but must be a time in ms, s, m or h (write for example stall_after: 30s)"#);
}

#[test]
fn the_name_is_the_files_name() {
    insta::assert_snapshot!(refused("name: x", "name: y"), @r#"scenarios/x.yaml:1:7: name is "y", but the file is called x (give both the same name)"#);
    insta::assert_snapshot!(refused("name: x", "name: X Y"), @r#"scenarios/x.yaml:1:7: name is "X Y", but must be at most 64 lower-case letters, digits and `-` (write for example name: my-sweep)"#);
}

#[test]
fn counts_have_bounds() {
    insta::assert_snapshot!(refused("workers: 3", "workers: 0"), @"scenarios/x.yaml:5:10: workers is 0, but at least 1 is needed (write for example workers: 3)");
    insta::assert_snapshot!(refused("workers: 3", "workers: 1001"), @"scenarios/x.yaml:5:10: workers is 1001, but at most 1000 are possible");
    insta::assert_snapshot!(refused("chunk_size: 10", "chunk_size: 0"), @"scenarios/x.yaml:3:36: chunk_size is 0, but at least 1 is needed (write for example chunk_size: 10)");
    insta::assert_snapshot!(refused("params: 1000", "params: 0"), @"scenarios/x.yaml:3:18: params is 0, but at least 1 is needed (write for example params: 1000)");
    insta::assert_snapshot!(refused("params: 1000", "params: 20000000000"), @"scenarios/x.yaml:3:43: chunk_size is 10, which makes 2000000000 chunks, but at most 10000000 are possible (write at least chunk_size: 2000)");
    insta::assert_snapshot!(refused("params: 1000", "params: 9007199254740993"), @"scenarios/x.yaml:3:18: params is 9007199254740993, but at most 9007199254740992 are possible");
}

#[test]
fn a_range_holds_something() {
    insta::assert_snapshot!(refused("params: 1000", "params: 200..100"), @"scenarios/x.yaml:3:18: params is 200..100, which holds nothing: the end is not included and must be above the start (write for example params: 200..1200)");
    insta::assert_snapshot!(refused("params: 1000", "params: 200..200"), @"scenarios/x.yaml:3:18: params is 200..200, which holds nothing: the end is not included and must be above the start (write for example params: 200..1200)");
    insta::assert_snapshot!(refused("params: 1000", "params: 5.."), @r#"scenarios/x.yaml:3:18: params is "5..", but must be a count or a half-open range (write for example params: 1000 or params: 200..1200)"#);
    insta::assert_snapshot!(refused("params: 1000", "params: ten"), @r#"scenarios/x.yaml:3:18: params is "ten", but must be a count or a half-open range (write for example params: 1000 or params: 200..1200)"#);
    insta::assert_snapshot!(refused("params: 1000", "params: 0..99007199254740993"), @"scenarios/x.yaml:3:18: params ends at 99007199254740993, but at most 9007199254740992 is possible");
}

#[test]
fn the_work_of_a_kernel_is_a_finite_amount() {
    insta::assert_snapshot!(refused("work_ms: 100", "work_ms: -1"), @"scenarios/x.yaml:3:72: work_ms is -1, but must be a finite number, not negative (write for example work_ms: 1)");
    insta::assert_snapshot!(refused("work_ms: 100", "work_ms: .nan"), @"scenarios/x.yaml:3:72: work_ms is NaN, but must be a finite number, not negative (write for example work_ms: 1)");
    insta::assert_snapshot!(refused("work_ms: 100", "work_ms: .inf"), @"scenarios/x.yaml:3:72: work_ms is inf, but must be a finite number, not negative (write for example work_ms: 1)");
    insta::assert_snapshot!(refused("work_ms: 100", "work_ms: 1e300"), @"scenarios/x.yaml:3:72: work_ms is 1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000, but at most 3600000 (an hour per parameter) is possible");
}

#[test]
fn a_kernel_is_one_thing() {
    insta::assert_snapshot!(refused("reference: { work_ms: 100 }", "reference: { work_ms: 100 }, exec: { command: [a] }"), @"scenarios/x.yaml:3:79: kernel has reference and exec, but must have exactly one of reference or exec (remove one)");
    insta::assert_snapshot!(refused("kernel: { reference: { work_ms: 100 } }", "kernel: { exec: { command: [] } }"), @r#"scenarios/x.yaml:3:67: command names no program (write for example command: ["python3", "kernel.py"])"#);
    insta::assert_snapshot!(refused("kernel: { reference: { work_ms: 100 } }", r#"kernel: { exec: { command: [""] } }"#), @r#"scenarios/x.yaml:3:67: command names no program (write for example command: ["python3", "kernel.py"])"#);
    insta::assert_snapshot!(refused("kernel: { reference: { work_ms: 100 } }", "kernel: { exec: { command: python3 kernel.py } }"), @r#"scenarios/x.yaml:3:67: command is "python3 kernel.py", but must be a list (write for example command: ["python3", "kernel.py"])"#);
    insta::assert_snapshot!(refused("kernel: { reference: { work_ms: 100 } }", "kernel: { exec: { command: [sleep, 3] } }"), @"scenarios/x.yaml:3:75: an argument of command is 3, but must be text (put it in quotes)");
}

#[test]
fn a_backend_or_an_environment_that_does_not_exist_is_refused() {
    insta::assert_snapshot!(refused("backend: redis", "backend: redsi"), @r#"scenarios/x.yaml:4:10: backend is "redsi", which does not exist: did you mean redis? (valid: embedded, redis, rabbitmq, static)"#);
    insta::assert_snapshot!(refused("backend: redis", "backend: kafka"), @r#"scenarios/x.yaml:4:10: backend is "kafka", which does not exist (valid: embedded, redis, rabbitmq, static)"#);
    insta::assert_snapshot!(refused("seed: 7", "environment: proces"), @r#"scenarios/x.yaml:6:14: environment is "proces", which does not exist: did you mean process? (valid: process, container, external, kubernetes)"#);
}

#[test]
fn a_share_of_the_sweep_is_above_0_and_at_most_100_percent() {
    insta::assert_snapshot!(refused("at: 30%", "at: 0%"), @"scenarios/x.yaml:8:9: at is 0%, but a share of the sweep is above 0% and at most 100% (write for example at: 30%)");
    insta::assert_snapshot!(refused("at: 30%", "at: 101%"), @"scenarios/x.yaml:8:9: at is 101%, but a share of the sweep is above 0% and at most 100% (write for example at: 30%)");
    insta::assert_snapshot!(refused("at: 30%", "at: -5%"), @"scenarios/x.yaml:8:9: at is -5%, but a share of the sweep is above 0% and at most 100% (write for example at: 30%)");
    insta::assert_snapshot!(refused("at: 30%", r#"at: "%""#), @r#"scenarios/x.yaml:8:9: at is "%", but must be a share of the sweep or a time after the first task (write for example at: 30% or at: 3s)"#);
    insta::assert_snapshot!(refused("at: 30%", "at: 30"), @"scenarios/x.yaml:8:9: at is 30, but must be a share of the sweep or a time after the first task (write for example at: 30% or at: 3s)");
    insta::assert_snapshot!(refused("at: 30%", "at: soon"), @r#"scenarios/x.yaml:8:9: at is "soon", but must be a share of the sweep or a time after the first task (write for example at: 30% or at: 3s)"#);
    insta::assert_snapshot!(refused("at: 30%", "at: 0s"), @r#"scenarios/x.yaml:8:9: at is "0s", but must be a share of the sweep or a time after the first task (write for example at: 30% or at: 3s)"#);
    insta::assert_snapshot!(refused("at: 30%", "at: .nan%"), @r#"scenarios/x.yaml:8:9: at is ".nan%", but must be a share of the sweep or a time after the first task (write for example at: 30% or at: 3s)"#);
}

#[test]
fn a_fault_has_one_trigger_and_one_kind() {
    insta::assert_snapshot!(refused("at: 30%", "at: 30%\n    after: first"), @"scenarios/x.yaml:9:5: a fault has at and after, but must have exactly one of at or after (remove one)");
    insta::assert_snapshot!(refused("  - at: 30%\n    name: first", "  - name: first"), @"scenarios/x.yaml:8:5: a fault has no at or after (write for example at: 30%)");
    insta::assert_snapshot!(refused("    kill: { worker: busy }", "    kill: { worker: busy }\n    pause: { worker: 1, for: 3s }"), @"scenarios/x.yaml:11:5: a fault has kill and pause, but must have exactly one of kill, terminate, pause, restart, slow, out-of-memory, wipe, disk-full, partition, latency, bandwidth, reset, drop, half-open, slice, poison, slow-chunks, chaos, cordon or drain (remove one)");
    insta::assert_snapshot!(refused("    kill: { worker: busy }\n", ""), @"scenarios/x.yaml:8:5: a fault has no kill, terminate, pause, restart, slow, out-of-memory, wipe, disk-full, partition, latency, bandwidth, reset, drop, half-open, slice, poison, slow-chunks, chaos, cordon or drain (write for example kill: { worker: busy })");
    insta::assert_snapshot!(refused("worker: busy", "worker: busy, role: aggregator"), @"scenarios/x.yaml:10:27: kill has worker and role, but must have exactly one of worker or role (remove one)");
    insta::assert_snapshot!(refused("worker: busy", ""), @"scenarios/x.yaml:10:11: kill has no worker or role (write for example kill: { worker: busy })");
    insta::assert_snapshot!(refused("kill: { worker: busy }", "kill: busy"), @r#"scenarios/x.yaml:10:11: kill is "busy", but must be a mapping with the keys worker, role, for and by"#);
    insta::assert_snapshot!(refused("faults:\n  - at: 30%", "faults:\n    at: 30%"), @"scenarios/x.yaml:8:5: faults is a mapping, but must be a list (write for example faults: [{ at: 30%, kill: { worker: busy } }])");
}

#[test]
fn a_fault_strikes_who_exists() {
    insta::assert_snapshot!(refused("worker: busy", "worker: 5"), @"scenarios/x.yaml:10:21: worker is 5, but of 3 workers the numbers are 0 to 2");
    insta::assert_snapshot!(refused("worker: busy", "worker: -1"), @"scenarios/x.yaml:10:21: worker is -1, but of 3 workers the numbers are 0 to 2");
    insta::assert_snapshot!(refused("worker: busy", "worker: bussy"), @r#"scenarios/x.yaml:10:21: worker is "bussy", but must be a number (0 to 2), random, busy or all (did you mean busy?)"#);
    insta::assert_snapshot!(refused("worker: busy", "worker: [1, 2]"), @"scenarios/x.yaml:10:21: worker is a list, but must be a number (0 to 2), random, busy or all");
    insta::assert_snapshot!(refused("worker: busy", "role: coordinater"), @r#"scenarios/x.yaml:10:19: role is "coordinater", which does not exist: did you mean coordinator? (valid: coordinator, aggregator, broker)"#);
    insta::assert_snapshot!(refused("worker: busy", "role: worker"), @r#"scenarios/x.yaml:10:19: role is "worker", which does not exist: did you mean broker? (valid: coordinator, aggregator, broker)"#);
    let struck = |fault: &str| {
        BASE.replace("kill: { worker: busy }", fault).replace("  recovery_max: 1s\n", "")
    };
    assert!(read(&struck("kill: { role: broker }")).is_ok(), "it comes back");
    insta::assert_snapshot!(message(&struck("terminate: { role: broker }")), @r#"scenarios/x.yaml:10:24: role is "broker", but terminate strikes worker, coordinator or aggregator (strike that instead, or choose another fault)"#);
    insta::assert_snapshot!(message(&struck("restart: { role: broker }").replace("backend: redis", "backend: embedded")), @r#"scenarios/x.yaml:10:22: role is "broker", but the embedded broker is a file, which no process serves (choose backend redis or rabbitmq)"#);
}

#[test]
fn of_one_worker_the_only_number_is_0() {
    insta::assert_snapshot!(message(&changed("worker: busy", "worker: 1").replace("workers: 3", "workers: 1")), @"scenarios/x.yaml:10:21: worker is 1, but the only worker is 0");
}

#[test]
fn a_pause_has_a_duration_and_who_stays_dead_has_none() {
    insta::assert_snapshot!(refused("kill: { worker: busy }", "pause: { worker: busy }"), @"scenarios/x.yaml:10:12: pause has no for (write for example pause: { worker: busy, for: 3s })");
    insta::assert_snapshot!(refused("kill: { worker: busy }", "kill: { worker: busy, for: 3s }"), @"scenarios/x.yaml:10:32: for has no meaning for a process that stays dead (write restart instead)");
    insta::assert_snapshot!(refused("kill: { worker: busy }", "pause: { worker: busy, for: long }"), @r#"scenarios/x.yaml:10:33: for is "long", but must be a time in ms, s, m or h (write for example for: 3s)"#);
}

#[test]
fn a_fault_after_another_has_a_beginning() {
    insta::assert_snapshot!(refused("    kill: { worker: busy }", "    kill: { worker: busy }\n  - after: frist\n    kill: { worker: 1 }"), @r#"scenarios/x.yaml:11:12: after is "frist", but no fault has that name: did you mean first? (valid: first, kill-2)"#);
    insta::assert_snapshot!(refused("at: 30%", "after: first"), @"scenarios/x.yaml:8:12: after goes round in a circle (first after first), so it would never strike (give it an `at` instead)");
    insta::assert_snapshot!(message(&changed("at: 30%", "after: third").replace("expect:", "  - { name: second, after: first, kill: { worker: 1 } }\n  - { name: third, after: second, kill: { worker: 2 } }\nexpect:")), @"scenarios/x.yaml:8:12: after goes round in a circle (first after third after second after first), so it would never strike (give it an `at` instead)");
    insta::assert_snapshot!(refused("    kill: { worker: busy }", "    kill: { worker: busy }\n  - { name: a, after: b, kill: { worker: 1 } }\n  - { name: b, after: b, kill: { worker: 2 } }"), @"scenarios/x.yaml:12:23: after goes round in a circle (b after b), so it would never strike (give it an `at` instead)");
}

#[test]
fn every_fault_has_a_name_of_its_own() {
    insta::assert_snapshot!(refused("    kill: { worker: busy }", "    kill: { worker: busy }\n  - at: 40%\n    name: first\n    kill: { worker: 1 }"), @"scenarios/x.yaml:12:11: a second fault is called first (give each a name of its own)");
    insta::assert_snapshot!(message(&changed("name: first", "name: kill-2").replace("expect:", "  - at: 40%\n    kill: { worker: 1 }\nexpect:")), @"scenarios/x.yaml:11:5: a second fault is called kill-2 (give each a name of its own)");
    insta::assert_snapshot!(refused("name: first", "name: The first"), @r#"scenarios/x.yaml:9:11: name is "The first", but must be at most 64 lower-case letters, digits and `-` (write for example name: first)"#);
}

#[test]
fn without_a_broker_there_is_no_coordinator_and_no_aggregator() {
    insta::assert_snapshot!(message(&changed("worker: busy", "role: coordinator").replace("backend: redis", "backend: static")), @r#"scenarios/x.yaml:10:19: role is "coordinator", but backend static has no coordinator, no aggregator and no broker (strike a worker instead, or choose another backend)"#);
}

#[test]
fn an_expectation_that_can_never_be_met_is_refused() {
    insta::assert_snapshot!(refused("coverage: exactly-once", "duration_max: 30s"), @"scenarios/x.yaml:12:17: duration_max is 30s, but the sweep takes at least 34s even if nothing goes wrong (allow more)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "throughput_min: 30"), @"scenarios/x.yaml:12:19: throughput_min is 30, but at best the sweep does 29.4 parameters per second (ask for less)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "throughput_min: 25\n  duration_max: 50s"), @"scenarios/x.yaml:12:19: throughput_min is 25, but duration_max allows 20.0 parameters per second (ask for less, or write duration_max: 40s)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "throughput_min: 0"), @"scenarios/x.yaml:12:19: throughput_min is 0, which is always true (ask for more, or remove it)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "efficiency_min: 1.5"), @"scenarios/x.yaml:12:19: efficiency_min is 1.5, but must be above 0 and at most 1 (write for example efficiency_min: 0.95)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "dead_letters: 101"), @"scenarios/x.yaml:12:17: dead_letters is 101, but the sweep has only 100 chunks (expect fewer)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "dead_letters: some"), @r#"scenarios/x.yaml:12:17: dead_letters is "some", but must be a whole number, not negative (write for example dead_letters: 1)"#);
    insta::assert_snapshot!(message(&changed("coverage: exactly-once\n  recovery_max: 1s", "dead_letters: 1").replace("backend: redis", "backend: static")), @"scenarios/x.yaml:12:17: dead_letters is 1, but backend static has no dead letters (remove it, or choose another backend)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "efficiency_min: 0"), @"scenarios/x.yaml:12:19: efficiency_min is 0, but must be above 0 and at most 1 (write for example efficiency_min: 0.95)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "efficiency_min: -0.5"), @"scenarios/x.yaml:12:19: efficiency_min is -0.5, but must be a finite number, not negative (write for example efficiency_min: 0.95)");
    insta::assert_snapshot!(refused("coverage: exactly-once", "coverage: exactly"), @r#"scenarios/x.yaml:12:13: coverage is "exactly", which does not exist: did you mean exactly-once? (valid: exactly-once, lost-with-worker, lost-with-broker)"#);
    insta::assert_snapshot!(refused("coverage: exactly-once", "coverage: lost-with-worker"), @"scenarios/x.yaml:12:13: coverage is lost-with-worker, but backend redis loses nothing (write exactly-once, or backend: static)");
}

#[test]
fn a_replay_needs_a_broker_and_says_what_is_put_right() {
    let with = |afterwards: &str| BASE.replace("expect:", &format!("{afterwards}\nexpect:"));
    insta::assert_snapshot!(message(&with("afterwards: replay")), @r#"scenarios/x.yaml:11:13: afterwards is "replay", but must be a mapping with the keys replay"#);
    insta::assert_snapshot!(message(&with("afterwards: { drop: {} }")), @r#"scenarios/x.yaml:11:15: unknown key "drop" in afterwards (valid: replay)"#);
    insta::assert_snapshot!(message(&with("afterwards: { replay: {} }")), @"scenarios/x.yaml:11:23: replay has no env (write for example afterwards: { replay: { env: { LICENCE: mine } } })");
    insta::assert_snapshot!(message(&with("afterwards: { replay: { env: { WORKER_ID: 3 } } }")), @"scenarios/x.yaml:11:32: the variable WORKER_ID follows from the scenario (remove it, and change workers instead)");
    let fixed =
        with("afterwards: { replay: { env: {} } }").replace("backend: redis", "backend: static");
    insta::assert_snapshot!(message(&fixed.replace("  recovery_max: 1s\n", "")), @"scenarios/x.yaml:11:13: afterwards replays dead letters, which backend static has none of (remove it, or choose another backend)");
}

#[test]
fn efficiency_needs_work() {
    insta::assert_snapshot!(message(&changed("coverage: exactly-once", "efficiency_min: 0.9").replace("work_ms: 100", "work_ms: 0")), @"scenarios/x.yaml:12:19: efficiency_min has nothing to compare with where work_ms is 0 (give the kernel some work, or remove it)");
}

#[test]
fn recovery_needs_a_fault_that_leaves_chunks_to_others() {
    insta::assert_snapshot!(refused("kill: { worker: busy }", "terminate: { worker: busy }"), @"scenarios/x.yaml:13:17: recovery_max cannot be judged, because no fault kills, pauses or restarts a worker (add one, or remove it)");
    insta::assert_snapshot!(refused("kill: { worker: busy }", "kill: { role: coordinator }"), @"scenarios/x.yaml:13:17: recovery_max cannot be judged, because no fault kills, pauses or restarts a worker (add one, or remove it)");
    insta::assert_snapshot!(message(&BASE.replace("backend: redis", "backend: static")), @"scenarios/x.yaml:13:17: recovery_max cannot be judged with backend static, where nobody takes over (remove it, or choose another backend)");
}

#[test]
fn a_loss_is_expected_only_of_a_worker_that_a_fault_ends() {
    insta::assert_snapshot!(message(&changed("coverage: exactly-once\n  recovery_max: 1s", "coverage: lost-with-worker").replace("backend: redis", "backend: static").replace("kill: { worker: busy }", "pause: { worker: busy, for: 1s }")), @"scenarios/x.yaml:12:13: coverage is lost-with-worker, but no fault kills or terminates a worker (write exactly-once, or add such a fault)");
}

#[test]
fn a_deadline_leaves_time_for_what_must_happen() {
    insta::assert_snapshot!(refused("seed: 7", "stall_after: 1s"), @"scenarios/x.yaml:6:14: stall_after is 1s, but one chunk alone takes 1s (allow more)");
    insta::assert_snapshot!(refused("seed: 7", "timeout: 20s"), @"scenarios/x.yaml:6:10: timeout is 20s, but the sweep alone takes 34s (allow more)");
    insta::assert_snapshot!(message(&changed("seed: 7", "timeout: 40s").replace(": exactly-once", ": exactly-once\n  duration_max: 50s")), @"scenarios/x.yaml:6:10: timeout is 40s, but duration_max allows 50s (allow more)");
    insta::assert_snapshot!(message(&changed("seed: 7", "timeout: 40s").replace("at: 30%", "at: 41s")), @"scenarios/x.yaml:6:10: timeout is 40s, but a fault strikes at 41s (allow more)");
}

#[test]
fn an_environment_variable_has_a_safe_name_and_a_text() {
    insta::assert_snapshot!(refused("seed: 7", "system: { env: { stale_ms: 1 } }"), @r#"scenarios/x.yaml:6:18: the variable "stale_ms" in env must be capital letters, digits and `_`, not first a digit (write for example STALE_THRESHOLD_MS)"#);
    insta::assert_snapshot!(refused("seed: 7", "system: { env: { 9A: 1 } }"), @r#"scenarios/x.yaml:6:18: the variable "9A" in env must be capital letters, digits and `_`, not first a digit (write for example STALE_THRESHOLD_MS)"#);
    insta::assert_snapshot!(refused("seed: 7", r#"system: { env: { "A=B": 1 } }"#), @r#"scenarios/x.yaml:6:18: the variable "A=B" in env must be capital letters, digits and `_`, not first a digit (write for example STALE_THRESHOLD_MS)"#);
    insta::assert_snapshot!(refused("seed: 7", r#"system: { env: { "": 1 } }"#), @r#"scenarios/x.yaml:6:18: the variable "" in env must be capital letters, digits and `_`, not first a digit (write for example STALE_THRESHOLD_MS)"#);
    insta::assert_snapshot!(refused("seed: 7", "system: { env: { WORKER_ID: 1 } }"), @"scenarios/x.yaml:6:18: the variable WORKER_ID follows from the scenario (remove it, and change workers instead)");
    insta::assert_snapshot!(refused("seed: 7", "system: { env: { A: [1] } }"), @"scenarios/x.yaml:6:21: A is a list, but must be text (put it in quotes)");
    insta::assert_snapshot!(refused("seed: 7", "system: { env: { A: } }"), @r#"scenarios/x.yaml:6:18: "A" has no value (give one, or leave the key out)"#);
    insta::assert_snapshot!(refused("seed: 7", r#"system: { env: { A: "\0" } }"#), @r#"scenarios/x.yaml:6:21: A is "\0", but must be text (put it in quotes)"#);
    insta::assert_snapshot!(refused("seed: 7", "system: { env: [A=1] }"), @"scenarios/x.yaml:6:16: env is a list, but must be a mapping of names and values");
}
