//! What a node does with a Pod: it runs its containers, shows how they are, and ends them.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use super::containers::{Program, Spec, environment, free_ports};
use super::hand::Table;
use super::objects::text;
use super::{Network, Shared, network, store};

/// What a kubelet gives a container at least, between SIGTERM and SIGKILL.
const LEAST: Duration = Duration::from_secs(2);

/// How often it is looked whether a broker is ready.
const PROBE: Duration = Duration::from_millis(50);

/// Puts a Pod on a node, and starts its containers there.
pub(super) fn start(shared: &Arc<Shared>, namespace: &str, name: &str, node: &str) {
    let pod = shared.store.lock().unwrap().change("pods", namespace, name, |pod| {
        pod["spec"]["nodeName"] = json!(node);
        pod["status"] = json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "True" }] });
    });
    shared.tell();
    let Some(pod) = pod else { return };
    let shared = Arc::clone(shared);
    tokio::task::spawn_local(async move { run(&shared, &pod).await });
}

/// Says why a Pod is on no node.
pub(super) fn wait(shared: &Shared, namespace: &str, name: &str, why: &str) {
    let before = shared.store.lock().unwrap().version;
    shared.store.lock().unwrap().change("pods", namespace, name, |pod| {
        // Somebody has put it on one since it was looked at.
        if !text(pod, &["spec", "nodeName"]).is_empty() {
            return;
        }
        pod["status"] = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled",
            "status": "False", "reason": "Unschedulable", "message": why }] });
    });
    if shared.store.lock().unwrap().version != before {
        shared.tell();
    }
}

/// Deletes a Pod: with no grace at once, though its processes go on for a moment; else when they have
/// ended.
pub(super) fn delete(shared: &Shared, namespace: &str, name: &str, grace: Option<u64>) {
    let pod = {
        let mut store = shared.store.lock().unwrap();
        let own = |pod: &Value| pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        match store.get("pods", namespace, name).cloned() {
            Some(pod) if grace == Some(0) => {
                store.remove("pods", namespace, name).map(|_| (pod, 0))
            }
            Some(pod) => {
                let grace = grace.unwrap_or_else(|| own(&pod));
                store.change("pods", namespace, name, |it| {
                    it["metadata"]["deletionTimestamp"] = json!(store::now());
                });
                Some((pod, grace))
            }
            None => None,
        }
    };
    shared.tell();
    let Some((pod, grace)) = pod else { return };
    // One that never ran has nothing to end.
    if text(&pod, &["spec", "nodeName"]).is_empty() {
        shared.store.lock().unwrap().remove("pods", namespace, name);
        shared.tell();
        return;
    }
    shared.containers.end(text(&pod, &["metadata", "uid"]), LEAST.max(Duration::from_secs(grace)));
}

/// Runs a Pod to its end.
async fn run(shared: &Arc<Shared>, pod: &Value) {
    let (namespace, name) = store::place(pod);
    let uid = text(pod, &["metadata", "uid"]).to_owned();
    let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
    let Some(first) = containers.first() else { return };
    if let Some((reason, message)) = cannot_be_had(text(first, &["image"])) {
        set(
            shared,
            pod,
            &containers,
            first,
            &json!({ "waiting": { "reason": reason, "message": message } }),
        );
        let _ = shared.containers.asked_to_end(&uid).await;
        shared.store.lock().unwrap().remove("pods", &namespace, &name);
        shared.tell();
        return;
    }
    let hand = containers.get(1).map(|hand| {
        let (shared, pod, hand) = (Arc::clone(shared), pod.clone(), hand.clone());
        tokio::task::spawn_local(async move { run_hand(&shared, &pod, &hand).await })
    });
    let table = Table::of(&shared.directory, &uid);
    let always = text(pod, &["spec", "restartPolicy"]) != "Never";
    let mut restarts = 0;
    loop {
        let spec = spec(shared, pod, first);
        let (child, log) = match shared.containers.start(&spec) {
            Ok(started) => started,
            Err(error) => panic!("the model cannot start a container: {error}"),
        };
        table.begins();
        let running = json!({ "running": { "startedAt": store::now() } });
        set(shared, pod, &containers, first, &running);
        let ready = announce(shared, pod, &spec.program);
        let (code, asked) = tokio::select! {
            ended = until_the_end(shared, &uid, &spec.container, child) => ended,
            () = ready => unreachable!("it never ends"),
        };
        shared.containers.ended(&uid, &spec.container);
        table.ends();
        let ended = json!({ "terminated": { "exitCode": code, "reason": if code == 0 { "Completed" }
            else { "Error" }, "finishedAt": store::now() } });
        if always && !asked {
            restarts += 1;
            restart(shared, pod, &ended, restarts);
            continue;
        }
        log.end();
        set(shared, pod, &containers, first, &ended);
        if !asked {
            let _ = shared.containers.asked_to_end(&uid).await;
        }
        // A Pod is there until all of its containers have ended.
        if let Some(hand) = hand {
            hand.await.unwrap();
        }
        if asked {
            shared.store.lock().unwrap().change("pods", &namespace, &name, |it| {
                it["status"]["phase"] = json!(if code == 0 { "Succeeded" } else { "Failed" });
            });
        }
        remove_if_same(shared, &namespace, &name, &uid);
        return;
    }
}

