//! Environment `kubernetes`, on the model of a cluster: the same scenarios as elsewhere, every fault that
//! it has, and nothing left behind.

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::model::ModelCluster;
use crate::support::{QUICK, Said, Sandbox, events, eventually, finish, json, shipped, struck};

const ON_CLUSTER: [&str; 2] = ["--environment", "kubernetes"];

fn run(model: &ModelCluster, sandbox: &Sandbox, arguments: &[&[&str]]) -> Said {
    finish(sandbox.harness(&arguments.concat()).env("KUBECONFIG", &model.kubeconfig))
}

/// Namespaces of runs that do not go yet.
fn namespaces(model: &ModelCluster) -> Vec<String> {
    let stays = |it: &&Value| it["metadata"].get("deletionTimestamp").is_none();
    let all = model.all("namespaces");
    all.iter().filter(stays).map(|it| it["metadata"]["name"].to_string()).collect()
}

#[rstest]
#[case::redis("m3-redis-fault")]
#[case::rabbitmq("m3-rabbitmq-fault")]
fn the_same_file_passes_on_a_cluster(#[case] scenario: &str) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let said = run(&model, &sandbox, &[&["run", &shipped(scenario)], &QUICK, &ON_CLUSTER]);
    assert_eq!(said.code, Some(0), "{said}");
    let results = json(sandbox.latest(scenario).join("results.json"));
    assert_eq!(results["environment"], "kubernetes");
    let proof = results["faults"][0]["proof"].as_str().unwrap();
    assert!(
        proof.starts_with("pod ttg-worker-") && proof.ends_with("ended by signal 9"),
        "{proof}"
    );
    let ready = &json(sandbox.latest(scenario).join("results.json"))["broker"];
    assert!(ready.as_str().unwrap().contains("volume of the default StorageClass"), "{ready}");
    assert_eq!(namespaces(&model), [""; 0]);
}

#[test]
fn in_static_mode_an_indexed_job_has_the_workers() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let quick = ["--set", "sweep.kernel.reference.work_ms=1"];
    let file = shipped("m1-static-fault");
    let said = run(&model, &sandbox, &[&["run", &file], &quick, &ON_CLUSTER]);
    assert_eq!(said.code, Some(0), "{said}");
    let proof = &json(sandbox.latest("m1-static-fault").join("results.json"))["faults"][0]["proof"];
    assert!(proof.as_str().unwrap().starts_with("pod ttg-workers-"), "{proof}");
}

#[rstest]
#[case::terminate("terminate: { worker: busy }", "ended by signal 15")]
#[case::pause("pause: { worker: busy, for: 1s }", "is stopped (state T)")]
#[case::restart("restart: { worker: busy }", "-life-2 (uid ")]
#[case::slow("slow: { worker: 0, share: 20%, for: 1s }", "runs 20 % of the time")]
#[case::deleted("kill: { worker: busy, by: delete }", "was deleted with no grace")]
#[case::coordinator("restart: { role: coordinator }", "now pod ttg-coordinator-life-2")]
#[case::broker_kill("kill: { role: broker, for: 300ms }", "exited with code 137, and is gone")]
#[case::broker_restart("restart: { role: broker }", "runs, now uid")]
#[case::broker_pause("pause: { role: broker, for: 1s }", "are stopped (state T)")]
#[case::cordon("cordon: { node: busy, for: 500ms }", "takes no more Pods")]
#[case::drain("drain: { node: busy, for: 500ms }", "was evicted from node model-worker")]
#[case::drain_broker("drain: { node: broker, for: 500ms }", "pod ttg-redis-0 (uid")]
fn a_fault_bites_on_a_cluster(#[case] fault: &str, #[case] proof: &str) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let said =
        run(&model, &sandbox, &[&["run", &struck(&sandbox, "kubernetes", "redis", fault, "")]]);
    assert_eq!(said.code, Some(0), "{said}");
    let results = json(sandbox.latest("struck").join("results.json"));
    let faults = results["faults"].as_array().unwrap();
    let seen: Vec<&str> = faults.iter().map(|it| it["proof"].as_str().unwrap()).collect();
    assert!(seen.iter().any(|it| it.contains(proof)), "{seen:?}");
    for node in model.all("nodes") {
        assert_ne!(node["spec"]["unschedulable"], true, "it was given back");
    }
}

#[rstest]
#[case::kill("kill: { role: broker }")]
#[case::restart("restart: { role: broker }")]
fn rabbitmq_comes_back_with_its_volume(#[case] fault: &str) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let file = struck(&sandbox, "kubernetes", "rabbitmq", fault, "");
    let said = run(&model, &sandbox, &[&["run", &file]]);
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn without_a_volume_only_the_container_of_a_broker_is_killed() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let more = "broker: { storage: ephemeral }\n";
    let file = struck(&sandbox, "kubernetes", "redis", "kill: { role: broker }", more);
    let said = run(&model, &sandbox, &[&["run", &file]]);
    assert_eq!(said.code, Some(0), "{said}");
    let run = sandbox.latest("struck");
    let proof = &json(run.join("results.json"))["faults"][0]["proof"];
    assert!(
        proof.as_str().unwrap().contains("the container of pod ttg-redis-0 exited with code 137")
    );
    let ready = json(run.join("results.json"))["broker"].to_string();
    assert!(ready.contains("data in an emptyDir, lost with its Pod"), "{ready}");
}

