//! Of each mistake that a fault, a program of others or a broker's setup can be written with, the
//! message.

use super::{BASE, message, read};
use crate::fault::{Entry, Lasts, Role, Site, entries};
use crate::plan::{Backend, Environment, FaultKind, WorkersIn};

/// The message about a scenario with this fault alone.
fn refused(fault: &str) -> String {
    message(&with(&format!("{{ at: 30%, {fault} }}")))
}

fn with(fault: &str) -> String {
    BASE.replace(
        "  - at: 30%\n    name: first\n    kill: { worker: busy }",
        &format!("  - {fault}"),
    )
    .replace("  recovery_max: 1s\n", "")
}

/// The message about a scenario in which more is said.
fn refused_with(words: &str) -> String {
    message(&BASE.replace("seed: 7", words))
}

/// A fault against this role, with whatever it needs.
fn written(entry: &Entry, role: Role) -> String {
    let whom = match role {
        Role::Worker => "worker: 0, ".to_owned(),
        Role::Sweep => String::new(),
        Role::Node => "node: busy, ".to_owned(),
        _ => format!("role: {}, ", role.name()),
    };
    let value = |word: &&str| match *word {
        "share" => "share: 10%, ".to_owned(),
        "delay" => "delay: 20ms, ".to_owned(),
        "mix" => "mix: [{ restart: { worker: all } }], ".to_owned(),
        word => format!("{word}: 7, "),
    };
    let needs: String = entry.needs.iter().map(value).collect();
    let hold = if entry.lasts == Lasts::Must { "for: 1s" } else { "" };
    let from_the_start = matches!(entry.kind, FaultKind::Poison | FaultKind::SlowChunks);
    let at = if from_the_start { "" } else { "at: 30%, " };
    format!("{{ {at}{}: {{ {whom}{needs}{hold} }} }}", entry.name)
}

fn at(site: Site, fault: &str) -> String {
    let workers = if site.workers_in == WorkersIn::Container { "container" } else { "process" };
    let parts = [
        (site.foreign, "command: [w], image: w"),
        (site.no_coordinator, "coordinator: none"),
        (site.no_aggregator, "aggregator: none"),
    ];
    let parts: Vec<&str> = parts.iter().filter(|(is, _)| *is).map(|(_, words)| *words).collect();
    let system = match &*parts.join(", ") {
        "" => String::new(),
        parts => format!("system: {{ {parts} }}\n"),
    };
    let place = format!("environment: {}\nworkers_in: {workers}\n{system}", site.environment);
    with(fault)
        .replace("backend: redis", &format!("backend: {}", site.backend))
        .replace("seed: 7\n", &place)
}

/// Places that exist.
fn sites() -> Vec<Site> {
    let mut sites = Vec::new();
    for backend in Backend::ALL {
        for environment in Environment::ALL {
            for workers_in in [WorkersIn::Process, WorkersIn::Container] {
                let served = matches!(backend, Backend::Redis | Backend::RabbitMq);
                let on_cluster = environment == Environment::Kubernetes;
                let there = served
                    || environment == Environment::Process
                    || (on_cluster && backend == Backend::Static);
                let possible = match environment {
                    Environment::Container => true,
                    Environment::Kubernetes => workers_in == WorkersIn::Container,
                    _ => workers_in == WorkersIn::Process,
                };
                if there && possible {
                    let site = |foreign, is_absent| Site {
                        backend,
                        environment,
                        workers_in,
                        foreign,
                        no_coordinator: is_absent,
                        no_aggregator: is_absent,
                    };
                    sites.extend([site(false, false), site(true, false)]);
                    // Static mode has neither to begin with.
                    sites.extend((backend != Backend::Static).then(|| site(false, true)));
                }
            }
        }
    }
    sites
}

