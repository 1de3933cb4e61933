//! Whatever goes wrong between the harness and a cluster: the line that people see, and that what passes
//! is got over.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use rstest::rstest;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection};
use serde_json::Value;

use crate::model::{Answer, ModelCluster, Rule};
use crate::support::{QUICK, Said, Sandbox, eventually, finish, shipped, struck};

fn run(model: &ModelCluster, arguments: &[&str]) -> Said {
    let sandbox = Sandbox::new();
    let file = shipped("m3-redis-fault");
    let on_cluster = ["run", &file, "--environment", "kubernetes"];
    let arguments = [&on_cluster, &QUICK[..], arguments].concat();
    finish(sandbox.harness(&arguments).env("KUBECONFIG", &model.kubeconfig))
}

/// The line after `error: `, of a harness that could not begin.
fn refused(said: &Said) -> String {
    assert_eq!(said.code, Some(69), "{said}");
    let line = said.stderr.lines().find_map(|line| line.strip_prefix("error: "));
    line.unwrap_or_else(|| panic!("no error: {said}")).to_owned()
}

#[test]
fn there_is_no_kubeconfig() {
    let sandbox = Sandbox::new();
    let file = shipped("m3-redis-fault");
    let mut harness = sandbox.harness(&["run", &file, "--environment", "kubernetes"]);
    let said = finish(harness.env("KUBECONFIG", "nowhere"));
    assert_snapshot!(refused(&said), @"no cluster: the kubeconfig nowhere cannot be read: No such file or directory (os error 2) (harness cluster up makes a cluster; another kubeconfig is named by KUBECONFIG)");
}

#[test]
fn the_context_is_wrong() {
    let said = run(&ModelCluster::start(), &["--context", "aks"]);
    assert_snapshot!(refused(&said), @"the kubeconfig has no context aks (--context takes: model)");
}

#[test]
fn nobody_listens() {
    let at = free_port();
    let line = refused(&at_server(&format!("http://{at}"))).replace(&at.to_string(), "127.0.0.1:1");
    assert_snapshot!(line, @"no cluster answers at http://127.0.0.1:1 (context model): connection refused (start it, or choose another with --context; harness cluster up makes one of kind)");
}

#[test]
fn nobody_knows_the_host() {
    let line = refused(&at_server("https://ttg.invalid:6443"));
    assert_snapshot!(line, @"no cluster: the host of https://ttg.invalid:6443 (context model) is not known (was the cluster deleted, or is a VPN off? another is chosen with --context)");
}

#[test]
fn its_certificate_is_not_of_those_that_are_trusted() {
    let at = stranger();
    let line = refused(&at_server(&format!("https://{at}")));
    let line = line.replace(&at.to_string(), "127.0.0.1:1");
    assert_snapshot!(line, @"the API server https://127.0.0.1:1 (context model) is not trusted: invalid peer certificate: UnknownIssuer (fetch its kubeconfig anew: kind export kubeconfig, az aks get-credentials, aws eks update-kubeconfig or gcloud container clusters get-credentials)");
}

#[test]
fn it_speaks_no_tls() {
    let model = ModelCluster::start();
    let text = std::fs::read_to_string(&model.kubeconfig).unwrap();
    let (start, end) = address(&text);
    let said = at_server(&text[start..end].replace("http://", "https://"));
    let line = refused(&said).replace(&text[start + "http://".len()..end], "127.0.0.1:1");
    assert_snapshot!(line, @"whoever answers at https://127.0.0.1:1 (context model) speaks no TLS (is it the address of an API server, and no proxy before it? another is chosen with --context)");
}

/// Runs where the kubeconfig names this server.
fn at_server(server: &str) -> Said {
    let model = ModelCluster::start();
    let text = std::fs::read_to_string(&model.kubeconfig).unwrap();
    let (start, end) = address(&text);
    let text = format!("{}{server}{}", &text[..start], &text[end..]);
    std::fs::write(&model.kubeconfig, text).unwrap();
    run(&model, &[])
}

/// Where the server's address stands in a kubeconfig.
fn address(kubeconfig: &str) -> (usize, usize) {
    let start = kubeconfig.find("http://").unwrap();
    (start, start + kubeconfig[start..].find('\'').unwrap())
}

/// An address of this machine where nobody listens.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server with a certificate that nobody vouches for.
fn stranger() -> SocketAddr {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
            // It ends with the client's refusal.
            let _ = session.complete_io(&mut &client);
        }
    });
    at
}

