//! Environment `kubernetes`, on the model of a cluster: the same scenarios as elsewhere, every fault that
//! it has, and nothing left behind.

use std::process::Stdio;

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::model::{Answer, ModelCluster, Network, Rule};
use crate::support::{self, QUICK, Said, Sandbox, events, eventually, finish, shipped, struck};

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

/// A namespace that is somebody else's.
fn make_team(model: &ModelCluster) {
    let team = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team" } });
    model.put("namespaces", team);
}

#[rstest]
#[case::redis("m3-redis-fault")]
#[case::rabbitmq("m3-rabbitmq-fault")]
fn the_same_file_passes_on_a_cluster(#[case] scenario: &str) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let said = run(&model, &sandbox, &[&["run", &shipped(scenario)], &QUICK, &ON_CLUSTER]);
    assert_eq!(said.code, Some(0), "{said}");
    let results = support::json(sandbox.latest(scenario).join("results.json"));
    assert_eq!(results["environment"], "kubernetes");
    let proof = results["faults"][0]["proof"].as_str().unwrap();
    assert!(
        proof.starts_with("pod ttg-worker-") && proof.ends_with("ended by signal 9"),
        "{proof}"
    );
    let ready = &support::json(sandbox.latest(scenario).join("results.json"))["broker"];
    assert!(ready.as_str().unwrap().contains("volume of the default StorageClass"), "{ready}");
    assert_eq!(namespaces(&model), [""; 0]);
}

#[test]
fn in_static_mode_an_indexed_job_has_the_workers() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let quick = ["--set", "sweep.kernel={work_ms: 1}"];
    let file = shipped("m1-static-fault");
    let said = run(&model, &sandbox, &[&["run", &file], &quick, &ON_CLUSTER]);
    assert_eq!(said.code, Some(0), "{said}");
    let proof = &support::json(sandbox.latest("m1-static-fault").join("results.json"))["faults"][0]
        ["proof"];
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
    let results = support::json(sandbox.latest("struck").join("results.json"));
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
    let proof = &support::json(run.join("results.json"))["faults"][0]["proof"];
    assert!(
        proof.as_str().unwrap().contains("the container of pod ttg-redis-0 exited with code 137")
    );
    let ready = support::json(run.join("results.json"))["broker"].to_string();
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

#[rstest]
// Longer than it is waited for that the network acts.
#[case::heedless(Network::Heedless, 40, 2, "does not heed the NetworkPolicy")]
#[case::new_only(Network::NewOnly, 80, 2, "new connections, but those that were open go on: ")]
#[case::strict(Network::Strict, 10, 0, "no new connection to 10.96.0.")]
fn a_partition_bites_where_nothing_gets_through(
    #[case] network: Network,
    #[case] work_ms: u32,
    #[case] code: i32,
    #[case] proof: &str,
) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    model.network(network);
    let fault = "partition: { worker: busy, for: 1s }";
    let file = struck(&sandbox, "kubernetes", "redis", fault, "");
    let work = format!("sweep.kernel={{work_ms: {work_ms}}}");
    let said = run(&model, &sandbox, &[&["run", &file, "--set", &work]]);
    assert_eq!(said.code, Some(code), "{said}");
    let results = support::json(sandbox.latest("struck").join("results.json"));
    let seen = results["faults"][0]["proof"].as_str().unwrap();
    assert!(seen.contains(proof), "{seen}");
    assert_eq!(seen.contains("sends the same again and again, in vain"), code == 0, "{seen}");
    assert_eq!(model.all("networkpolicies").len(), 0, "it was mended");
}

#[test]
fn of_two_runs_in_one_namespace_only_one_is_cut_off() {
    let (model, one, other) = (ModelCluster::start(), Sandbox::new(), Sandbox::new());
    model.network(Network::Strict);
    make_team(&model);
    let run = |sandbox: &Sandbox, fault: &str| {
        let file = struck(sandbox, "kubernetes", "redis", fault, "");
        let mut harness = sandbox.harness(&["run", &file, "--namespace", "team"]);
        harness.env("KUBECONFIG", &model.kubeconfig).stdout(Stdio::null()).spawn().unwrap()
    };
    let runs = [
        run(&one, "partition: { worker: 0, for: 1s }"),
        run(&other, "pause: { worker: 0, for: 1s }"),
    ];
    for mut run in runs {
        assert_eq!(run.wait().unwrap().code(), Some(0));
    }
    let selected = model.selected_by("-cut");
    assert_eq!(selected.len(), 1, "{selected:?}");
}

