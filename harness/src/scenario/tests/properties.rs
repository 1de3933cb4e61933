use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::{BASE, read};
use crate::plan::{
    Afterwards, Backend, BrokerSetup, ClusterChoice, Coverage, Environment, Expect, FaultKind,
    Kernel, Plan, PlannedFault, RoleProgram, SCHEMA_VERSION, Settings, Sweep, Target, Trigger,
    WorkersIn,
};
use crate::scenario::{Overrides, from_text};

/// Whatever the text is, reading it ends in a plan or in one line.
fn plan_or_one_line(text: &str) -> Result<(), TestCaseError> {
    if let Err(error) = read(text) {
        let message = error.to_string();
        prop_assert!(!message.contains(char::is_control), "{message:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "(?s).{0,200}") {
        plan_or_one_line(&text)?;
    }

    #[test]
    fn no_text_of_yamls_own_signs_makes_reading_panic(
        text in "([a-z:\\-?&*!|>%@`\"'{}\\[\\],#~<. \n\t0-9]|: |- |name|workers|faults|\n  ){0,60}",
    ) {
        plan_or_one_line(&text)?;
    }

    #[test]
    fn no_damage_to_a_valid_scenario_makes_reading_panic(
        at in 0..BASE.len(),
        cut in 0..20_usize,
        with in "(?s).{0,8}|-1|0|1e999|\\.nan|99999999999999999999|~|\\[\\]|\\{\\}|0\\.\\.0|-1%|1e9h",
    ) {
        let end = (at + cut).min(BASE.len());
        plan_or_one_line(&format!("{}{with}{}", &BASE[..at], &BASE[end..]))?;
    }

    #[test]
    fn no_argument_makes_reading_panic(
        key in "(sweep|faults|expect|system|env|0|1|kill|worker|workers|[a-z]{0,4}|\\.){0,8}",
        value in "(?s).{0,20}|-?[0-9]{1,40}|null|[0-9]{1,3}%",
    ) {
        let overrides = Overrides { set: vec![(key, value)], ..Overrides::default() };
        let _ = from_text("x.yaml".as_ref(), BASE, &overrides);
    }

    #[test]
    fn a_printed_scenario_reads_back_as_the_same_plan(plan in plans()) {
        let text = print(&plan);
        prop_assert_eq!(read(&text), Ok(plan), "{}", text);
    }
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

/// A word of a command, as a plan has them: of a path that begins where the scenario is, the whole.
fn word() -> impl Strategy<Value = String> {
    let is_whole = |word: &String| !word.starts_with("./") && !word.starts_with("../");
    "[ -~]{1,12}".prop_filter("a plan has whole paths", is_whole)
}

/// Any plan without a contradiction: every expectation is one that the sweep can meet, and every fault
/// one that can bite.
fn plans() -> impl Strategy<Value = Plan> {
    let kernel = prop_oneof![
        (1..5_000_u32)
            .prop_map(|hundredths| Kernel::Reference { work_ms: f64::from(hundredths) / 100.0 }),
        (1..5_000_u32)
            .prop_map(|hundredths| Kernel::Distinct { work_ms: f64::from(hundredths) / 100.0 }),
        prop::collection::vec(word(), 1..4).prop_map(|command| Kernel::Exec { command }),
    ];
    let backend = prop::sample::select(vec![Backend::Embedded, Backend::Redis]);
    let env = prop::collection::btree_map("[A-Z_]{1,3}[0-9]{0,2}", "[ -~é]{0,9}", 0..3);
    let sweep = (0..1000_u64, 1..2000_u64, 1..200_u64);
    let replayed = prop::option::of(env.clone());
    let rest = (any::<u64>(), env, "[A-Za-z][ -~]{0,30}[.!#:]", expects(), replayed);
    (sweep, kernel, backend, 1..20_u32, rest).prop_flat_map(
        |((start, params, chunk_size), kernel, backend, workers, rest)| {
            let (seed, mut env, description, expect, replayed) = rest;
            if replayed.is_some() || expect.dead_letters > 0 {
                env.insert("SIMULATE_FAULT_RATE".into(), "0.1".into());
            }
            let of = Sweep { start, end: start + params, chunk_size, kernel: kernel.clone() };
            faults(workers, &of).prop_map(move |faults| Plan {
                schema_version: SCHEMA_VERSION,
                scenario: "x".into(),
                description: description.clone(),
                sweep: Sweep { start, end: start + params, chunk_size, kernel: kernel.clone() },
                backend,
                environment: Environment::Process,
                environment_because: "the scenario says so".into(),
                workers_in: WorkersIn::Process,
                cluster: ClusterChoice::default(),
                broker: BrokerSetup::default(),
                foreign: None,
                coordinator: RoleProgram::Ours,
                aggregator: RoleProgram::Ours,
                workers,
                seed,
                env: env.clone(),
                defect: None,
                strict: false,
                afterwards: replayed.clone().map(|env| Afterwards::Replay { env }),
                expect: Expect {
                    recovery_max: expect.recovery_max.filter(|_| !faults.is_empty()),
                    ..expect.clone()
                },
                fault_kinds: crate::fault::consequences(&faults),
                faults,
                stall_after: Duration::from_secs(70_000),
                stall_after_is_set: true,
                timeout: Duration::from_secs(720 * 3600),
                timeout_is_set: true,
            })
        },
    )
}

fn expects() -> impl Strategy<Value = Expect> {
    use prop::option::of;
    let efficiency = (1..=100_u8).prop_map(|percent| f64::from(percent) / 100.0);
    let duration = millis(1_000_000..2_000_000);
    (of(efficiency), of(millis(1..9_999)), of(duration), 0..2_u64).prop_map(
        |(efficiency_min, recovery_max, duration_max, dead_letters)| Expect {
            coverage: Coverage::ExactlyOnce,
            dead_letters,
            retries_min: 3 * dead_letters,
            recompute: None,
            throughput_min: None,
            duration_max,
            efficiency_min,
            recovery_max,
            finish_max: None,
        },
    )
}

/// The first fault leaves chunks to others, so that recovery can be judged.
fn faults(workers: u32, sweep: &Sweep) -> impl Strategy<Value = Vec<PlannedFault>> + use<> {
    let (first, _) = sweep.chunk(sweep.chunks() - 1);
    // What is committed before the last chunk is, in thousandths.
    let most = 1000 * (first - sweep.start) / sweep.params();
    let share = move |thousandths: u64| match thousandths.min(most) {
        0 => Trigger::Time(Duration::from_secs(1)),
        thousandths => Trigger::Progress(thousandths as f64 / 10.0),
    };
    let target = prop_oneof![
        (0..workers).prop_map(Target::Worker),
        prop::sample::select(vec![Target::Busy, Target::Random, Target::All]),
    ];
    let trigger = prop_oneof![
        (1..1000_u64).prop_map(share),
        millis(1..10_000).prop_map(Trigger::Time),
        Just(Trigger::After(String::new())),
    ];
    let kind = prop::sample::select(vec![FaultKind::Kill, FaultKind::Pause, FaultKind::Restart]);
    let one = (kind, trigger, target, millis(10..60_000));
    prop::collection::vec(one, 0..5).prop_map(move |parts| {
        let name = |index: usize| format!("fault-{index}");
        let fault = move |(index, (kind, trigger, target, hold))| PlannedFault {
            name: name(index),
            trigger: match trigger {
                Trigger::After(_) if index == 0 => share(500),
                Trigger::After(_) => Trigger::After(name(index - 1)),
                other => other,
            },
            every: None,
            settings: Settings::default(),
            kind,
            target,
            hold: (kind == FaultKind::Pause).then_some(hold),
        };
        parts.into_iter().enumerate().map(fault).collect()
    })
}

/// A scenario that says everything that the plan says.
fn print(plan: &Plan) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").unwrap();
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    line(format_args!("name: {}", plan.scenario));
    line(format_args!("description: {}", quoted(&plan.description)));
    let kernel = match &plan.sweep.kernel {
        Kernel::Reference { work_ms } => format!("reference: {{ work_ms: {work_ms} }}"),
        Kernel::Distinct { work_ms } if plan.seed.is_multiple_of(2) => {
            format!("work_ms: {work_ms}")
        }
        Kernel::Distinct { work_ms } => format!("distinct: {{ work_ms: {work_ms} }}"),
        Kernel::Exec { command } => {
            let command = serde_json::to_string(command).unwrap();
            format!("exec: {{ command: {command} }}")
        }
    };
    let Sweep { start, end, chunk_size, .. } = plan.sweep;
    line(format_args!("sweep:\n  params: {start}..{end}\n  chunk_size: {chunk_size}"));
    line(format_args!("  kernel: {{ {kernel} }}"));
    line(format_args!("backend: {}\nenvironment: process", plan.backend));
    line(format_args!("workers: {}\nseed: {}", plan.workers, plan.seed));
    let seconds = |time: Duration| format!("{}s", time.as_millis() as f64 / 1e3);
    line(format_args!("stall_after: {}", seconds(plan.stall_after)));
    line(format_args!("timeout: {}", seconds(plan.timeout)));
    line(format_args!("system:\n  env: {}", serde_json::to_string(&plan.env).unwrap()));
    line(format_args!("faults: [ {} ]", plan.faults.iter().map(print_fault).collect::<String>()));
    if let Some(Afterwards::Replay { env }) = &plan.afterwards {
        let env = serde_json::to_string(env).unwrap();
        line(format_args!("afterwards: {{ replay: {{ env: {env} }} }}"));
    }
    line(format_args!("expect:\n  coverage: exactly-once"));
    line(format_args!("  dead_letters: {}", plan.expect.dead_letters));
    line(format_args!("  retries_min: {}", plan.expect.retries_min));
    if let Some(share) = plan.expect.efficiency_min {
        line(format_args!("  efficiency_min: {share}"));
    }
    if let Some(time) = plan.expect.duration_max {
        line(format_args!("  duration_max: {}", seconds(time)));
    }
    if let Some(time) = plan.expect.recovery_max {
        line(format_args!("  recovery_max: {}ms", time.as_millis()));
    }
    text
}

fn print_fault(fault: &PlannedFault) -> String {
    let trigger = match &fault.trigger {
        Trigger::Start | Trigger::Submitted(_) => unreachable!("not drawn"),
        Trigger::Progress(share) => format!("at: {share}%"),
        Trigger::Time(time) => format!("at: {}ms", time.as_millis()),
        Trigger::After(name) => format!("after: {name}"),
    };
    let target = match fault.target {
        Target::Worker(number) => format!("worker: {number}"),
        Target::Busy => "worker: busy".into(),
        Target::Random => "worker: random".into(),
        Target::All => "worker: all".into(),
        Target::Coordinator => "role: coordinator".into(),
        Target::Aggregator => "role: aggregator".into(),
        Target::Broker => "role: broker".into(),
        Target::Sweep | Target::Node(_) => unreachable!("not drawn"),
    };
    let hold = fault.hold.map_or(String::new(), |time| format!(", for: {}ms", time.as_millis()));
    let (name, kind) = (&fault.name, crate::fault::entry(fault.kind).name);
    format!("{{ name: {name}, {trigger}, {kind}: {{ {target}{hold} }} }}, ")
}