#[test]
fn the_program_that_logs_in_is_missing() {
    let model = ModelCluster::start();
    let text = std::fs::read_to_string(&model.kubeconfig).unwrap();
    let plugin = "exec: { apiVersion: client.authentication.k8s.io/v1, command: no-such-login, \
                  interactiveMode: Never }";
    std::fs::write(&model.kubeconfig, text.replace("token: not-secret", plugin)).unwrap();
    assert_snapshot!(refused(&run(&model, &[])), @"context model logs in by a program of its own, which cannot be run: No such file or directory (os error 2) (install the one that its user in the kubeconfig names under exec, such as kubelogin, aws or gke-gcloud-auth-plugin)");
}

#[rstest]
#[case::expired("GET", "/version", 401, "Unauthorized", "Unauthorized")]
#[case::forbidden(
    "PATCH",
    "/statefulsets/",
    403,
    "Forbidden",
    "statefulsets.apps \"ttg-redis\" is forbidden: User \"jane\" cannot patch resource \"statefulsets\" in API group \"apps\" in the namespace \"ttg-1\""
)]
#[case::quota(
    "PATCH",
    "/pods/",
    403,
    "Forbidden",
    "pods \"ttg-worker-0\" is forbidden: exceeded quota: small, requested: limits.cpu=500m, used: limits.cpu=2, limited: limits.cpu=2"
)]
#[case::limits(
    "PATCH",
    "/pods/",
    403,
    "Forbidden",
    "pods \"ttg-worker-0\" is forbidden: maximum cpu usage per Container is 200m, but limit is 500m"
)]
#[case::security(
    "PATCH",
    "/pods/",
    403,
    "Forbidden",
    "pods \"ttg-worker-0\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true"
)]
#[case::webhook(
    "PATCH",
    "/pods/",
    403,
    "Forbidden",
    "admission webhook \"policy.example.org\" denied the request: no owner"
)]
fn the_cluster_refuses(
    #[case] verb: &'static str,
    #[case] path: &'static str,
    #[case] code: u16,
    #[case] reason: &'static str,
    #[case] message: &'static str,
) {
    let model = ModelCluster::start();
    model.rule(Rule::always(verb, path, Answer::Status(code, reason, message, 0)));
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let case = name.rsplit("::").next().unwrap_or_default().to_owned();
    insta::with_settings!({ snapshot_suffix => case }, {
        assert_snapshot!("refused", refused(&run(&model, &[])));
    });
    let stays = |it: &Value| it["metadata"].get("deletionTimestamp").is_none();
    assert!(!model.all("namespaces").iter().any(stays), "the namespace is removed all the same");
}

#[test]
fn an_image_is_nowhere() {
    let model = ModelCluster::start();
    let sandbox = Sandbox::new();
    let file = shipped("m3-redis-fault");
    let mut harness = sandbox.harness(&["run", &file, "--environment", "kubernetes"]);
    harness.env("KUBECONFIG", &model.kubeconfig).env("TTG_WORKER_IMAGE", "ttg-nowhere:dev");
    let begun = std::time::Instant::now();
    assert_snapshot!(refused(&finish(&mut harness)), @"pod ttg-worker-0: image ttg-nowhere:dev cannot be pulled: ErrImagePull: not found (is its name right, and may the nodes pull it? on kind: docker pull ttg-nowhere:dev, then harness cluster up --image ttg-nowhere:dev; without a registry, ci/images makes brokers of our own)");
    assert!(begun.elapsed() < Duration::from_secs(20), "it is told within seconds");
}

/// Nodes take Pods, or do not.
fn set_nodes(model: &ModelCluster, open: bool) {
    for mut node in model.all("nodes") {
        node["spec"]["unschedulable"] = (!open).into();
        model.put("nodes", node);
    }
}

/// Says something of an object that is there, by its uid or another.
fn say(model: &ModelCluster, of: (&str, &str), uid: Option<&str>, reason: &str, message: &str) {
    eventually(|| {
        let object = model.all(of.1).into_iter().next().ok_or_else(|| format!("no {}", of.1))?;
        let metadata = &object["metadata"];
        let involved = serde_json::json!({
            "kind": of.0, "name": metadata["name"],
            "uid": uid.or(metadata["uid"].as_str()).unwrap_or_default(),
        });
        let name = format!("{reason}-{}", uid.unwrap_or("now"));
        model.put(
            "events",
            serde_json::json!({
                "metadata": { "name": name, "namespace": metadata["namespace"] }, "type": "Warning",
                "reason": reason, "message": message, "involvedObject": involved,
            }),
        );
        Ok(())
    });
}