#[test]
fn in_a_namespace_that_is_there_only_what_is_ours_is_touched() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    make_team(&model);
    let stranger = json!({ "apiVersion": "v1", "kind": "Secret",
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
    let slow = ["--set", "sweep.kernel={work_ms: 50}"];
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
        json!({ "apiVersion": "v1",
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

/// What a refused request is answered with.
fn refuses(verb: &'static str, path: &'static str, after: u32) -> Rule {
    let answer = Answer::Status(403, "Forbidden", "not today", 0);
    Rule { after, ..Rule::always(verb, path, answer).times(1) }
}

#[rstest]
// The first two make the broker; the third is to scale it to none.
#[case::kill("kill: { role: broker }", refuses("PATCH", "/statefulsets/ttg-redis", 1))]
#[case::restart("restart: { role: broker }", refuses("PATCH", "/statefulsets/ttg-redis", 1))]
#[case::wipe("wipe: { role: broker }", refuses("PATCH", "/statefulsets/ttg-redis", 1))]
#[case::drain("drain: { node: broker, for: 300ms }", refuses("POST", "/ttg-redis-0/eviction", 0))]
fn a_step_against_the_broker_that_fails_is_undone(#[case] fault: &str, #[case] rule: Rule) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    model.rule(rule);
    let seen = missed(&model, &sandbox, fault);
    assert!(seen.contains("not today"), "{seen}");
}

#[rstest]
#[case::kill("kill: { role: broker }")]
#[case::wipe("wipe: { role: broker }")]
fn a_broker_that_does_not_stop_is_not_killed(#[case] fault: &str) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    model.rule(Rule::always("SHELL", "STOP", Answer::Says("STOP 7 D")));
    let seen = missed(&model, &sandbox, fault);
    assert_eq!(seen, "the processes of pod ttg-redis-0 did not stop (state D)");
}

#[test]
fn a_broker_that_hears_the_kubelet_is_not_killed() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    model.rule(Rule::always("SHELL", "STOP", Answer::Says("STOP 7 T")));
    model.rule(Rule::always("SHELL", "KILL", Answer::Says("KILL 7 Z")));
    let seen = missed(&model, &sandbox, "kill: { role: broker }");
    assert_eq!(
        seen,
        "the container of pod ttg-redis-0 exited with code 0, and not by SIGKILL (code 137)"
    );
}

/// The proof of a fault that does not bite, in a sweep that comes to its end all the same.
fn missed(model: &ModelCluster, sandbox: &Sandbox, fault: &str) -> String {
    let said = run(model, sandbox, &[&["run", &struck(sandbox, "kubernetes", "redis", fault, "")]]);
    assert_eq!(said.code, Some(2), "{said}");
    let results = support::json(sandbox.latest("struck").join("results.json"));
    assert_eq!(results["reasons"], json!(["faults: 1 of 1 fault did not bite"]), "{said}");
    let faults = results["faults"].as_array().unwrap();
    let missed = faults.iter().find(|it| it["bit"] == false);
    missed.unwrap_or_else(|| panic!("all did: {said}"))["proof"].as_str().unwrap().to_owned()
}

#[test]
fn a_busy_api_server_is_no_disruption_budget() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let busy = Answer::Status(429, "TooManyRequests", "please try again later", 1);
    model.rule(Rule::always("POST", "/eviction", busy).times(1));
    let fault = "drain: { node: busy, for: 300ms }";
    let file = struck(&sandbox, "kubernetes", "redis", fault, "");
    let said = run(&model, &sandbox, &[&["run", &file]]);
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn a_node_that_somebody_does_not_leave_is_not_drained() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let of_a_budget = r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
        "reason": "TooManyRequests", "message": "Cannot evict pod as it would violate the budget.",
        "details": {"causes": [{"reason": "DisruptionBudget", "message": "mine needs 1"}]}}"#;
    model.rule(Rule::always("POST", "/eviction", Answer::Text(429, of_a_budget)).times(1));
    // The worker beside the broker stays, and the broker leaves.
    let seen = missed(&model, &sandbox, "drain: { node: broker, for: 300ms }");
    assert!(seen.contains("a PodDisruptionBudget that is not ours selects it"), "{seen}");
    let results = support::json(sandbox.latest("struck").join("results.json"));
    let faults = results["faults"].as_array().unwrap();
    let node = faults.iter().find(|it| it["proof"].to_string().contains("takes no more Pods"));
    let (node, seen) = (node.unwrap(), node.unwrap()["proof"].to_string());
    assert_eq!(node["bit"], false, "{node}");
    assert!(
        seen.contains("was evicted: it exited") && seen.contains("violate the budget"),
        "{seen}"
    );
}

#[test]
fn what_somebody_else_has_cordoned_stays_so() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    let fault = "cordon: { node: busy, for: 300ms }";
    let file = struck(&sandbox, "kubernetes", "redis", fault, "");
    let mut harness = sandbox.harness(&["run", &file]);
    let mut harness = harness.env("KUBECONFIG", &model.kubeconfig).spawn().unwrap();
    let is_placed = |pod: &&Value| pod["spec"]["nodeName"].is_string();
    // Broker, coordinator, aggregator and three workers.
    eventually(|| match model.all("pods").iter().filter(is_placed).count() {
        6 => Ok(()),
        count => Err(format!("{count} Pods are on nodes")),
    });
    for mut node in model.all("nodes") {
        node["spec"]["unschedulable"] = true.into();
        model.put("nodes", node);
    }
    assert_eq!(harness.wait().unwrap().code(), Some(2));
    for node in model.all("nodes") {
        assert_eq!(node["spec"]["unschedulable"], true, "{node}");
    }
}