#[test]
fn a_fault_is_refused_exactly_where_its_own_file_says_so_and_with_its_reason() {
    let (mut accepted, mut refused) = (0, 0);
    for site in sites() {
        for entry in entries() {
            for role in entry.on {
                let text = at(site, &written(entry, *role));
                let reason = site.lacks(*role).or_else(|| (entry.refuse)(&site, *role));
                match (read(&text), reason) {
                    (Ok(_), None) => accepted += 1,
                    (Err(error), Some(reason)) => {
                        let said = error.to_string();
                        assert!(said.ends_with(reason), "{said}\n{reason}\n{text}");
                        assert!(said.starts_with("scenarios/x.yaml:"), "{said}");
                        assert!(reason.ends_with(')'), "{reason:?} says not what to do");
                        refused += 1;
                    }
                    (read, reason) => panic!("{read:?}, but {reason:?}:\n{text}"),
                }
            }
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn whom_a_fault_does_not_strike_is_refused_with_whom_it_does() {
    let of_processes = |on: &[Role]| on != [Role::Sweep] && on != [Role::Node];
    for entry in entries().filter(|entry| of_processes(entry.on)) {
        let roles = [Role::Worker, Role::Coordinator, Role::Aggregator, Role::Broker];
        for role in roles.into_iter().filter(|role| !entry.on.contains(role)) {
            let said = message(&with(&written(entry, role)));
            assert!(said.contains(&format!("but {} strikes ", entry.name)), "{said}");
        }
    }
    insta::assert_snapshot!(refused("wipe: { worker: busy }"), @r#"scenarios/x.yaml:8:32: worker is "busy", but wipe strikes broker (strike that instead, or choose another fault)"#);
    insta::assert_snapshot!(refused("latency: { role: broker, delay: 1s, for: 1s }"), @r#"scenarios/x.yaml:8:33: role is "broker", but latency strikes worker, coordinator or aggregator (strike that instead, or choose another fault)"#);
    insta::assert_snapshot!(refused("terminate: { role: broker }"), @r#"scenarios/x.yaml:8:35: role is "broker", but terminate strikes worker, coordinator or aggregator (strike that instead, or choose another fault)"#);
    insta::assert_snapshot!(refused("poison: { worker: 1 }"), @"scenarios/x.yaml:8:11: at has no meaning for poison, which is there from the beginning (remove it)");
}

#[test]
fn what_a_fault_must_be_told_is_named_with_an_example() {
    insta::assert_snapshot!(refused("slow: { worker: 0, for: 1s }"), @"scenarios/x.yaml:8:22: slow has no share (write for example slow: { share: 10% })");
    insta::assert_snapshot!(refused("slow: { worker: 0, share: 10% }"), @"scenarios/x.yaml:8:22: slow has no for (write for example slow: { worker: busy, for: 3s })");
    insta::assert_snapshot!(refused("latency: { worker: 0, for: 1s }"), @"scenarios/x.yaml:8:25: latency has no delay (write for example latency: { delay: 50ms })");
    insta::assert_snapshot!(refused("bandwidth: { worker: 0, for: 1s }"), @"scenarios/x.yaml:8:27: bandwidth has no bytes (write for example bandwidth: { bytes: 1000 })");
    insta::assert_snapshot!(refused("slice: { worker: 0, for: 1s }"), @"scenarios/x.yaml:8:23: slice has no bytes (write for example slice: { bytes: 1000 })");
    insta::assert_snapshot!(refused("pause: { role: broker }"), @"scenarios/x.yaml:8:23: pause has no for (write for example pause: { worker: busy, for: 3s })");
    insta::assert_snapshot!(refused("chaos: { for: 1s }"), @"scenarios/x.yaml:8:23: chaos has no mix (write for example chaos: { mix: [{ weight: 3, restart: { worker: random } }] })");
    insta::assert_snapshot!(refused("chaos: { mix: [{ reset: { worker: all } }] }"), @"scenarios/x.yaml:8:23: chaos has no for (write for example for: 20s)");
    insta::assert_snapshot!(message(&with("poison: {}")), @"scenarios/x.yaml:8:13: poison has no chunk (write for example poison: { chunk: 17 })");
}

#[test]
fn settings_have_bounds() {
    insta::assert_snapshot!(refused("slow: { worker: 0, share: 0%, for: 1s }"), @r#"scenarios/x.yaml:8:42: share is "0%", but must be above 0% and below 100% (write for example share: 10%)"#);
    insta::assert_snapshot!(refused("slow: { worker: 0, share: 101%, for: 1s }"), @r#"scenarios/x.yaml:8:42: share is "101%", but must be above 0% and below 100% (write for example share: 10%)"#);
    insta::assert_snapshot!(refused("slow: { worker: 0, share: 0.5, for: 1s }"), @"scenarios/x.yaml:8:42: share is 0.5, but must be a share (write for example share: 10%)");
    insta::assert_snapshot!(refused("bandwidth: { worker: 0, bytes: 0, for: 1s }"), @"scenarios/x.yaml:8:47: bytes is 0, but at least 1 is needed (write for example bytes: 1000)");
    insta::assert_snapshot!(refused("bandwidth: { worker: 0, bytes: 2000000000000, for: 1s }"), @"scenarios/x.yaml:8:47: bytes is 2000000000000, but at most 100000000 are possible");
    insta::assert_snapshot!(refused("bandwidth: { worker: 0, bytes: 1kB, for: 1s }"), @r#"scenarios/x.yaml:8:47: bytes is "1kB", but must be a whole number, not negative (write for example bytes: 1000)"#);
    insta::assert_snapshot!(refused("latency: { worker: 0, delay: 0ms, for: 1s }"), @"scenarios/x.yaml:8:45: delay is 0ms, but 1ms to 720h are possible");
    insta::assert_snapshot!(refused("latency: { worker: 0, delay: 9, for: 1s }"), @"scenarios/x.yaml:8:45: delay is 9, but must be a time in ms, s, m or h (write for example delay: 50ms)");
    insta::assert_snapshot!(refused("partition: { worker: 0, direction: to, for: 1s }"), @r#"scenarios/x.yaml:8:51: direction is "to", which does not exist (valid: to-broker, from-broker, both)"#);
    insta::assert_snapshot!(refused("kill: { worker: 0, delay: 1s }"), @r#"scenarios/x.yaml:8:35: unknown key "delay" in kill (valid: worker, role, for, by)"#);
    insta::assert_snapshot!(message(&with("slow-chunks: { share: 10%, factor: 0.5 }")), @"scenarios/x.yaml:8:40: factor is 0.5, but only above 1 a chunk takes longer (write for example factor: 10)");
    insta::assert_snapshot!(message(&with("slow-chunks: { share: 10%, factor: 1001 }")), @"scenarios/x.yaml:8:40: factor is 1001, but at most 1000 are possible");
    insta::assert_snapshot!(message(&with("poison: { chunk: 100 }")), @"scenarios/x.yaml:8:22: chunk is 100, but the chunks are numbered 0 to 99");
    insta::assert_snapshot!(message(&with("poison: { chunk: -1 }")), @"scenarios/x.yaml:8:22: chunk is -1, but must be a whole number, not negative (write for example chunk: 17)");
    insta::assert_snapshot!(message(&with("poison: { chunk: 7 }").replace("work_ms: 100", "work_ms: 1")), @"scenarios/x.yaml:8:22: chunk names a chunk that is computed in 10ms, before anybody sees who has it (give it at least 20ms of work)");
}

#[test]
fn a_fault_of_the_sweep_has_no_moment_and_strikes_again_by_itself() {
    insta::assert_snapshot!(refused("poison: { chunk: 7 }"), @"scenarios/x.yaml:8:11: at has no meaning for poison, which is there from the beginning (remove it)");
    insta::assert_snapshot!(message(&with("{ after: first, slow-chunks: { share: 10% } }")), @"scenarios/x.yaml:8:14: after has no meaning for slow-chunks, which is there from the beginning (remove it)");
    insta::assert_snapshot!(message(&with("{ every: 1s, poison: { chunk: 7 } }")), @"scenarios/x.yaml:8:14: every has no meaning for poison, which strikes more than once by itself (remove it)");
    insta::assert_snapshot!(refused("every: 1s, chaos: { for: 1s, mix: [{ reset: { worker: all } }] }"), @"scenarios/x.yaml:8:23: every has no meaning for chaos, which strikes more than once by itself (remove it)");
    insta::assert_snapshot!(refused("every: 0s, reset: { worker: all }"), @"scenarios/x.yaml:8:23: every is 0s, but 1ms to 720h are possible");
    insta::assert_snapshot!(refused("every: often, reset: { worker: all }"), @r#"scenarios/x.yaml:8:23: every is "often", but must be a time in ms, s, m or h (write for example every: 2s)"#);
}

#[test]
fn workers_that_are_not_replaced_are_not_struck_again_and_again() {
    insta::assert_snapshot!(refused("every: 1s, kill: { worker: busy }"), @"scenarios/x.yaml:8:23: every lets kill strike until no worker is left (write restart, which replaces them)");
    insta::assert_snapshot!(refused("every: 1s, terminate: { worker: all }"), @"scenarios/x.yaml:8:23: every lets terminate strike until no worker is left (write restart, which replaces them)");
    read(&with("{ at: 30%, every: 1s, kill: { role: broker } }")).expect("a broker comes back");
}

#[test]
fn a_share_that_is_submitted_leaves_something_to_submit() {
    let at =
        |at: &str| message(&with(&format!("{{ at: {at}, restart: {{ role: coordinator }} }}")));
    insta::assert_snapshot!(at("100% submitted"), @"scenarios/x.yaml:8:11: at is 100% submitted, but a share that leaves something to submit is above 0% and below 100% (write for example at: 30% submitted)");
    insta::assert_snapshot!(at("0% submitted"), @"scenarios/x.yaml:8:11: at is 0% submitted, but a share that leaves something to submit is above 0% and below 100% (write for example at: 30% submitted)");
    insta::assert_snapshot!(at("30 submitted"), @r#"scenarios/x.yaml:8:11: at is "30 submitted", but must be a share of the sweep or a time after the first task (write for example at: 30% or at: 3s)"#);
}

#[test]
fn what_chaos_draws_from_replaces_what_it_kills() {
    let mix = |mix: &str| refused(&format!("chaos: {{ for: 1s, mix: {mix} }}"));
    insta::assert_snapshot!(mix("[]"), @"scenarios/x.yaml:8:39: mix is empty (write for example mix: [{ weight: 3, restart: { worker: random } }])");
    insta::assert_snapshot!(mix("[{ weight: 3 }]"), @"scenarios/x.yaml:8:40: a fault of the mix has no kill, terminate, pause, restart, slow, out-of-memory, wipe, disk-full, partition, latency, bandwidth, reset, drop, half-open or slice (write for example restart: { worker: random })");
    insta::assert_snapshot!(mix("[{ weight: 0, reset: { worker: all } }]"), @"scenarios/x.yaml:8:50: weight is 0, but at least 1 is needed (write for example weight: 3)");
    insta::assert_snapshot!(mix("[{ weight: 1001, reset: { worker: all } }]"), @"scenarios/x.yaml:8:50: weight is 1001, but at most 1000 are possible");
    insta::assert_snapshot!(mix("[{ kill: { worker: busy } }]"), @"scenarios/x.yaml:8:48: kill would leave fewer workers each time it is drawn (write restart, which replaces them)");
    insta::assert_snapshot!(mix("[{ terminate: { worker: busy } }]"), @"scenarios/x.yaml:8:53: terminate would leave fewer workers each time it is drawn (write restart, which replaces them)");
    insta::assert_snapshot!(mix("[{ at: 10%, reset: { worker: all } }]"), @r#"scenarios/x.yaml:8:42: unknown key "at" in a fault of the mix (valid: weight, kill, terminate, pause, restart, slow, out-of-memory, wipe, disk-full, partition, latency, bandwidth, reset, drop, half-open, slice)"#);
    insta::assert_snapshot!(mix("[{ poison: { chunk: 7 } }]"), @r#"scenarios/x.yaml:8:42: unknown key "poison" in a fault of the mix (valid: weight, kill, terminate, pause, restart, slow, out-of-memory, wipe, disk-full, partition, latency, bandwidth, reset, drop, half-open, slice)"#);
    insta::assert_snapshot!(mix("[{ pause: { worker: all } }]"), @"scenarios/x.yaml:8:49: pause has no for (write for example pause: { worker: busy, for: 3s })");
    assert!(
        read(&with("{ at: 1%, chaos: { for: 1s, mix: [{ kill: { role: broker } }] } }")).is_ok()
    );
}

#[test]
fn a_place_that_does_not_fit_is_refused() {
    insta::assert_snapshot!(refused_with("workers_in: container"), @"scenarios/x.yaml:6:13: workers_in is container, but the environment is process (write environment: container)");
    insta::assert_snapshot!(refused_with("environment: external\nworkers_in: container"), @"scenarios/x.yaml:7:13: workers_in is container, but the environment is external (write environment: container)");
    insta::assert_snapshot!(refused_with("workers_in: cloud"), @r#"scenarios/x.yaml:6:13: workers_in is "cloud", which does not exist (valid: process, container)"#);
    let embedded = BASE.replace("backend: redis", "backend: embedded");
    insta::assert_snapshot!(message(&embedded.replace("seed: 7", "environment: container")), @"scenarios/x.yaml:6:14: environment is container, but backend embedded has no server that could run there (write process, or choose another backend)");
    insta::assert_snapshot!(message(&embedded.replace("seed: 7", "environment: external")), @"scenarios/x.yaml:6:14: environment is external, but backend embedded has no server that could run there (write process, or choose another backend)");
}

#[test]
fn a_broker_is_set_up_with_what_it_knows() {
    insta::assert_snapshot!(refused_with("broker: { image: --privileged }"), @r#"scenarios/x.yaml:6:18: image is "--privileged", which is no name of an image (write for example image: redis:7.2-alpine)"#);
    insta::assert_snapshot!(refused_with("broker: { image: \"redis 7\" }"), @r#"scenarios/x.yaml:6:18: image is "redis 7", which is no name of an image (write for example image: redis:7.2-alpine)"#);
    insta::assert_snapshot!(refused_with("broker: { appendfsync: sometimes }"), @r#"scenarios/x.yaml:6:24: appendfsync is "sometimes", which does not exist (valid: always, everysec, no)"#);
    insta::assert_snapshot!(refused_with("broker: { maxmemory: 1 }"), @r#"scenarios/x.yaml:6:11: unknown key "maxmemory" in broker (valid: image, appendfsync, storage, storage_class)"#);
    let rabbitmq = BASE.replace("backend: redis", "backend: rabbitmq");
    insta::assert_snapshot!(message(&rabbitmq.replace("seed: 7", "broker: { appendfsync: always }")), @"scenarios/x.yaml:6:24: appendfsync is a setting of Redis alone (remove it)");
}

#[test]
fn a_program_of_others_is_named_and_has_no_more_workers_than_there_are() {
    insta::assert_snapshot!(refused_with("system: { workers: 1 }"), @"scenarios/x.yaml:6:20: workers is said of a program in place of our worker, and there is none (add command, or remove it)");
    insta::assert_snapshot!(refused_with("system: { image: w }"), @"scenarios/x.yaml:6:18: image is said of a program in place of our worker, and there is none (add command, or remove it)");
    insta::assert_snapshot!(refused_with("system: { command: [] }"), @r#"scenarios/x.yaml:6:20: command names no program (write for example command: ["python3", "worker.py"])"#);
    insta::assert_snapshot!(refused_with("system: { command: python3 worker.py }"), @r#"scenarios/x.yaml:6:20: command is "python3 worker.py", but must be a list (write for example command: ["python3", "worker.py"])"#);
    insta::assert_snapshot!(refused_with("system: { command: [w], workers: 4 }"), @"scenarios/x.yaml:6:34: workers is 4, but at most 3 are possible");
    insta::assert_snapshot!(refused_with("system: { command: [w], workers: 0 }"), @"scenarios/x.yaml:6:34: workers is 0, but at least 1 is needed (write for example workers: 1)");
    insta::assert_snapshot!(refused_with("system: { command: [w], image: \"-v\" }"), @r#"scenarios/x.yaml:6:32: image is "-v", which is no name of an image (write for example image: redis:7.2-alpine)"#);
}

#[test]
fn an_expectation_of_a_fault_needs_that_fault() {
    let expects = |line: &str| message(&BASE.replace("coverage: exactly-once", line));
    insta::assert_snapshot!(expects("coverage: lost-with-broker"), @"scenarios/x.yaml:12:13: coverage is lost-with-broker, but no fault wipes the broker (write exactly-once, or add wipe: { role: broker })");
    let none = with("{ at: 30%, kill: { worker: busy } }")
        .replace("  - { at: 30%, kill: { worker: busy } }\n", "    []\n");
    insta::assert_snapshot!(message(&none.replace("coverage: exactly-once", "finish_max: 3s")), @"scenarios/x.yaml:10:15: finish_max counts from the end of the last fault, and there is none (add one, or write duration_max)");
}

#[test]
fn what_belongs_to_a_cluster_is_refused_elsewhere_and_what_does_not_on_one() {
    let on_cluster = |words: &str| refused_with(&format!("environment: kubernetes\n{words}"));
    insta::assert_snapshot!(refused_with("cluster: { context: aks }"), @"scenarios/x.yaml:6:10: cluster is said of environment kubernetes, but the environment is process (write environment: kubernetes, or --environment kubernetes)");
    insta::assert_snapshot!(refused_with("broker: { storage: ephemeral }"), @"scenarios/x.yaml:6:20: storage is a setting of environment kubernetes alone (remove it)");
    insta::assert_snapshot!(on_cluster("cluster: { namespace: My_Team }"), @r#"scenarios/x.yaml:7:23: namespace is "My_Team", but a namespace has small letters, digits and `-`, 63 at most (write for example namespace: my-team)"#);
    insta::assert_snapshot!(on_cluster("workers_in: process"), @"scenarios/x.yaml:7:13: workers_in is process, but in environment kubernetes workers are Pods (remove it)");
    insta::assert_snapshot!(on_cluster("broker: { storage: ephemeral, storage_class: fast }"), @"scenarios/x.yaml:7:46: storage_class is said of a volume, but storage is ephemeral (remove one of them)");
    let embedded = BASE.replace("backend: redis", "backend: embedded");
    insta::assert_snapshot!(message(&embedded.replace("seed: 7", "environment: kubernetes")), @"scenarios/x.yaml:6:14: environment is kubernetes, but the embedded broker is a file, which Pods on several nodes do not share (choose backend redis, rabbitmq or static)");
    insta::assert_snapshot!(refused("kill: { worker: busy, by: delete }"), @"scenarios/x.yaml:8:42: by is delete, but only a Pod is deleted (choose environment kubernetes)");
    let on_broker = with("{ at: 30%, kill: { role: broker, by: delete } }");
    insta::assert_snapshot!(message(&on_broker.replace("seed: 7", "environment: kubernetes")), @"scenarios/x.yaml:8:42: by is delete, but only a worker's Pod is (write by: signal)");
}

#[test]
fn who_plays_a_role_must_be_a_program_or_none_and_nobody_cannot_be_struck() {
    let said = |words| refused_with(&format!("system: {{ {words} }}"));
    insta::assert_snapshot!(said("coordinator: absent"), @r#"scenarios/x.yaml:6:24: coordinator is "absent", but must be a program in place of ours, or none (write for example coordinator: { command: ["python3", "coordinator.py"] }, or coordinator: none)"#);
    insta::assert_snapshot!(said("coordinator: 7"), @"scenarios/x.yaml:6:24: coordinator is 7, but must be a mapping with the keys command and image");
    insta::assert_snapshot!(said("aggregator: { image: sum }"), @r#"scenarios/x.yaml:6:23: aggregator has no command (write for example aggregator: { command: ["python3", "aggregator.py"] }, or aggregator: none)"#);
    insta::assert_snapshot!(said("aggregator: { command: [] }"), @r#"scenarios/x.yaml:6:34: command names no program (write for example aggregator: { command: ["python3", "aggregator.py"] }, or aggregator: none)"#);
    let hosted =
        "environment: container\nworkers_in: container\nsystem: { aggregator: { command: [sum] } }";
    insta::assert_snapshot!(refused_with(hosted), @"scenarios/x.yaml:8:23: aggregator is to run in a container, and no image holds it (add image: my-aggregator:latest)");
    let without = |fault: &str, role: &str| {
        let text = with(&format!("{{ {fault} }}"));
        message(&text.replace("seed: 7", &format!("system: {{ {role}: none }}")))
    };
    insta::assert_snapshot!(without("at: 30%, kill: { role: coordinator }", "coordinator"), @r#"scenarios/x.yaml:8:30: role is "coordinator", but there is none: the harness submits by itself (strike a worker instead, or remove coordinator: none)"#);
    insta::assert_snapshot!(without("at: 30%, pause: { role: aggregator, for: 1s }", "aggregator"), @r#"scenarios/x.yaml:8:31: role is "aggregator", but there is none: the harness sums by itself (strike a worker instead, or remove aggregator: none)"#);
    insta::assert_snapshot!(without("at: 30% submitted, kill: { worker: 0 }", "coordinator"), @"scenarios/x.yaml:8:11: at is a share submitted, but the harness submits by itself, all at once (write a share of the sweep, as in at: 30%)");
    let on_static =
        with("{ at: 30%, kill: { worker: 0 } }").replace("backend: redis", "backend: static");
    insta::assert_snapshot!(message(&on_static.replace("seed: 7", "system: { coordinator: none }")), @"scenarios/x.yaml:6:24: coordinator is said, but backend static has no coordinator (remove it, or choose another backend)");
    let on_rabbitmq =
        with("{ at: 30%, kill: { worker: 0 } }").replace("backend: redis", "backend: rabbitmq");
    insta::assert_snapshot!(message(&on_rabbitmq.replace("seed: 7", "system: { coordinator: { command: [c] } }")), @"scenarios/x.yaml:6:24: coordinator is a program of others, which on RabbitMQ does not tell our aggregator how many chunks there are (add aggregator: none, or a program of yours)");
    let wiped =
        with("{ at: 30%, wipe: { role: broker } }").replace("exactly-once", "lost-with-broker");
    insta::assert_snapshot!(message(&wiped.replace("seed: 7", "system: { aggregator: none }")), @"scenarios/x.yaml:10:13: coverage is lost-with-broker, but only our own aggregator tells by its exit code that the data is gone (write exactly-once, or remove aggregator)");
}