#[test]
fn a_claim_that_does_not_bind_is_told_and_not_what_was_said_of_one_before() {
    let model = ModelCluster::start();
    set_nodes(&model, false);
    let said = std::thread::scope(|scope| {
        let run = scope.spawn(|| run(&model, &[]));
        let claim = ("PersistentVolumeClaim", "persistentvolumeclaims");
        let class = |name: &str| format!("storageclass.storage.k8s.io \"{name}\" not found");
        say(&model, claim, Some("before"), "ProvisioningFailed", &class("old"));
        eventually(|| {
            let asked = model.asked();
            let looked =
                asked.iter().any(|it| it.starts_with("GET") && it.contains("/data-ttg-redis"));
            if looked { Ok(()) } else { Err("nobody has looked at the claim".to_owned()) }
        });
        say(&model, claim, None, "ProvisioningFailed", &class("fast"));
        run.join().unwrap()
    });
    assert_snapshot!(refused(&said), @r#"PersistentVolumeClaim data-ttg-redis-0 does not bind: storageclass.storage.k8s.io "fast" not found (kubectl get storageclass shows what there is; --set broker.storage=ephemeral does without a volume)"#);
}

/// A run that ends with its test.
struct Followed(Child);

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A run without faults, whose lines on standard error come as they are written.
fn follow(model: &ModelCluster, sandbox: &Sandbox) -> (Followed, impl Iterator<Item = String>) {
    let file = shipped("m3-redis");
    let on_cluster = ["run", &file, "--environment", "kubernetes"];
    let mut harness = sandbox.harness(&[&on_cluster, &QUICK[..4]].concat());
    harness.env("KUBECONFIG", &model.kubeconfig).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut harness = harness.spawn().unwrap();
    let lines = BufReader::new(harness.stderr.take().unwrap()).lines().map_while(Result::ok);
    (Followed(harness), lines)
}

/// Shows the first Pod in a phase, with this state of its container, on a node of which nothing is known
/// here; or gives it back to the nodes there are.
fn show(model: &ModelCluster, state: Option<(&str, &Value)>) {
    let mut pod = eventually(|| {
        let pod = model.all("pods").into_iter().next();
        pod.ok_or_else(|| "there is no Pod".to_owned())
    });
    match state {
        Some((phase, state)) => {
            pod["spec"]["nodeName"] = "elsewhere".into();
            pod["status"] = serde_json::json!({ "phase": phase, "containerStatuses": [{
                "name": "redis", "image": "redis:7.2-alpine", "imageID": "", "ready": false,
                "restartCount": 0, "state": state }] });
        }
        None => {
            pod["spec"].as_object_mut().unwrap().remove("nodeName");
        }
    }
    model.put("pods", pod);
}

#[test]
fn a_node_that_the_cluster_adds_is_waited_for() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    set_nodes(&model, false);
    let (mut harness, mut lines) = follow(&model, &sandbox);
    let scale_up = "pod triggered scale-up: [{aks-nodepool1 1->2 (max: 3)}]";
    say(&model, ("Pod", "pods"), None, "TriggeredScaleUp", scale_up);
    // Before a look at events, the first line does not know of it.
    let told = lines.find(|line| line.contains("that the cluster adds")).unwrap_or_default();
    assert_snapshot!(told, @"a node that the cluster adds is waited for: pod ttg-redis-0 finds no node: 0/3 nodes are available: 3 node(s) were unschedulable. (make a node that fits it, or lift what keeps it away: kubectl describe nodes shows taints)");
    set_nodes(&model, true);
    let rest: Vec<String> = lines.collect();
    assert_eq!(harness.0.wait().unwrap().code(), Some(0), "{rest:#?}");
}

#[test]
fn a_registry_that_has_a_bad_moment_is_waited_for_and_why_is_not_forgotten() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    set_nodes(&model, false);
    let (mut harness, mut lines) = follow(&model, &sandbox);
    let waits = |reason: &str, message: &str| {
        let waiting = serde_json::json!({ "reason": reason, "message": message });
        show(&model, Some(("Pending", &serde_json::json!({ "waiting": waiting }))));
    };
    waits("ErrImagePull", "failed to do request: dial tcp 192.0.2.1:443: i/o timeout");
    let told = lines.find(|line| line.contains("is waited for")).unwrap_or_default();
    assert_snapshot!(told, @"an image is waited for: pod ttg-redis-0: image redis:7.2-alpine cannot be pulled: ErrImagePull: i/o timeout (is its name right, and may the nodes pull it? on kind: docker pull redis:7.2-alpine, then harness cluster up --image redis:7.2-alpine; without a registry, ci/images makes brokers of our own)");
    waits("ImagePullBackOff", "Back-off pulling image \"redis:7.2-alpine\"");
    set_nodes(&model, true);
    show(&model, None);
    let rest: Vec<String> = lines.collect();
    assert!(!rest.iter().any(|line| line.contains("ImagePullBackOff")), "{rest:#?}");
    assert_eq!(harness.0.wait().unwrap().code(), Some(0), "{rest:#?}");
}

