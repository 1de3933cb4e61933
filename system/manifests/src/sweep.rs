//! A whole sweep: its broker, its workers, its coordinator and aggregator, as YAML documents.

use super::autoscale::{self, KEDA, Range};
use super::broker::{Broker, BrokerSpec, Engine, broker};
use super::disruption::{broker_budget, lone_workers_budget, scaled_workers_budget};
use super::labels::{Component, Labels};
use super::network::Peer;
use super::process::{ProcessSpec, role_job, worker_pod};
use super::static_job::static_job;
use super::storage::Storage;
use super::yaml::document;

/// How often a coordinator or aggregator that failed is tried again, and a share of static mode.
const RETRIES: i32 = 6;

/// How long everybody waits for a broker: it may be pulled from a registry, or moved to another node.
const PATIENCE: &str = "600";

/// How long a worker waits for a first chunk: the coordinator may start later.
const IDLE: &str = "300";

/// Who says how many workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// So many, each a Pod of its own.
    Fixed(u32),
    /// A HorizontalPodAutoscaler.
    Horizontal(Range),
    /// KEDA.
    Keda(Range),
}

/// The broker of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerChoice {
    /// Which one, and how.
    pub engine: Engine,
    /// Its image.
    pub image: String,
    /// Where its data is.
    pub storage: Storage,
}

/// A sweep that is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepSpec {
    /// Image of `ttg`.
    pub image: String,
    /// Namespace; none: that of whoever applies it. KEDA needs it.
    pub namespace: Option<String>,
    /// Parameters in the sweep.
    pub params: u64,
    /// Parameters per chunk; in static mode, per batch.
    pub chunk_size: u64,
    /// Milliseconds of simulated work per parameter.
    pub work_ms: f64,
    /// Value of `ttg.io/milestone`.
    pub milestone: Option<String>,
    /// How many workers.
    pub scaling: Scaling,
    /// Its broker; none: static mode.
    pub broker: Option<BrokerChoice>,
    /// Secret that images are pulled with.
    pub pull_secret: Option<String>,
}

/// The sweep's objects, each a YAML document, in an order in which they can be applied.
pub fn documents(sweep: &SweepSpec) -> Vec<String> {
    match &sweep.broker {
        Some(choice) => sweep.queue_mode(choice),
        None => sweep.static_mode(),
    }
}

impl SweepSpec {
    fn static_mode(&self) -> Vec<String> {
        let workers = match self.scaling {
            Scaling::Fixed(workers) => i32::try_from(workers).unwrap_or(i32::MAX),
            Scaling::Horizontal(range) | Scaling::Keda(range) => range.min,
        };
        let mut process = self.process(Component::Worker, "worker");
        let variables = [
            ("USE_QUEUE", "false".to_owned()),
            ("TOTAL_WORKERS", workers.to_string()),
            ("TOTAL_PARAMETERS", self.params.to_string()),
            ("BATCH_SIZE", self.chunk_size.to_string()),
            ("SIMULATE_WORK_MS", self.work_ms.to_string()),
        ];
        process.environment.extend(owned(variables));
        vec![document(&static_job(&process, workers, RETRIES))]
    }

    fn queue_mode(&self, choice: &BrokerChoice) -> Vec<String> {
        let spec = self.broker_spec(choice);
        let Broker { secret, config_map, network_policy, service, stateful_set } = broker(&spec);
        let mut documents = Vec::new();
        documents.extend(secret.as_ref().map(document));
        documents.extend(config_map.as_ref().map(document));
        documents.extend([
            document(&network_policy),
            document(&service),
            document(&broker_budget(&spec)),
            document(&stateful_set),
        ]);
        let range = [
            ("TOTAL_PARAMETERS", self.params.to_string()),
            ("CHUNK_SIZE", self.chunk_size.to_string()),
        ];
        let mut coordinator = self.process(Component::Coordinator, "coordinator");
        coordinator.environment.extend(owned(range));
        documents.push(document(&role_job(&coordinator, RETRIES)));
        documents.extend(self.workers(choice));
        let aggregator = self.process(Component::Aggregator, "aggregate");
        documents.push(document(&role_job(&aggregator, RETRIES)));
        documents
    }

