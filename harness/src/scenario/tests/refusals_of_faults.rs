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
    let foreign = if site.foreign { "system: { command: [w], image: w }\n" } else { "" };
    let place = format!("environment: {}\nworkers_in: {workers}\n{foreign}", site.environment);
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
                let there = served || environment == Environment::Process;
                let containers = environment == Environment::Container;
                if there && (containers || workers_in == WorkersIn::Process) {
                    let site = |foreign| Site { backend, environment, workers_in, foreign };
                    sites.extend([site(false), site(true)]);
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
    for entry in entries().filter(|entry| entry.on != [Role::Sweep]) {
        let roles = [Role::Worker, Role::Coordinator, Role::Aggregator, Role::Broker];
        for role in roles.into_iter().filter(|role| !entry.on.contains(role)) {
            let said = message(&with(&written(entry, role)));
            assert!(said.contains(&format!("but {} strikes ", entry.name)), "{said}");
        }
    }
    insta::assert_snapshot!(refused("wipe: { worker: busy }"), @"");
    insta::assert_snapshot!(refused("latency: { role: broker, delay: 1s, for: 1s }"), @"");
    insta::assert_snapshot!(refused("terminate: { role: broker }"), @"");
    insta::assert_snapshot!(refused("poison: { worker: 1 }"), @"");
}

#[test]
fn what_a_fault_must_be_told_is_named_with_an_example() {
    insta::assert_snapshot!(refused("slow: { worker: 0, for: 1s }"), @"");
    insta::assert_snapshot!(refused("slow: { worker: 0, share: 10% }"), @"");
    insta::assert_snapshot!(refused("latency: { worker: 0, for: 1s }"), @"");
    insta::assert_snapshot!(refused("bandwidth: { worker: 0, for: 1s }"), @"");
    insta::assert_snapshot!(refused("slice: { worker: 0, for: 1s }"), @"");
    insta::assert_snapshot!(refused("pause: { role: broker }"), @"");
    insta::assert_snapshot!(refused("chaos: { for: 1s }"), @"");
    insta::assert_snapshot!(refused("chaos: { mix: [{ reset: { worker: all } }] }"), @"");
    insta::assert_snapshot!(message(&with("poison: {}")), @"");
}

#[test]
fn settings_have_bounds() {
    insta::assert_snapshot!(refused("slow: { worker: 0, share: 0%, for: 1s }"), @"");
    insta::assert_snapshot!(refused("slow: { worker: 0, share: 101%, for: 1s }"), @"");
    insta::assert_snapshot!(refused("slow: { worker: 0, share: 0.5, for: 1s }"), @"");
    insta::assert_snapshot!(refused("bandwidth: { worker: 0, bytes: 0, for: 1s }"), @"");
    insta::assert_snapshot!(refused("bandwidth: { worker: 0, bytes: 2000000000000, for: 1s }"), @"");
    insta::assert_snapshot!(refused("bandwidth: { worker: 0, bytes: 1kB, for: 1s }"), @"");
    insta::assert_snapshot!(refused("latency: { worker: 0, delay: 0ms, for: 1s }"), @"");
    insta::assert_snapshot!(refused("latency: { worker: 0, delay: 9, for: 1s }"), @"");
    insta::assert_snapshot!(refused("partition: { worker: 0, direction: to, for: 1s }"), @"");
    insta::assert_snapshot!(refused("kill: { worker: 0, delay: 1s }"), @"");
    insta::assert_snapshot!(message(&with("slow-chunks: { share: 10%, factor: 0.5 }")), @"");
    insta::assert_snapshot!(message(&with("slow-chunks: { share: 10%, factor: 1001 }")), @"");
    insta::assert_snapshot!(message(&with("poison: { chunk: 100 }")), @"");
    insta::assert_snapshot!(message(&with("poison: { chunk: -1 }")), @"");
    insta::assert_snapshot!(message(&with("poison: { chunk: 7 }").replace("work_ms: 100", "work_ms: 1")), @"");
}

#[test]
fn a_fault_of_the_sweep_has_no_moment_and_strikes_again_by_itself() {
    insta::assert_snapshot!(refused("poison: { chunk: 7 }"), @"");
    insta::assert_snapshot!(message(&with("{ after: first, slow-chunks: { share: 10% } }")), @"");
    insta::assert_snapshot!(message(&with("{ every: 1s, poison: { chunk: 7 } }")), @"");
    insta::assert_snapshot!(refused("every: 1s, chaos: { for: 1s, mix: [{ reset: { worker: all } }] }"), @"");
    insta::assert_snapshot!(refused("every: 0s, reset: { worker: all }"), @"");
    insta::assert_snapshot!(refused("every: often, reset: { worker: all }"), @"");
}

