//! A broker: a StatefulSet of one Pod that keeps its data, and the Service under whose name it is
//! found again.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, PodTemplateSpec, Secret, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use ttg_contract::fsync::Fsync;

use super::labels::{Component, Labels, matching};
use super::network::{self, Peer};
use super::pod::BrokerImage;
use super::rabbitmq::{self, Credentials};
use super::redis;
use super::storage::Storage;

/// Which broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Redis.
    Redis {
        /// When what it confirms is on its disk.
        fsync: Fsync,
    },
    /// RabbitMQ.
    RabbitMq {
        /// Its only user.
        credentials: Credentials,
        /// Whether every message is traced (`amq.rabbitmq.trace`), for onlookers.
        trace: bool,
    },
}

impl Engine {
    /// What its objects are labelled as.
    pub fn component(&self) -> Component {
        match self {
            Self::Redis { .. } => Component::Redis,
            Self::RabbitMq { .. } => Component::RabbitMq,
        }
    }

    /// Port that its clients connect to.
    pub fn port(&self) -> u16 {
        // The constants are small.
        u16::try_from(self.ports().0).unwrap_or(0)
    }

    fn ports(&self) -> (i32, &'static str) {
        match self {
            Self::Redis { .. } => (redis::PORT, "redis"),
            Self::RabbitMq { .. } => (rabbitmq::PORT, "amqp"),
        }
    }

    fn volume_size(&self, chunks: u64) -> String {
        match self {
            Self::Redis { .. } => redis::Size::of(chunks).volume(),
            Self::RabbitMq { .. } => rabbitmq::volume(chunks),
        }
    }
}

/// A broker that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerSpec {
    /// Name of its objects; that of the Service is its host name.
    pub name: String,
    /// Namespace; none: that of whoever applies it.
    pub namespace: Option<String>,
    /// Which one, and how.
    pub engine: Engine,
    /// Such as `redis:7.2-alpine`.
    pub image: String,
    /// Where its data is.
    pub storage: Storage,
    /// Chunks of the sweep, by which its memory and its disk are measured.
    pub chunks: u64,
    /// Labels of the sweep.
    pub labels: Labels,
    /// Who else may speak to it.
    pub peers: Vec<Peer>,
    /// Secret that its image is pulled with; none: what the service account has.
    pub pull_secret: Option<String>,
}

/// The objects of a broker, in an order in which they can be applied.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Its user and password, where it has any and they are made here.
    pub secret: Option<Secret>,
    /// Its settings, where they are a file.
    pub config_map: Option<ConfigMap>,
    /// Who may speak to it.
    pub network_policy: NetworkPolicy,
    /// The name that it is found under.
    pub service: Service,
    /// The broker itself.
    pub stateful_set: StatefulSet,
}

/// Builds the objects of a broker.
pub fn broker(spec: &BrokerSpec) -> Broker {
    let component = spec.engine.component();
    let metadata = || spec.labels.metadata(component, &spec.name, spec.namespace.as_deref());
    let (port, _) = spec.engine.ports();
    let (mut secret, mut config_map) = (None, None);
    if let Engine::RabbitMq { credentials, trace } = &spec.engine {
        secret = credentials.build(metadata());
        config_map = Some(rabbitmq::config_map(metadata(), *trace));
    }
    Broker {
        secret,
        config_map,
        network_policy: network::policy(
            &spec.labels,
            component,
            &spec.name,
            spec.namespace.as_deref(),
            port,
            &spec.peers,
        ),
        service: spec.service(metadata()),
        stateful_set: spec.stateful_set(metadata()),
    }
}

impl BrokerSpec {
    /// With an address of its own, which stays the same when the Pod comes back with another: no
    /// cache of names is in the way then.
    fn service(&self, metadata: ObjectMeta) -> Service {
        let (port, name) = self.engine.ports();
        Service {
            metadata,
            spec: Some(ServiceSpec {
                selector: Some(self.labels.selector(self.engine.component())),
                ports: Some(vec![ServicePort {
                    name: Some(name.to_owned()),
                    port,
                    protocol: Some("TCP".to_owned()),
                    target_port: Some(IntOrString::Int(port)),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            status: None,
        }
    }

    fn broker_image(&self) -> BrokerImage<'_> {
        BrokerImage { image: &self.image, pull_secret: self.pull_secret.as_deref() }
    }

    fn stateful_set(&self, metadata: ObjectMeta) -> StatefulSet {
        let component = self.engine.component();
        let size = &*self.engine.volume_size(self.chunks);
        let mut pod = match &self.engine {
            Engine::Redis { fsync } => redis::pod(self.broker_image(), self.chunks, *fsync),
            Engine::RabbitMq { credentials, .. } => {
                rabbitmq::pod(self.broker_image(), &self.name, credentials)
            }
        };
        pod.volumes.get_or_insert_default().extend(self.storage.volume(size));
        let labels = self.labels.of(component);
        let claims = self.storage.claim(size, labels.clone());
        StatefulSet {
            metadata,
            spec: Some(StatefulSetSpec {
                replicas: Some(1),
                service_name: Some(self.name.clone()),
                selector: matching(self.labels.selector(component)),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta { labels: Some(labels), ..Default::default() }),
                    spec: Some(pod),
                },
                volume_claim_templates: claims.map(|claim| vec![claim]),
                ..Default::default()
            }),
            status: None,
        }
    }
}