    fn workers(&self, choice: &BrokerChoice) -> Vec<String> {
        let mut process = self.process(Component::Worker, "worker");
        process.environment.extend(owned([
            ("USE_QUEUE", "true".to_owned()),
            ("SIMULATE_WORK_MS", self.work_ms.to_string()),
            ("IDLE_TIMEOUT_SECONDS", IDLE.to_owned()),
        ]));
        let namespace = self.namespace.as_deref();
        let range = match self.scaling {
            Scaling::Fixed(count) => {
                let budget = lone_workers_budget(&process.labels, namespace);
                let pods = (1..=u64::from(count)).map(|id| document(&numbered(&process, id)));
                return std::iter::once(document(&budget)).chain(pods).collect();
            }
            Scaling::Horizontal(range) | Scaling::Keda(range) => range,
        };
        let mut documents = vec![
            document(&scaled_workers_budget(&process.labels, namespace)),
            document(&autoscale::scaled_workers(&process, range.min)),
        ];
        if let Scaling::Keda(_) = self.scaling {
            let name = choice.engine.component().name();
            let host = namespace.map_or(name.to_owned(), |space| format!("{name}.{space}.svc"));
            let objects = autoscale::keda(&process, &choice.engine, &host, range);
            documents.extend(objects.iter().map(document));
        } else {
            documents.push(document(&autoscale::horizontal(&process, range)));
        }
        documents
    }

    fn broker_spec(&self, choice: &BrokerChoice) -> BrokerSpec {
        let keda = matches!(self.scaling, Scaling::Keda(_));
        BrokerSpec {
            name: choice.engine.component().name().to_owned(),
            namespace: self.namespace.clone(),
            engine: choice.engine.clone(),
            image: choice.image.clone(),
            storage: choice.storage.clone(),
            chunks: self.params.div_ceil(self.chunk_size.max(1)),
            labels: self.labels(),
            peers: if keda { vec![Peer::Namespace(KEDA.to_owned())] } else { Vec::new() },
            pull_secret: self.pull_secret.clone(),
        }
    }

    /// A role, with what every role is told of the broker.
    fn process(&self, component: Component, command: &str) -> ProcessSpec {
        let engine = self.broker.as_ref().map(|choice| &choice.engine);
        let (mut environment, mut credentials) = (Vec::new(), None);
        if let Some(engine) = engine {
            let name = engine.component().name().to_owned();
            environment.extend(owned([
                ("QUEUE_BACKEND", backend(engine).to_owned()),
                (if name == "ttg-redis" { "REDIS_HOST" } else { "RABBITMQ_HOST" }, name),
                ("BROKER_PATIENCE_SECONDS", PATIENCE.to_owned()),
            ]));
            if let Engine::RabbitMq { credentials: own, .. } = engine {
                credentials = Some(own.secret.clone());
            }
        }
        ProcessSpec {
            name: component.name().to_owned(),
            namespace: self.namespace.clone(),
            component,
            image: self.image.clone(),
            args: vec![command.to_owned()],
            environment,
            credentials,
            labels: self.labels(),
            worker_id: None,
            memory: None,
            pull_secret: self.pull_secret.clone(),
        }
    }

    fn labels(&self) -> Labels {
        let engine = self.broker.as_ref().map(|choice| &choice.engine);
        Labels {
            managed_by: "ttg".to_owned(),
            mode: if engine.is_some() { "queue" } else { "static" }.to_owned(),
            backend: engine.map(|engine| backend(engine).to_owned()),
            run_id: None,
            milestone: self.milestone.clone(),
            others: Default::default(),
        }
    }
}

fn backend(engine: &Engine) -> &'static str {
    match engine {
        Engine::Redis { .. } => "redis",
        Engine::RabbitMq { .. } => "rabbitmq",
    }
}

fn numbered(process: &ProcessSpec, id: u64) -> k8s_openapi::api::core::v1::Pod {
    let mut process = ProcessSpec {
        name: format!("{}-{id}", process.name),
        worker_id: Some(id),
        ..process.clone()
    };
    process.environment.push(("WORKER_ID".to_owned(), id.to_string()));
    worker_pod(&process)
}

fn owned<const N: usize>(variables: [(&str, String); N]) -> [(String, String); N] {
    variables.map(|(name, value)| (name.to_owned(), value))
}
