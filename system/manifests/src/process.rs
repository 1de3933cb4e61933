//! The system's own processes: workers as Pods, coordinator and aggregator as Jobs.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::labels::{Component, Labels};
use super::pod::{self, NOBODY, Resources, secret_variable, spread, variable};
use super::rabbitmq::{PASSWORD_KEY, USERNAME_KEY};

const RESOURCES: Resources = Resources { requests: ["100m", "128Mi"], limits: ["500m", "256Mi"] };

/// Bytes of memory that a process asks for, as in `RESOURCES`.
const REQUESTED_MEMORY: u64 = 128 << 20;

/// One process of the system, or a foreign one in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Name of its Pod or Job.
    pub name: String,
    /// Namespace; none: that of whoever applies it.
    pub namespace: Option<String>,
    /// Which role.
    pub component: Component,
    /// Such as `ttg-worker:dev`.
    pub image: String,
    /// Arguments to the image's entry point; none for a foreign image that needs none.
    pub args: Vec<String>,
    /// Variables of the wire contract.
    pub environment: Vec<(String, String)>,
    /// Secret with RabbitMQ's user and password.
    pub credentials: Option<String>,
    /// Labels of the sweep.
    pub labels: Labels,
    /// `ttg.io/worker-id`, of a worker.
    pub worker_id: Option<u64>,
    /// Bytes of memory that it may have instead of the usual 256 MiB.
    pub memory: Option<u64>,
    /// Secret that its image is pulled with; none: what the service account has.
    pub pull_secret: Option<String>,
}

/// A worker: a Pod of its own, since a Job that bears no failure takes the siblings of a failed Pod
/// down with it.
pub fn worker_pod(process: &ProcessSpec) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(process.name.clone()),
            namespace: process.namespace.clone(),
            labels: Some(process.labels()),
            ..Default::default()
        },
        spec: Some(process.pod_spec("Never")),
        status: None,
    }
}

/// A process that is to finish once, tried again `retries` times if it fails. A Pod that its node
/// lost is no failure of it.
pub fn role_job(process: &ProcessSpec, retries: i32) -> Job {
    Job {
        metadata: ObjectMeta {
            name: Some(process.name.clone()),
            namespace: process.namespace.clone(),
            labels: Some(process.labels()),
            ..Default::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(retries),
            pod_failure_policy: Some(disruption_is_no_failure()),
            template: process.template("Never"),
            ..Default::default()
        }),
        status: None,
    }
}

pub(super) fn disruption_is_no_failure() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".to_owned(),
            on_exit_codes: None,
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                type_: "DisruptionTarget".to_owned(),
                status: "True".to_owned(),
            }]),
        }],
    }
}

impl ProcessSpec {
    fn labels(&self) -> std::collections::BTreeMap<String, String> {
        let mut labels = self.labels.of(self.component);
        if let Some(id) = self.worker_id {
            labels.insert("ttg.io/worker-id".to_owned(), id.to_string());
        }
        labels
    }

    pub(super) fn template(&self, restart: &str) -> PodTemplateSpec {
        PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(self.labels()), ..Default::default() }),
            spec: Some(self.pod_spec(restart)),
        }
    }

    fn pod_spec(&self, restart: &str) -> PodSpec {
        let mut environment: Vec<_> =
            self.environment.iter().map(|(name, value)| variable(name, value)).collect();
        if let Some(secret) = &self.credentials {
            environment.push(secret_variable("RABBITMQ_USER", secret, USERNAME_KEY));
            environment.push(secret_variable("RABBITMQ_PASSWORD", secret, PASSWORD_KEY));
        }
        let container = Container {
            name: self.component.role().to_owned(),
            image: Some(self.image.clone()),
            args: (!self.args.is_empty()).then(|| self.args.clone()),
            env: Some(environment),
            resources: Some(self.resources()),
            ..Default::default()
        };
        PodSpec {
            restart_policy: Some(restart.to_owned()),
            termination_grace_period_seconds: Some(30),
            topology_spread_constraints: (self.component == Component::Worker)
                .then(|| spread(&self.labels, self.component)),
            ..pod::hardened(NOBODY, container, self.pull_secret.as_deref())
        }
    }

    fn resources(&self) -> k8s_openapi::api::core::v1::ResourceRequirements {
        let mut resources = RESOURCES.build();
        if let Some(bytes) = self.memory {
            let set = |map: &mut Option<std::collections::BTreeMap<_, _>>, bytes: u64| {
                map.get_or_insert_default()
                    .insert("memory".to_owned(), Quantity(bytes.to_string()));
            };
            set(&mut resources.limits, bytes);
            if bytes < REQUESTED_MEMORY {
                set(&mut resources.requests, bytes);
            }
        }
        resources
    }
}
