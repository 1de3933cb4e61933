use std::path::Path;
use std::time::Duration;

use super::{BASE, read};
use crate::plan::{Backend, Kernel, Plan, Trigger};
use crate::scenario::{Overrides, ScenarioError, from_text};

fn set(pairs: &[(&str, &str)]) -> Overrides {
    Overrides {
        set: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..Overrides::default()
    }
}

fn over(text: &str, overrides: &Overrides) -> Result<Plan, ScenarioError> {
    from_text(Path::new("scenarios/x.yaml"), text, overrides)
}

fn with(pairs: &[(&str, &str)]) -> Plan {
    over(BASE, &set(pairs)).expect("accepted")
}

fn refused(pairs: &[(&str, &str)]) -> String {
    over(BASE, &set(pairs)).expect_err("refused").to_string()
}

#[test]
fn a_value_on_the_command_line_takes_the_place_of_the_files() {
    let plan = with(&[
        ("sweep.kernel.reference.work_ms", "10"),
        ("faults.0.at", "50%"),
        ("workers", "4"),
        ("workers", "5"),
    ]);
    assert_eq!(plan.sweep.kernel, Kernel::Reference { work_ms: 10.0 });
    assert_eq!(plan.faults[0].trigger, Trigger::Progress(50.0));
    assert_eq!(plan.workers, 5, "the last one holds");
}

#[test]
fn a_key_that_the_file_does_not_have_is_added() {
    let plan = with(&[("system.env.STALE_THRESHOLD_MS", "500"), ("expect.duration_max", "50s")]);
    assert_eq!(plan.env["STALE_THRESHOLD_MS"], "500");
    assert_eq!(plan.expect.duration_max, Some(Duration::from_secs(50)));
}

#[test]
fn null_removes_a_key_and_an_item() {
    let plan = with(&[("expect.recovery_max", "null"), ("faults.0", "null")]);
    assert_eq!(plan.expect.recovery_max, None);
    assert_eq!(plan.faults, []);
}