#[test]
fn a_share_that_is_submitted_leaves_something_to_submit() {
    let at =
        |at: &str| message(&with(&format!("{{ at: {at}, restart: {{ role: coordinator }} }}")));
    insta::assert_snapshot!(at("100% submitted"), @"");
    insta::assert_snapshot!(at("0% submitted"), @"");
    insta::assert_snapshot!(at("30 submitted"), @"");
}

#[test]
fn what_chaos_draws_from_replaces_what_it_kills() {
    let mix = |mix: &str| refused(&format!("chaos: {{ for: 1s, mix: {mix} }}"));
    insta::assert_snapshot!(mix("[]"), @"");
    insta::assert_snapshot!(mix("[{ weight: 3 }]"), @"");
    insta::assert_snapshot!(mix("[{ weight: 0, reset: { worker: all } }]"), @"");
    insta::assert_snapshot!(mix("[{ weight: 1001, reset: { worker: all } }]"), @"");
    insta::assert_snapshot!(mix("[{ kill: { worker: busy } }]"), @"");
    insta::assert_snapshot!(mix("[{ terminate: { worker: busy } }]"), @"");
    insta::assert_snapshot!(mix("[{ at: 10%, reset: { worker: all } }]"), @"");
    insta::assert_snapshot!(mix("[{ poison: { chunk: 7 } }]"), @"");
    insta::assert_snapshot!(mix("[{ pause: { worker: all } }]"), @"");
    assert!(
        read(&with("{ at: 1%, chaos: { for: 1s, mix: [{ kill: { role: broker } }] } }")).is_ok()
    );
}

#[test]
fn a_place_that_does_not_fit_is_refused() {
    insta::assert_snapshot!(refused_with("workers_in: container"), @"");
    insta::assert_snapshot!(refused_with("environment: external\nworkers_in: container"), @"");
    insta::assert_snapshot!(refused_with("workers_in: cloud"), @"");
    let embedded = BASE.replace("backend: redis", "backend: embedded");
    insta::assert_snapshot!(message(&embedded.replace("seed: 7", "environment: container")), @"");
    insta::assert_snapshot!(message(&embedded.replace("seed: 7", "environment: external")), @"");
}

#[test]
fn a_broker_is_set_up_with_what_it_knows() {
    insta::assert_snapshot!(refused_with("broker: { image: --privileged }"), @"");
    insta::assert_snapshot!(refused_with("broker: { image: \"redis 7\" }"), @"");
    insta::assert_snapshot!(refused_with("broker: { appendfsync: sometimes }"), @"");
    insta::assert_snapshot!(refused_with("broker: { maxmemory: 1 }"), @"");
    let rabbitmq = BASE.replace("backend: redis", "backend: rabbitmq");
    insta::assert_snapshot!(message(&rabbitmq.replace("seed: 7", "broker: { appendfsync: always }")), @"");
}

#[test]
fn a_program_of_others_is_named_and_has_no_more_workers_than_there_are() {
    insta::assert_snapshot!(refused_with("system: { workers: 1 }"), @"");
    insta::assert_snapshot!(refused_with("system: { image: w }"), @"");
    insta::assert_snapshot!(refused_with("system: { command: [] }"), @"");
    insta::assert_snapshot!(refused_with("system: { command: python3 worker.py }"), @"");
    insta::assert_snapshot!(refused_with("system: { command: [w], workers: 4 }"), @"");
    insta::assert_snapshot!(refused_with("system: { command: [w], workers: 0 }"), @"");
    insta::assert_snapshot!(refused_with("system: { command: [w], image: \"-v\" }"), @"");
}

#[test]
fn an_expectation_of_a_fault_needs_that_fault() {
    let expects = |line: &str| message(&BASE.replace("coverage: exactly-once", line));
    insta::assert_snapshot!(expects("coverage: lost-with-broker"), @"");
    let none = with("{ at: 30%, kill: { worker: busy } }")
        .replace("  - { at: 30%, kill: { worker: busy } }\n", "    []\n");
    insta::assert_snapshot!(message(&none.replace("coverage: exactly-once", "finish_max: 3s")), @"");
}
