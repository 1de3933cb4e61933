//! Every planted defect is caught; a defect that is not caught would say so.

use ttg_defects::Defect;

use crate::support::{Sandbox, scenarios};

/// All of them on all backends, as a user would run it: some six minutes on two cores.
#[test]
fn every_defect_is_caught() {
    let sandbox = Sandbox::new();
    let directory = scenarios().display().to_string();
    let said = sandbox.run(&["selftest", "--scenarios", &directory]);
    assert_eq!(said.code, Some(0), "{said}");
    let caught = |defect: &Defect, backend: &str| {
        let caught = format!("caught  {backend:10}{} ", defect.name);
        said.stdout.lines().any(|line| line.starts_with(&caught))
    };
    for defect in ttg_defects::all() {
        for backend in defect.on {
            assert!(caught(defect, backend), "{} on {backend}: {said}", defect.name);
        }
    }
    let planted: usize = ttg_defects::all().map(|defect| defect.on.len()).sum();
    let outcome = format!("{planted} planted defects: all caught; ");
    assert!(said.stdout.lines().last().unwrap().starts_with(&outcome), "{said}");
    assert!(said.stdout.lines().all(|line| line.chars().count() <= 80), "{said}");
    sandbox.assert_that_nothing_lives();
}

#[test]
fn names_are_used_once_and_fit_into_their_column() {
    let mut names: Vec<&str> = ttg_defects::all().map(|defect| defect.name).collect();
    assert!(names.iter().all(|name| name.len() < 28), "{names:?}");
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_list_names_every_defect_and_runs_none() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["selftest", "--list"]);
    for defect in ttg_defects::all() {
        let line = format!("{} ", defect.name);
        assert!(said.stdout.lines().any(|it| it.starts_with(&line)), "{line}: {said}");
    }
    assert!(sandbox.entries().is_empty());
}

#[test]
fn a_defect_that_does_not_show_is_called_missed() {
    let sandbox = Sandbox::new();
    // 1,000 is a multiple of 10: the defect that drops the remainder has none to drop.
    let scenario = std::fs::read_to_string(scenarios().join("quickstart.yaml")).unwrap();
    assert!(scenario.contains("params: 1003"));
    let even = scenario.replace("params: 1003", "params: 1000").replace("recovery_max: 1s", "");
    sandbox.write("quickstart.yaml", &even);
    let said =
        sandbox.run(&["selftest", "drops-remainder", "--backend", "embedded", "--scenarios", "."]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.starts_with("MISSED  embedded  drops-remainder "), "{said}");
    assert!(said.stdout.contains("the verdict is pass, not fail"), "{said}");
    assert!(said.stdout.contains("1 planted defect: 0 caught, 1 MISSED; 1 correct run"), "{said}");
}

#[test]
fn where_the_correct_system_does_not_pass_nothing_is_caught() {
    let sandbox = Sandbox::new();
    let scenario = std::fs::read_to_string(scenarios().join("quickstart.yaml")).unwrap();
    let hopeless = scenario.replace("recovery_max: 1s", "recovery_max: 1ms");
    assert_ne!(hopeless, scenario);
    sandbox.write("quickstart.yaml", &hopeless);
    let said =
        sandbox.run(&["selftest", "drops-remainder", "--backend", "embedded", "--scenarios", "."]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.starts_with("MISSED  embedded  drops-remainder "), "{said}");
    assert!(said.stdout.contains("the correct system does not"), "{said}");
    assert!(said.stdout.contains("0 of 1 correct run passed"), "{said}");
}

#[test]
fn a_defect_where_it_cannot_be_is_refused() {
    let said = Sandbox::new().run(&["selftest", "acknowledges-early", "--backend", "rabbitmq"]);
    assert_eq!(said.code, Some(64), "{said}");
    assert!(said.stderr.contains("cannot be planted on rabbitmq"), "{said}");
}
