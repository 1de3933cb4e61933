//! Every fault can be written, and is read as it was meant.

use std::time::Duration;

use rstest::rstest;

use super::{BASE, changed, read};
use crate::fault::{Lasts, Role, entries};
use crate::plan::{
    BrokerStorage, Direction, Draw, Environment, FaultKind, ForeignProgram, Fsync, Kernel, KillBy,
    Occupant, Plan, PlannedFault, RoleProgram, Settings, Target, Trigger, WorkersIn,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A scenario with this fault alone.
fn with(fault: &str) -> String {
    BASE.replace(
        "  - at: 30%\n    name: first\n    kill: { worker: busy }",
        &format!("  - {fault}"),
    )
    .replace("  recovery_max: 1s\n", "")
}

fn planned(fault: &str) -> Vec<PlannedFault> {
    read(&with(fault)).unwrap_or_else(|error| panic!("{fault}: {error}")).faults
}

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

#[rstest]
#[case("kill: { worker: 1 }", FaultKind::Kill, Target::Worker(1), None)]
#[case("kill: { role: broker }", FaultKind::Kill, Target::Broker, None)]
#[case("kill: { role: broker, for: 300ms }", FaultKind::Kill, Target::Broker, Some(300))]
#[case("terminate: { role: aggregator }", FaultKind::Terminate, Target::Aggregator, None)]
#[case("pause: { role: coordinator, for: 1s }", FaultKind::Pause, Target::Coordinator, Some(1000))]
#[case("pause: { role: broker, for: 1s }", FaultKind::Pause, Target::Broker, Some(1000))]
#[case("restart: { role: broker }", FaultKind::Restart, Target::Broker, None)]
#[case("restart: { worker: all }", FaultKind::Restart, Target::All, None)]
#[case("wipe: { role: broker }", FaultKind::Wipe, Target::Broker, None)]
#[case("partition: { worker: busy, for: 3s }", FaultKind::Partition, Target::Busy, Some(3000))]
#[case("reset: { worker: random }", FaultKind::Reset, Target::Random, None)]
#[case("reset: { worker: 0, for: 2s }", FaultKind::Reset, Target::Worker(0), Some(2000))]
#[case("drop: { worker: 0, for: 2s }", FaultKind::Drop, Target::Worker(0), Some(2000))]
#[case("half-open: { worker: 0, for: 2s }", FaultKind::HalfOpen, Target::Worker(0), Some(2000))]
fn one_without_settings_is_read_as_it_was_meant(
    #[case] fault: &str,
    #[case] kind: FaultKind,
    #[case] target: Target,
    #[case] hold_ms: Option<u64>,
) {
    let [read] = &planned(&format!("{{ at: 30%, {fault} }}"))[..] else { panic!("one") };
    assert_eq!((read.kind, read.target, read.hold), (kind, target, hold_ms.map(ms)));
    assert_eq!((read.trigger.clone(), read.every), (Trigger::Progress(30.0), None));
    assert_eq!(read.settings, Settings::default());
}

#[rstest]
#[case("slow: { worker: 0, share: 30%, for: 1s }", settings(|it| it.share = Some(0.3)))]
#[case("bandwidth: { worker: 0, bytes: 1000, for: 1s }", settings(|it| it.bytes = Some(1000)))]
#[case("latency: { worker: 0, delay: 50ms, jitter: 10ms, direction: to-broker, for: 1s }", settings(|it| {
    (it.delay, it.jitter, it.direction) = (Some(ms(50)), Some(ms(10)), Direction::ToBroker);
}))]
#[case("slice: { worker: 0, bytes: 1, delay: 1ms, for: 1s }", settings(|it| {
    (it.bytes, it.delay) = (Some(1), Some(ms(1)));
}))]
#[case("partition: { worker: 0, direction: from-broker, for: 1s }", settings(|it| it.direction = Direction::FromBroker))]
#[case("drop: { worker: 0, direction: both, for: 1s }", Settings::default())]
fn one_with_settings_is_read_as_it_was_meant(#[case] fault: &str, #[case] settings: Settings) {
    let [read] = &planned(&format!("{{ at: 30%, {fault} }}"))[..] else { panic!("one") };
    assert_eq!(read.settings, settings);
}

#[rstest]
#[case("poison: { chunk: 99 }", FaultKind::Poison, settings(|it| it.chunk = Some(99)))]
#[case("slow-chunks: { share: 10% }", FaultKind::SlowChunks, settings(|it| it.share = Some(0.1)))]
#[case("slow-chunks: { share: 99%, factor: 2.5 }", FaultKind::SlowChunks, settings(|it| {
    (it.share, it.factor) = (Some(0.99), Some(2.5));
}))]
fn one_of_the_sweep_is_there_from_the_start(
    #[case] fault: &str,
    #[case] kind: FaultKind,
    #[case] settings: Settings,
) {
    let [read] = &planned(&format!("{{ {fault} }}"))[..] else { panic!("one") };
    assert_eq!(
        (read.kind, read.target, read.trigger.clone()),
        (kind, Target::Sweep, Trigger::Start)
    );
    assert_eq!(read.settings, settings);
}