#[test]
fn a_broker_that_is_not_ready_is_waited_for_with_what_its_probe_says() {
    let (model, sandbox) = (ModelCluster::start(), Sandbox::new());
    set_nodes(&model, false);
    let (mut harness, mut lines) = follow(&model, &sandbox);
    let running = serde_json::json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
    show(&model, Some(("Running", &running)));
    let said = "Startup probe failed: LOADING Redis is loading the dataset in memory";
    say(&model, ("Pod", "pods"), None, "Unhealthy", said);
    let told = lines.find(|line| line.contains("probe failed")).unwrap_or_default();
    assert_snapshot!(told, @"a container that is ready is waited for: pod ttg-redis-0 runs, and is not ready: Startup probe failed: LOADING Redis is loading the dataset in memory");
    set_nodes(&model, true);
    show(&model, None);
    let rest: Vec<String> = lines.collect();
    assert_eq!(harness.0.wait().unwrap().code(), Some(0), "{rest:#?}");
}

#[test]
fn no_node_takes_the_pods() {
    let model = ModelCluster::start();
    set_nodes(&model, false);
    assert_snapshot!(refused(&run(&model, &[])), @"pod ttg-redis-0 finds no node: 0/3 nodes are available: 3 node(s) were unschedulable. (make a node that fits it, or lift what keeps it away: kubectl describe nodes shows taints)");
}

#[test]
fn a_namespace_that_is_not_there() {
    let said = run(&ModelCluster::start(), &["--namespace", "nowhere"]);
    let line = refused(&said);
    let end = "namespaces \"nowhere\" not found (make it, or choose another with --namespace)";
    assert!(line.starts_with("cannot create ") && line.ends_with(end), "{line}");
}

#[rstest]
#[case::too_many_requests(
    "PATCH",
    "/pods/",
    Answer::Status(429, "TooManyRequests", "slow down", 1),
    3
)]
#[case::unavailable(
    "PATCH",
    "/statefulsets/",
    Answer::Status(503, "ServiceUnavailable", "not now", 0),
    3
)]
#[case::no_leader(
    "PATCH",
    "/pods/",
    Answer::Status(500, "InternalError", "etcdserver: leader changed", 0),
    2
)]
#[case::half_an_answer("PATCH", "/pods/", Answer::Half, 2)]
#[case::half_a_list("GET", "/pods", Answer::Half, 2)]
#[case::watch_is_too_old("WATCH", "/pods", Answer::Gone, 2)]
#[case::watch_is_refused_as_too_old(
    "WATCH",
    "/pods",
    Answer::Status(410, "Expired", "too old resource version", 0),
    2
)]
#[case::watch_is_torn("WATCH", "/pods", Answer::Torn, 5)]
#[case::port_forward_fails(
    "GET",
    "/portforward",
    Answer::Status(500, "InternalError", "the kubelet is busy", 0),
    2
)]
#[case::no_answer("PATCH", "/pods/", Answer::Silence, 1)]
#[case::log_breaks("GET", "/log", Answer::Half, 2)]
#[case::shell_fails("GET", "/exec", Answer::Half, 1)]
fn what_passes_is_got_over(
    #[case] verb: &'static str,
    #[case] path: &'static str,
    #[case] answer: Answer,
    #[case] times: u32,
) {
    let model = ModelCluster::start();
    model.rule(Rule::always(verb, path, answer).times(times));
    let said = run(&model, &[]);
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn an_api_server_that_restarts_in_mid_run_is_waited_for_and_that_is_told() {
    let model = ModelCluster::start();
    let sandbox = Sandbox::new();
    let file = shipped("m3-redis");
    let mut harness =
        sandbox.harness(&[&["run", &file, "--environment", "kubernetes"], &QUICK[..4]].concat());
    harness.env("KUBECONFIG", &model.kubeconfig);
    harness.stderr(Stdio::piped()).stdout(Stdio::piped());
    let harness = harness.spawn().unwrap();
    eventually(|| {
        let seen = crate::support::events(&sandbox.latest("m3-redis"));
        let begun = seen.iter().any(|event| event["event"] == "result");
        if begun { Ok(()) } else { Err("the run has no result".to_owned()) }
    });
    model.api_server_restarts(Duration::from_secs(2));
    let output = harness.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{stdout}");
    assert!(said.contains("the API server is away, which is waited for"), "{said}");
    assert!(said.contains("nothing is waited for any more"), "{said}");
}

#[test]
fn what_you_are_allowed_to_do_is_told_right_by_right() {
    let model = ModelCluster::start();
    let sandbox = Sandbox::new();
    let doctor = |arguments: &[&str]| {
        let arguments = [&["doctor", "--context", "model"], arguments].concat();
        finish(sandbox.harness(&arguments).env("KUBECONFIG", &model.kubeconfig))
    };
    let said = doctor(&[]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.contains("statefulsets.apps"), "{said}");
    let no = Answer::Text(
        201,
        r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{},"status":{"allowed":false}}"#,
    );
    model.rule(Rule::always("POST", "/selfsubjectaccessreviews", no));
    let said = doctor(&["--namespace", "team"]);
    assert_eq!(said.code, Some(69), "{said}");
    assert!(said.stdout.contains("no scenario runs there"), "{said}");
}