#[rstest]
#[case::volume("volume")]
#[case::ephemeral("ephemeral")]
fn a_wiped_broker_is_told(#[case] storage: &str) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let more =
        format!("broker: {{ storage: {storage} }}\nexpect: {{ coverage: lost-with-broker }}\n");
    let file = struck(&sandbox, "kubernetes", "redis", "wipe: { role: broker }", &more);
    let said = run(&model, &sandbox, &[&["run", &file]]);
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn a_partition_that_the_network_does_not_heed_is_no_success() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let fault = "partition: { worker: busy, for: 500ms }";
    let said =
        run(&model, &sandbox, &[&["run", &struck(&sandbox, "kubernetes", "redis", fault, "")]]);
    assert_eq!(said.code, Some(2), "{said}");
    assert!(said.stdout.contains("does not heed"), "{said}");
}

#[test]
fn in_a_namespace_that_is_there_only_what_is_ours_is_touched() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    model.put(
        "namespaces",
        serde_json::json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team" } }),
    );
    let stranger = serde_json::json!({ "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "theirs", "namespace": "team" } });
    model.put("secrets", stranger);
    let namespace = ["--namespace", "team"];
    let file = shipped("m3-redis-fault");
    let said = run(&model, &sandbox, &[&["run", &file], &QUICK, &ON_CLUSTER, &namespace]);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(namespaces(&model), ["\"team\""]);
    assert_eq!(model.all("secrets").len(), 1);
    for resource in
        ["statefulsets", "jobs", "services", "networkpolicies", "persistentvolumeclaims"]
    {
        assert_eq!(model.all(resource).len(), 0, "{resource}");
    }
    let of_others =
        |asked: &&String| asked.contains("/namespaces/") && !asked.contains("/namespaces/team");
    assert_eq!(model.asked().iter().find(of_others), None);
}

#[rstest]
#[case::interrupt(Signal::INT)]
#[case::terminate(Signal::TERM)]
#[case::kill(Signal::KILL)]
fn nothing_is_left_on_the_cluster_after(#[case] signal: Signal) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let slow = ["--set", "sweep.kernel.reference.work_ms=50"];
    let file = shipped("m3-redis-fault");
    let arguments = [&["run", &file], &ON_CLUSTER[..], &slow[..]].concat();
    let mut harness = sandbox.harness(&arguments);
    harness.env("KUBECONFIG", &model.kubeconfig);
    let mut harness = harness.spawn().unwrap();
    eventually(|| {
        let seen = events(&sandbox.latest("m3-redis-fault"));
        let begun = seen.iter().any(|event| event["event"] == "result");
        if begun { Ok(()) } else { Err("the run has no result".to_owned()) }
    });
    assert_eq!(namespaces(&model).len(), 1, "there is something that could be left");
    kill_process(Pid::from_child(&harness), signal).unwrap();
    harness.wait().unwrap();
    eventually(|| match namespaces(&model) {
        none if none.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

#[test]
fn cleanup_removes_what_a_dead_harness_of_this_machine_left_and_nothing_else() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let mut left =
        sandbox.harness(&[&["run", &shipped("m3-redis-fault")], &ON_CLUSTER[..]].concat());
    let mut left = left.env("KUBECONFIG", &model.kubeconfig).spawn().unwrap();
    eventually(|| match namespaces(&model)[..] {
        [] => Err("there is no namespace yet".to_owned()),
        _ => Ok(()),
    });
    let mut labels = model.all("namespaces")[0]["metadata"]["labels"].clone();
    left.kill().unwrap();
    left.wait().unwrap();
    eventually(|| match namespaces(&model)[..] {
        [] => Ok(()),
        _ => Err("its janitor has not done its work".to_owned()),
    });
    // As if it had been killed too.
    let ours = |name: &str, labels: &Value| {
        serde_json::json!({ "apiVersion": "v1",
        "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
    };
    model.put("namespaces", ours("ttg-left", &labels));
    labels["io.ttg.harness.host"] = "elsewhere.0.1".into();
    model.put("namespaces", ours("ttg-elsewhere", &labels));
    let said = run(&model, &sandbox, &[&["cleanup", "--context", "model", "--force"]]);
    assert_eq!(said.code, Some(0), "{said}");
    let words = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("removed namespace ttg-left of"), "{said}");
    assert!(words.contains("in use namespace ttg-elsewhere of"), "{said}");
    assert!(words.contains("another machine (elsewhere)"), "{said}");
    assert_eq!(namespaces(&model), ["\"ttg-elsewhere\""]);
}