#[test]
fn chaos_draws_from_its_mixture() {
    let mix =
        "[{ weight: 3, restart: { worker: random } }, { kill: { role: broker, for: 200ms } }]";
    let said = format!("{{ at: 10%, chaos: {{ for: 5s, pace: 300ms, mix: {mix} }} }}");
    let plan = read(&with(&said)).unwrap();
    let kinds: Vec<&str> = plan.fault_kinds.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["chaos", "kill", "restart"]);
    let [chaos] = &plan.faults[..] else { panic!("one") };
    assert_eq!((chaos.kind, chaos.target), (FaultKind::Chaos, Target::Sweep));
    assert_eq!((chaos.hold, chaos.settings.pace), (Some(ms(5000)), Some(ms(300))));
    let drawn = |draw: &Draw| (draw.weight, draw.fault.kind, draw.fault.target, draw.fault.hold);
    let mix: Vec<_> = chaos.settings.mix.iter().map(drawn).collect();
    assert_eq!(
        mix,
        [
            (3, FaultKind::Restart, Target::Random, None),
            (1, FaultKind::Kill, Target::Broker, Some(ms(200))),
        ]
    );
}

#[test]
fn a_fault_can_strike_again_and_again_and_while_the_sweep_is_submitted() {
    let faults = planned("{ at: 30% submitted, every: 2s, restart: { role: coordinator } }");
    assert_eq!(faults[0].trigger, Trigger::Submitted(30.0));
    assert_eq!(faults[0].every, Some(ms(2000)));
}

/// Whatever a fault's own file says that it takes, a scenario can say.
#[test]
fn every_word_that_a_fault_takes_can_be_written() {
    for entry in entries() {
        let value = |word: &&str| match *word {
            "bytes" | "chunk" => format!("{word}: 7, "),
            "share" => "share: 10%, ".to_owned(),
            "by" => "by: signal, ".to_owned(),
            "factor" => "factor: 3, ".to_owned(),
            "direction" => "direction: both, ".to_owned(),
            "mix" => "mix: [{ reset: { worker: all } }], ".to_owned(),
            "delay" | "jitter" | "pace" => format!("{word}: 20ms, "),
            other => panic!("{} takes {other}, of which this test knows nothing", entry.name),
        };
        let settings: String = entry.needs.iter().chain(entry.takes).map(value).collect();
        for role in entry.on {
            let whom = match role {
                Role::Sweep => String::new(),
                Role::Worker => "worker: busy, ".to_owned(),
                Role::Node => "node: busy, ".to_owned(),
                _ => format!("role: {}, ", role.name()),
            };
            let stays_dead = entry.kind == FaultKind::Kill && *role != Role::Broker;
            let hold = if entry.lasts == Lasts::No || stays_dead { "" } else { "for: 1s" };
            let at = if entry.needs == ["chunk"] || entry.needs == ["share"] && *role == Role::Sweep
            {
                ""
            } else {
                "at: 30%, "
            };
            let fault = format!("{{ {at}{}: {{ {whom}{settings}{hold} }} }}", entry.name);
            let environment = if *role == Role::Node { "kubernetes" } else { "container" };
            let place = format!("environment: {environment}\nworkers_in: container");
            let text = with(&fault).replace("seed: 7", &place);
            assert_eq!(read(&text).map(|plan| plan.faults[0].kind), Ok(entry.kind), "{fault}");
        }
    }
}

/// [`BASE`] with more words.
fn also(words: &str) -> Plan {
    read(&BASE.replace("seed: 7", words)).unwrap_or_else(|error| panic!("{words}: {error}"))
}

#[test]
fn where_a_sweep_runs_can_be_said() {
    for environment in Environment::ALL {
        let plan = also(&format!("environment: {environment}"));
        let workers_in = match environment {
            Environment::Kubernetes => WorkersIn::Container,
            _ => WorkersIn::Process,
        };
        assert_eq!((plan.environment, plan.workers_in), (environment, workers_in));
        assert_eq!(plan.environment_because, "the scenario says so");
    }
    let plan = also("environment: container\nworkers_in: container\nbroker: { image: redis:7 }");
    assert_eq!(plan.workers_in, WorkersIn::Container);
    assert_eq!(plan.broker.image.as_deref(), Some("redis:7"));
}