/// Runs a Pod's second container to its end.
async fn run_hand(shared: &Arc<Shared>, pod: &Value, container: &Value) {
    let (namespace, name) = store::place(pod);
    let (uid, own) = (text(pod, &["metadata", "uid"]), text(container, &["name"]));
    let words = container["command"].as_array().into_iter().flatten();
    let words = words.filter_map(|it| it.as_str().map(str::to_owned)).collect();
    let script = text(&container["env"][0], &["value"]).to_owned();
    let program = Program::Hand { table: Table::of(&shared.directory, uid), script, words };
    let (uid, container) = (uid.to_owned(), own.to_owned());
    let spec = Spec { uid, container, program, environment: Vec::new() };
    let (child, _) = shared.containers.start(&spec).expect("there is a shell");
    shared.tell();
    let (code, _) = until_the_end(shared, &spec.uid, own, child).await;
    shared.containers.ended(&spec.uid, own);
    shared.store.lock().unwrap().change("pods", &namespace, &name, |it| {
        let ended = json!({ "terminated": { "exitCode": code, "reason": "Completed" } });
        let statuses = it["status"]["containerStatuses"].as_array_mut();
        for status in statuses.into_iter().flatten().filter(|it| it["name"] == own) {
            status["state"] = ended.clone();
        }
    });
    shared.tell();
}

fn remove_if_same(shared: &Shared, namespace: &str, name: &str, uid: &str) {
    let mut store = shared.store.lock().unwrap();
    let is_same =
        store.get("pods", namespace, name).is_some_and(|it| text(it, &["metadata", "uid"]) == uid);
    if is_same {
        store.remove("pods", namespace, name);
    }
    drop(store);
    shared.tell();
}

/// Waits for the end of a process, and ends it when the Pod is to go. Its exit code, and whether the Pod
/// was to go.
async fn until_the_end(
    shared: &Shared,
    uid: &str,
    container: &str,
    mut child: Child,
) -> (i32, bool) {
    let code = |status: std::process::ExitStatus| {
        use std::os::unix::process::ExitStatusExt;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    };
    tokio::select! {
        status = child.wait() => {
            let leaving = shared.containers.is_asked_to_end(uid);
            (code(status.unwrap()), leaving)
        }
        grace = shared.containers.asked_to_end(uid) => {
            shared.containers.kill(uid, container, Signal::TERM);
            let status = match timeout(grace, child.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    shared.containers.kill(uid, container, Signal::KILL);
                    child.wait().await
                }
            };
            (code(status.unwrap()), true)
        }
    }
}

/// What an image that is not there is answered with.
fn cannot_be_had(image: &str) -> Option<(&'static str, String)> {
    image.starts_with("ttg-nowhere").then(|| {
        let said = format!("failed to resolve reference \"docker.io/library/{image}\": not found");
        ("ErrImagePull", said)
    })
}

fn spec(shared: &Arc<Shared>, pod: &Value, container: &Value) -> Spec {
    let (namespace, name) = store::place(pod);
    let secret = |secret: &str, key: &str| {
        let store = shared.store.lock().unwrap();
        let data = &store.get("secrets", &namespace, secret)?["data"];
        decode(data[key].as_str()?)
    };
    let mut environment = environment(container, secret);
    let words = |field: &str| -> Vec<String> {
        let all = container[field].as_array().into_iter().flatten();
        all.filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let command = words("command");
    let keeps = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let ephemeral = keeps.clone().any(|it| it["name"] == "data" && it.get("emptyDir").is_some());
    let place = if ephemeral { text(pod, &["metadata", "uid"]) } else { &*name };
    let claim = {
        let store = shared.store.lock().unwrap();
        let claim = store.get("persistentvolumeclaims", &namespace, &format!("data-{name}"));
        claim.map(|it| text(it, &["metadata", "uid"]).to_owned()).unwrap_or_default()
    };
    let directory = shared.directory.join(&namespace).join(format!("{place}-{claim}"));
    let program = match command.first().map(String::as_str) {
        Some("redis-server") => {
            let port = port_of(shared, &namespace, &name);
            Program::Redis { directory, port, arguments: without_places(&command[1..]) }
        }
        Some("rabbitmq-server") => {
            environment.retain(|(name, _)| name.starts_with("RABBITMQ_DEFAULT"));
            Program::RabbitMq { directory, port: port_of(shared, &namespace, &name) }
        }
        _ => {
            let uid = text(pod, &["metadata", "uid"]);
            reach_brokers(shared, &namespace, uid, &mut environment);
            Program::System(words("args"))
        }
    };
    let (uid, container) = (text(pod, &["metadata", "uid"]), text(container, &["name"]));
    Spec { uid: uid.to_owned(), container: container.to_owned(), program, environment }
}

/// A broker's arguments without those that are about its own file system and network.
fn without_places(arguments: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--bind" || word == "--dir" {
            while words.peek().is_some_and(|next| !next.starts_with("--")) {
                words.next();
            }
            continue;
        }
        kept.push(word.clone());
    }
    kept
}