#[test]
fn the_roles_of_the_documents_grant_what_is_needed() {
    let document =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes-role.yaml");
    let said = Sandbox::new().run(&["doctor", "--role"]);
    assert_eq!(std::fs::read_to_string(document).unwrap(), said.stdout);
}

/// Verbs on each resource, as the roles of the documents grant them.
fn granted() -> BTreeSet<(String, String)> {
    let roles = Sandbox::new().run(&["doctor", "--role"]).stdout;
    let words = |line: &str, before: &str| -> Vec<String> {
        let list = line.trim().strip_prefix(before).unwrap_or_default();
        list.trim_matches(['[', ']'])
            .split(", ")
            .map(|it| it.trim_matches('"').to_owned())
            .collect()
    };
    let lines: Vec<&str> = roles.lines().collect();
    let rules = lines.windows(2).filter(|pair| pair[0].trim().starts_with("resources: "));
    let granted = rules.flat_map(|pair| {
        let resource = words(pair[0], "resources: ").remove(0);
        words(pair[1], "verbs: ").into_iter().map(move |verb| (resource.clone(), verb))
    });
    granted.collect()
}

/// Verbs on each resource that were used.
fn used(model: &ModelCluster) -> BTreeSet<(String, String)> {
    let mut used = BTreeSet::new();
    for asked in model.asked() {
        let (verb, path) = asked.split_once(' ').unwrap();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let rest = match parts[..] {
            ["api", _, ref rest @ ..] | ["apis", _, _, ref rest @ ..] => rest,
            _ => continue,
        };
        let rest = match rest {
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let resource = match rest {
            [resource, _, below] => format!("{resource}/{below}"),
            _ => rest[0].to_owned(),
        };
        let verb = match (verb, rest.len()) {
            ("GET", 1) => "list",
            ("GET", _) => "get",
            ("POST", _) => "create",
            (verb, _) => &verb.to_lowercase(),
        };
        used.insert((resource, verb.to_owned()));
    }
    used
}

#[test]
fn no_right_is_asked_for_that_is_not_used() {
    let model = ModelCluster::start();
    model.put("namespaces", serde_json::json!({ "metadata": { "name": "team" } }));
    let sandbox = Sandbox::new();
    let lost = "expect: { coverage: lost-with-broker }\n";
    for (backend, fault, more, arguments) in [
        ("rabbitmq", "wipe: { role: broker }", lost, &["--namespace", "team"][..]),
        ("redis", "partition: { worker: 0, for: 100ms }", "", &[]),
        ("redis", "drain: { node: busy, for: 100ms }", "", &[]),
    ] {
        let file = struck(&sandbox, "kubernetes", backend, fault, more);
        let said = finish(
            sandbox
                .harness(&[&["run", &file], arguments].concat())
                .env("KUBECONFIG", &model.kubeconfig),
        );
        assert!(matches!(said.code, Some(0 | 2)), "{said}");
    }
    let mut used = used(&model);
    for (resource, verb) in used.clone() {
        // What is applied is created where it is not there; a WebSocket is a GET, or was.
        if verb == "patch" && resource != "nodes"
            || verb == "get" && ["pods/exec", "pods/portforward"].contains(&&*resource)
        {
            used.insert((resource, "create".to_owned()));
        }
    }
    // Only where an event says that something is wrong.
    for resource in ["jobs", "persistentvolumeclaims", "statefulsets"] {
        used.insert((resource.to_owned(), "get".to_owned()));
    }
    // Only where a volume is still there when it is looked at first.
    used.insert(("persistentvolumeclaims".to_owned(), "watch".to_owned()));
    assert_eq!(granted(), used);
}