#[test]
fn which_cluster_and_where_a_broker_has_its_data_can_be_said() {
    let plan = also("environment: kubernetes\ncluster: { context: aks, namespace: my-team }");
    assert_eq!(plan.cluster.context.as_deref(), Some("aks"));
    assert_eq!(plan.cluster.namespace.as_deref(), Some("my-team"));
    let storage = |broker: &str| {
        also(&format!("environment: kubernetes\nbroker: {{ {broker} }}")).broker.storage
    };
    assert_eq!(storage("storage: volume"), Some(BrokerStorage::Volume(None)));
    assert_eq!(storage("storage: ephemeral"), Some(BrokerStorage::Ephemeral));
    let fast = Some(BrokerStorage::Volume(Some("fast".to_owned())));
    assert_eq!(storage("storage_class: fast"), fast);
    assert_eq!(storage("storage: volume, storage_class: fast"), fast);
}

#[test]
fn a_node_is_chosen_by_who_is_on_it_and_a_pod_may_be_deleted() {
    let on_cluster = |fault: &str| {
        let text = with(&format!("{{ at: 30%, {fault} }}"));
        let plan = read(&text.replace("seed: 7", "environment: kubernetes")).unwrap();
        plan.faults[0].clone()
    };
    let drain = on_cluster("drain: { node: broker, for: 5s }");
    assert_eq!(drain.target, Target::Node(Occupant::Broker));
    assert_eq!(on_cluster("kill: { worker: busy, by: delete }").settings.by, KillBy::Delete);
}

#[rstest]
#[case("broker: { appendfsync: always }", "kill: { worker: busy }", Fsync::Always)]
#[case("broker: { appendfsync: no }", "restart: { role: broker }", Fsync::No)]
#[case("broker: {}", "kill: { role: broker }", Fsync::Always)]
#[case("broker: {}", "restart: { worker: busy }", Fsync::EverySec)]
fn a_broker_that_is_struck_writes_before_it_confirms_unless_the_scenario_says_otherwise(
    #[case] broker: &str,
    #[case] fault: &str,
    #[case] fsync: Fsync,
) {
    let text = with(&format!("{{ at: 30%, {fault} }}")).replace("seed: 7", broker);
    assert_eq!(read(&text).unwrap().fsync(), fsync);
}

#[test]
fn a_program_takes_the_place_of_some_or_all_workers() {
    let some = also(r#"system: { command: [python3, worker.py], workers: 1 }"#).foreign.unwrap();
    assert_eq!((some.workers, some.command), (1, vec!["python3".into(), "worker.py".into()]));
    let all = also(r#"system: { command: [worker] }"#).foreign.unwrap();
    assert_eq!((all.workers, all.image), (3, None));
}

#[test]
fn a_path_of_a_command_begins_where_the_scenario_is() {
    let plan = also("system: { command: [python3, ../worker.py, ./a, a/../b] }");
    let command = plan.foreign.unwrap().command;
    let here = std::path::absolute("scenarios").unwrap();
    let beside = |path: &str| here.join(path).display().to_string();
    assert_eq!(command, ["python3", &beside("../worker.py"), &beside("a"), "a/../b"]);
    let image = also(
        "environment: container\nworkers_in: container\nsystem: { command: [./worker], image: w }",
    );
    assert_eq!(image.foreign.unwrap().command, ["./worker"], "that is a path of the image");
}

#[test]
fn a_path_of_a_kernel_begins_there_too() {
    let kernel = |words: &str| {
        let text = changed(
            "kernel: { reference: { work_ms: 100 } }",
            &format!("kernel: {{ exec: {{ command: {words} }} }}"),
        );
        match read(&text).expect("accepted").sweep.kernel {
            Kernel::Exec { command } => command,
            other => panic!("{other:?}"),
        }
    };
    let here = std::path::absolute("scenarios").unwrap();
    let beside = |path: &str| here.join(path).display().to_string();
    assert_eq!(kernel("[./kernel, ../data]"), [beside("kernel"), beside("../data")]);
    assert_eq!(kernel("[python3, kernel.py]"), ["python3", "kernel.py"], "nothing is there");
}

#[test]
fn coordinator_and_aggregator_may_be_programs_of_others_or_nobody() {
    let plan = also("system: { coordinator: { command: [./submit, -q] }, aggregator: none }");
    let submit = std::path::absolute("scenarios/submit").unwrap().display().to_string();
    let program = ForeignProgram { command: vec![submit, "-q".into()], image: None };
    assert_eq!(plan.foreign("coordinator"), Some(program));
    assert!(plan.aggregator.is_none() && !plan.has_foreign_aggregator());
    let plan = also("system: { aggregator: { command: [sum] } }");
    assert!(plan.has_foreign_aggregator() && plan.coordinator == RoleProgram::Ours);
    assert_eq!((plan.foreign("coordinator"), plan.foreign("worker-0")), (None, None));
    let hosted = also(
        "environment: container\nworkers_in: container\nsystem: { coordinator: { command: [./c], image: c } }",
    );
    let program = hosted.foreign("coordinator").unwrap();
    assert_eq!((&*program.command[0], program.image.as_deref()), ("./c", Some("c")));
}