/// The port of this machine that stands for a broker's, whichever Pod it is in.
fn port_of(shared: &Shared, namespace: &str, pod: &str) -> u16 {
    let mut store = shared.store.lock().unwrap();
    let name = pod.trim_end_matches("-0");
    let known = store.get("modelports", namespace, name).and_then(|it| it["port"].as_u64());
    if let Some(port) = known {
        return port as u16;
    }
    let port = free_ports();
    let object = json!({ "metadata": { "name": name, "namespace": namespace }, "port": port });
    store.put("modelports", object);
    port
}

/// Names of brokers become ports of this machine.
fn reach_brokers(
    shared: &Arc<Shared>,
    namespace: &str,
    uid: &str,
    environment: &mut [(String, String)],
) {
    for of in ["REDIS", "RABBITMQ"] {
        let (host, port) = (format!("{of}_HOST"), format!("{of}_PORT"));
        let Some(name) = environment.iter().find(|(it, _)| *it == host).map(|it| it.1.clone())
        else {
            continue;
        };
        let mut at = port_of(shared, namespace, &name);
        if *shared.network.lock().unwrap() != Network::Heedless {
            at = network::wire(shared, uid, at);
        }
        for (variable, value) in environment.iter_mut() {
            if *variable == host {
                *value = "127.0.0.1".to_owned();
            } else if *variable == port {
                *value = at.to_string();
            }
        }
    }
}

/// Says that a broker is ready once it is; others are as soon as they run.
async fn announce(shared: &Shared, pod: &Value, program: &Program) {
    let uid = text(pod, &["metadata", "uid"]);
    let container = text(&pod["spec"]["containers"][0], &["name"]);
    loop {
        let ready = match program {
            Program::System(_) | Program::Hand { .. } => true,
            Program::Redis { port, .. } => {
                tokio::net::TcpStream::connect(("127.0.0.1", *port)).await.is_ok()
            }
            Program::RabbitMq { .. } => {
                let log = shared.containers.log(uid, container);
                // Of this life, and not of one before it in the same Pod.
                let said = log.map(|log| log.text()).unwrap_or_default();
                let life = said.rsplit("Starting RabbitMQ").next().unwrap_or_default();
                said.contains("Starting RabbitMQ") && life.contains("Server startup complete")
            }
        };
        if ready {
            break;
        }
        sleep(PROBE).await;
    }
    let (namespace, name) = store::place(pod);
    shared.store.lock().unwrap().change("pods", &namespace, &name, |it| {
        it["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "True" },
            { "type": "Ready", "status": "True" }]);
    });
    shared.tell();
    std::future::pending::<()>().await;
}

/// Shows the state of a Pod's first container; the others run.
fn set(shared: &Shared, pod: &Value, containers: &[Value], first: &Value, state: &Value) {
    let (namespace, name) = store::place(pod);
    shared.store.lock().unwrap().change("pods", &namespace, &name, |it| {
        let restarts = it["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0);
        let last = it["status"]["containerStatuses"][0]["lastState"].clone();
        let second = it["status"]["containerStatuses"][1]["state"].clone();
        let runs = state.get("running").is_some();
        let statuses: Vec<Value> = containers
            .iter()
            .map(|container| {
                let is_first = container["name"] == first["name"];
                let of = if is_first { state.clone() } else if second.is_object() {
                    second.clone()
                } else {
                    json!({ "running": { "startedAt": store::now() } })
                };
                json!({ "name": container["name"], "image": container["image"], "imageID": "",
                    "ready": runs, "restartCount": if is_first { restarts } else { 0 }, "state": of,
                    "lastState": if is_first && last.is_object() { last.clone() } else { json!({}) } })
            })
            .collect();
        it["status"]["containerStatuses"] = json!(statuses);
        if runs {
            it["status"]["phase"] = json!("Running");
        } else {
            it["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "True" }]);
        }
    });
    shared.tell();
}

/// A container that ended is about to be started again.
fn restart(shared: &Shared, pod: &Value, ended: &Value, restarts: u32) {
    let (namespace, name) = store::place(pod);
    shared.store.lock().unwrap().change("pods", &namespace, &name, |it| {
        let status = &mut it["status"]["containerStatuses"][0];
        status["lastState"] = ended.clone();
        status["restartCount"] = json!(restarts);
        it["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "True" },
            { "type": "Ready", "status": "False" }]);
    });
    shared.tell();
}

/// Base64.
fn decode(text: &str) -> Option<String> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits: u32 = 0;
    let (mut count, mut bytes) = (0, Vec::new());
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | u32::try_from(DIGITS.iter().position(|it| *it == c)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    String::from_utf8(bytes).ok()
}
