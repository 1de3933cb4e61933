//! Environment `kubernetes`, on the model of a cluster.

use rstest::rstest;

use crate::model::{Answer, ModelCluster, Rule};
use crate::support::{Said, Sandbox, finish, json, shipped};

const ON_CLUSTER: [&str; 2] = ["--environment", "kubernetes"];

/// A tenth of the work, which leaves the efficiency to the costs of a debug build.
const QUICK: [&str; 6] = [
    "--set",
    "sweep.kernel.reference.work_ms=10",
    "--set",
    "expect.efficiency_min=null",
    "--set",
    "expect.recovery_max=5s",
];

fn run(model: &ModelCluster, sandbox: &Sandbox, arguments: &[&[&str]]) -> Said {
    let arguments = [&["run"], &arguments.concat()[..], &ON_CLUSTER[..]].concat();
    finish(sandbox.harness(&arguments).env("KUBECONFIG", &model.kubeconfig))
}

#[rstest]
#[case::redis("m3-redis-fault")]
#[case::rabbitmq("m3-rabbitmq-fault")]
fn the_same_file_passes_on_a_cluster(#[case] scenario: &str) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let said = run(&model, &sandbox, &[&[&shipped(scenario)], &QUICK]);
    assert_eq!(said.code, Some(0), "{said}");
    let results = json(sandbox.latest(scenario).join("results.json"));
    assert_eq!(results["environment"], "kubernetes");
    let proof = results["faults"][0]["proof"].as_str().unwrap();
    assert!(proof.starts_with("pod ttg-worker-") && proof.ends_with("ended by signal 9"), "{proof}");
    assert_eq!(model.all("namespaces").iter().filter(|it| it["status"]["phase"] != "Terminating").count(), 0);
}

#[test]
fn somebody_who_may_not_make_a_namespace_is_told_the_verb_and_the_resource() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let refused = "namespaces \"ttg-1\" is forbidden: User \"jane\" cannot patch resource \"namespaces\" in API group \"\" in the namespace \"ttg-1\"";
    model.rule(Rule::always("PATCH", "/namespaces/", Answer::Status(403, "Forbidden", refused, 0)));
    let said = run(&model, &sandbox, &[&[&shipped("m3-redis")]]);
    assert_eq!(said.code, Some(69), "{said}");
    assert!(said.stderr.contains("harness doctor --context model"), "{said}");
}