#[rstest]
#[case::in_a_namespace_that_is_there(&["--namespace", "team"])]
#[case::where_namespaces_may_not_be_listed(&[])]
fn a_node_is_given_back_by_whoever_outlives_a_harness(#[case] namespace: &[&str]) {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    make_team(&model);
    let no = Answer::Status(403, "Forbidden", "namespaces is forbidden", 0);
    model.rule(Rule::always("GET", "/api/v1/namespaces$", no));
    let fault = "cordon: { node: busy, for: 1h }";
    let file = struck(&sandbox, "kubernetes", "redis", fault, "");
    let mut harness = sandbox.harness(&[&["run", &*file], namespace].concat());
    let mut harness = harness.env("KUBECONFIG", &model.kubeconfig).spawn().unwrap();
    let cordoned = || model.all("nodes").iter().any(|it| it["spec"]["unschedulable"] == true);
    eventually(|| if cordoned() { Ok(()) } else { Err("no node is cordoned".to_owned()) });
    harness.kill().unwrap();
    harness.wait().unwrap();
    eventually(|| if cordoned() { Err("a node is cordoned still".to_owned()) } else { Ok(()) });
}

#[test]
fn a_node_is_given_back_at_the_end_of_a_run_that_may_not_list_any() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    make_team(&model);
    let no = Answer::Status(403, "Forbidden", "nodes is forbidden", 0);
    model.rule(Rule::always("GET", "/api/v1/nodes$", no.clone()));
    // What heals the fault fails, but not what ends the run.
    let fault = "cordon: { node: busy, for: 300ms }";
    model.rule(Rule { after: 1, ..Rule::always("PATCH", "/nodes/", no).times(1) });
    let file = struck(&sandbox, "kubernetes", "redis", fault, "");
    let said = run(&model, &sandbox, &[&["run", &file, "--namespace", "team"]]);
    assert_eq!(said.code, Some(2), "{said}");
    for node in model.all("nodes") {
        assert_ne!(node["spec"]["unschedulable"], true, "it was given back");
    }
}
