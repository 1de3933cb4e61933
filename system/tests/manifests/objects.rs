//! The builders that the harness uses too.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use rstest::rstest;
use ttg_manifests::{
    Broker, BrokerSpec, Component, Credentials, Engine, Fsync, Labels, ProcessSpec, Storage,
    broker, document, role_job, scaled_workers, static_job, worker_pod,
};

use crate::restricted::violations;

pub(crate) fn labels(backend: Option<&str>) -> Labels {
    Labels {
        managed_by: "ttg-harness".to_owned(),
        mode: if backend.is_some() { "queue" } else { "static" }.to_owned(),
        backend: backend.map(str::to_owned),
        run_id: Some("a1b2c3".to_owned()),
        milestone: Some("m3".to_owned()),
        others: [("example.org/owner".to_owned(), "ann".to_owned())].into(),
    }
}

fn process(component: Component, args: &[&str]) -> ProcessSpec {
    ProcessSpec {
        name: format!("{}-7", component.name()),
        namespace: Some("sweeps".to_owned()),
        component,
        image: "ttg-worker:dev".to_owned(),
        args: args.iter().map(|&word| word.to_owned()).collect(),
        environment: vec![("WORKER_ID".to_owned(), "7".to_owned())],
        credentials: Some("ttg-rabbitmq".to_owned()),
        labels: labels(Some("rabbitmq")),
        worker_id: Some(7),
        memory: None,
        pull_secret: None,
    }
}

pub(crate) fn a_worker() -> Pod {
    worker_pod(&process(Component::Worker, &["worker"]))
}

fn a_broker(engine: Engine, storage: Storage) -> Broker {
    let component = engine.component();
    let backend = if component == Component::Redis { "redis" } else { "rabbitmq" };
    broker(&BrokerSpec {
        name: component.name().to_owned(),
        namespace: Some("sweeps".to_owned()),
        engine,
        image: component.official_image().to_owned(),
        storage,
        chunks: 100,
        labels: labels(Some(backend)),
        peers: Vec::new(),
        pull_secret: None,
    })
}

fn redis(fsync: Fsync) -> Engine {
    Engine::Redis { fsync }
}

fn rabbitmq(trace: bool) -> Engine {
    let content = Some(("ttg".to_owned(), "not-a-real-one".to_owned()));
    Engine::RabbitMq {
        credentials: Credentials { secret: "ttg-rabbitmq".to_owned(), content },
        trace,
    }
}

fn assert_looks_like(name: &str, documents: &[String]) {
    // The version of this program is in every label.
    let text = documents.join("---\n").replace(env!("CARGO_PKG_VERSION"), "<version>");
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(format!("object_{name}"), text);
    });
}

#[test]
fn processes() {
    assert_looks_like("worker", &[document(&a_worker())]);
    let foreign =
        worker_pod(&ProcessSpec { memory: Some(64 << 20), ..process(Component::Worker, &[]) });
    assert_looks_like("foreign_worker", &[document(&foreign)]);
    let coordinator = role_job(&process(Component::Coordinator, &["coordinator"]), 0);
    assert_looks_like("coordinator", &[document(&coordinator)]);
    let shares = static_job(&process(Component::Worker, &["worker"]), 3, 0);
    assert_looks_like("static_job", &[document(&shares)]);
}

#[rstest]
#[case("redis", redis(Fsync::Always), Storage::Claim { class: None })]
#[case("redis_ephemeral", redis(Fsync::No), Storage::EmptyDir)]
#[case("rabbitmq", rabbitmq(false), Storage::Claim { class: Some("fast".to_owned()) })]
#[case("rabbitmq_traced", rabbitmq(true), Storage::EmptyDir)]
fn brokers(#[case] name: &str, #[case] engine: Engine, #[case] storage: Storage) {
    let made = a_broker(engine, storage);
    let mut documents: Vec<String> = Vec::new();
    documents.extend(made.secret.as_ref().map(document));
    documents.extend(made.config_map.as_ref().map(document));
    documents.extend([document(&made.network_policy), document(&made.service)]);
    documents.push(document(&made.stateful_set));
    assert_looks_like(name, &documents);
}

/// The specification of every Pod that can come of these objects.
fn all_pods() -> Vec<PodSpec> {
    let worker = process(Component::Worker, &["worker"]);
    let aggregator = process(Component::Aggregator, &["aggregate"]);
    let jobs = [role_job(&aggregator, 6), static_job(&worker, 3, 0)];
    let brokers = [redis(Fsync::EverySec), rabbitmq(true)].into_iter().flat_map(|engine| {
        [Storage::EmptyDir, Storage::Claim { class: None }]
            .map(|storage| a_broker(engine.clone(), storage).stateful_set)
    });
    let sets = brokers.chain([scaled_workers(&worker, 2)]);
    let mut pods: Vec<_> = jobs.into_iter().filter_map(|job| job.spec?.template.spec).collect();
    pods.extend(sets.filter_map(|set| set.spec?.template.spec));
    pods.extend(a_worker().spec);
    pods
}

#[test]
fn every_pod_passes_the_standard_restricted() {
    let pods = all_pods();
    assert_eq!(pods.len(), 8);
    for pod in pods {
        assert_eq!(violations(&pod), [""; 0], "{}", document(&pod));
    }
}

#[test]
fn whoever_has_less_memory_asks_for_no_more() {
    let worker = ProcessSpec { memory: Some(32 << 20), ..process(Component::Worker, &[]) };
    let spec = worker_pod(&worker).spec.unwrap();
    let resources = spec.containers[0].resources.clone().unwrap();
    for map in [resources.limits, resources.requests] {
        assert_eq!(map.unwrap()["memory"], Quantity("33554432".to_owned()));
    }
}

#[test]
fn a_selector_is_among_the_labels_it_selects() {
    for component in [Component::Worker, Component::Redis, Component::RabbitMq] {
        let labels = labels(Some("redis"));
        let all = labels.of(component);
        for (key, value) in labels.selector(component) {
            assert_eq!(all.get(&key), Some(&value));
        }
        assert!(!labels.selector(component).contains_key("app.kubernetes.io/version"));
    }
}