#[test]
fn a_whole_mapping_can_be_replaced() {
    let plan = with(&[("sweep.kernel", r#"{ exec: { command: ["cat"] } }"#)]);
    let command = vec!["cat".to_owned()];
    assert_eq!(plan.sweep.kernel, Kernel::Exec { command });
}

#[test]
fn backend_seed_and_defect_have_arguments_of_their_own() {
    let overrides = Overrides {
        backend: Some(Backend::Embedded),
        seed: Some(u64::MAX),
        defect: Some("double-commit".into()),
        ..Overrides::default()
    };
    let plan = over(BASE, &overrides).unwrap();
    assert_eq!(plan.backend, Backend::Embedded);
    assert_eq!(plan.seed, u64::MAX);
    assert_eq!(plan.defect.as_deref(), Some("double-commit"));
}

#[test]
fn a_seed_that_nobody_gives_is_drawn() {
    let text = BASE.replace("seed: 7\n", "");
    let seeds = [0; 3].map(|_| read(&text).unwrap().seed);
    assert!(seeds[0] != seeds[1] || seeds[1] != seeds[2]);
}

#[test]
fn a_mistake_on_the_command_line_is_shown_as_it_was_typed() {
    insta::assert_snapshot!(refused(&[("workers", "0")]), @"--set workers=0: workers is 0, but at least 1 is needed (write for example workers: 3)");
    insta::assert_snapshot!(refused(&[("worker", "4")]), @r#"--set worker=4: unknown key "worker" in the scenario: did you mean workers? (valid: name, description, sweep, backend, environment, workers, workers_in, cluster, broker, seed, faults, system, afterwards, expect, stall_after, timeout)"#);
    insta::assert_snapshot!(refused(&[("sweep.chunksize", "4")]), @r#"--set sweep.chunksize=4: unknown key "chunksize" in sweep: did you mean chunk_size? (valid: params, chunk_size, kernel)"#);
    insta::assert_snapshot!(refused(&[("expect.efficency_min", "null")]), @r#"--set expect.efficency_min=null: unknown key "efficency_min" in expect: did you mean efficiency_min? (valid: coverage, dead_letters, retries_min, recompute, throughput_min, duration_max, efficiency_min, recovery_max, finish_max)"#);
    insta::assert_snapshot!(refused(&[("faults.1.at", "50%")]), @r#"--set faults.1.at=50%: the list has no item "1" (write 0, its only item)"#);
    insta::assert_snapshot!(refused(&[("faults.first.at", "50%")]), @r#"--set faults.first.at=50%: the list has no item "first" (write 0, its only item)"#);
    insta::assert_snapshot!(refused(&[("workers.count", "3")]), @"--set workers.count=3: workers is a mapping, but must be a whole number, not negative (write for example workers: 3)");
    insta::assert_snapshot!(refused(&[("faults.0.after", "first")]), @"--set faults.0.after=first: a fault has at and after, but must have exactly one of at or after (remove one)");
    insta::assert_snapshot!(refused(&[("sweep..params", "3")]), @"--set sweep..params=3: a part of the key is empty (write for example --set sweep.chunk_size=10)");
    insta::assert_snapshot!(refused(&[("", "3")]), @"--set =3: a part of the key is empty (write for example --set sweep.chunk_size=10)");
    insta::assert_snapshot!(refused(&[("workers", "")]), @"--set workers=: has no value (null removes a key)");
    insta::assert_snapshot!(refused(&[("workers", "[3")]), @"--set workers=[3: not valid YAML: unclosed bracket '['");
    insta::assert_snapshot!(refused(&[("system.env.stale", "3")]), @r#"--set system.env.stale=3: the variable "stale" in env must be capital letters, digits and `_`, not first a digit (write for example STALE_THRESHOLD_MS)"#);
    insta::assert_snapshot!(refused(&[("name", "y")]), @r#"--set name=y: name is "y", but the file is called x (give both the same name)"#);
}

#[test]
fn an_argument_that_makes_the_file_wrong_is_named_before_the_place() {
    insta::assert_snapshot!(refused(&[("workers", "null")]), @"--set workers=null: scenarios/x.yaml:1:1: the scenario has no workers (write for example workers: 3)");
    insta::assert_snapshot!(refused(&[("seed", "3"), ("faults.0.kill.worker", "2"), ("workers", "2")]), @"--set faults.0.kill.worker=2: worker is 2, but of 2 workers the numbers are 0 to 1");
    insta::assert_snapshot!(refused(&[("seed", "3"), ("faults", "[]")]), @"--set faults=[]: scenarios/x.yaml:13:17: recovery_max cannot be judged, because no fault kills, pauses or restarts a worker (add one, or remove it)");
}

#[test]
fn several_arguments_that_only_together_make_the_file_wrong_are_all_named() {
    let text = BASE.replace("seed: 7", "timeout: 50s");
    let pairs = [("sweep.params", "2000"), ("sweep.params", "3000")];
    insta::assert_snapshot!(over(&text, &set(&pairs)).unwrap_err(), @"--set sweep.params=2000 --set sweep.params=3000: scenarios/x.yaml:6:10: timeout is 50s, but the sweep alone takes 100s (allow more)");
}

#[test]
fn a_backend_that_cannot_do_what_the_scenario_says_is_refused() {
    let to = |backend, text: &str| {
        let overrides = Overrides { backend: Some(backend), ..Overrides::default() };
        over(text, &overrides).expect_err("refused").to_string()
    };
    insta::assert_snapshot!(to(Backend::Static, BASE), @"--backend static: scenarios/x.yaml:13:17: recovery_max cannot be judged with backend static, where nobody takes over (remove it, or choose another backend)");
    let coordinator =
        BASE.replace("worker: busy", "role: coordinator").replace("  recovery_max: 1s\n", "");
    insta::assert_snapshot!(to(Backend::Static, &coordinator), @r#"--backend static: scenarios/x.yaml:10:19: role is "coordinator", but backend static has no coordinator, no aggregator and no broker (strike a worker instead, or choose another backend)"#);
    let control = BASE
        .replace("exactly-once", "lost-with-worker")
        .replace("  recovery_max: 1s\n", "")
        .replace("backend: redis", "backend: static");
    insta::assert_snapshot!(to(Backend::Redis, &control), @"--backend redis: scenarios/x.yaml:12:13: coverage is lost-with-worker, but backend redis loses nothing (write exactly-once, or backend: static)");
}

#[test]
fn a_file_that_is_wrong_by_itself_is_not_blamed_on_the_command_line() {
    let text = BASE.replace("workers: 3", "workers: 0");
    insta::assert_snapshot!(over(&text, &set(&[("workers", "3")])).unwrap_err(), @"scenarios/x.yaml:5:10: workers is 0, but at least 1 is needed (write for example workers: 3)");
}
