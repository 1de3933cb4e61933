//! The labels by which objects are found: those of Kubernetes, and the project's own.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

/// Value of `ttg.io/project`, on everything of ours.
pub const PROJECT: &str = "distributed-compute";

/// What an object belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// A worker.
    Worker,
    /// The coordinator.
    Coordinator,
    /// The aggregator.
    Aggregator,
    /// Redis.
    Redis,
    /// RabbitMQ.
    RabbitMq,
}

impl Component {
    /// Value of `app.kubernetes.io/name`, and the usual name of its objects.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "ttg-worker",
            Self::Coordinator => "ttg-coordinator",
            Self::Aggregator => "ttg-aggregator",
            Self::Redis => "ttg-redis",
            Self::RabbitMq => "ttg-rabbitmq",
        }
    }

    /// The image that its makers publish; ours is whichever was made.
    pub fn official_image(self) -> &'static str {
        match self {
            Self::Redis => "redis:7.2-alpine",
            Self::RabbitMq => "rabbitmq:3-management",
            Self::Worker | Self::Coordinator | Self::Aggregator => "ttg-worker:dev",
        }
    }

    /// Value of `app.kubernetes.io/component`.
    pub fn role(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Coordinator => "coordinator",
            Self::Aggregator => "aggregator",
            Self::Redis | Self::RabbitMq => "broker",
        }
    }
}

/// What the objects of one sweep have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// `app.kubernetes.io/managed-by`.
    pub managed_by: String,
    /// `ttg.io/mode`: `queue` or `static`.
    pub mode: String,
    /// `ttg.io/queue-backend`; none in static mode.
    pub backend: Option<String>,
    /// `ttg.io/run-id`, by which one sweep is told from another in a namespace.
    pub run_id: Option<String>,
    /// `ttg.io/milestone`, where it applies.
    pub milestone: Option<String>,
    /// Further ones, on every object and Pod.
    pub others: BTreeMap<String, String>,
}

impl Labels {
    /// Those of an object.
    pub fn of(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.others.clone();
        let mut set = |key: &str, value: &str| labels.insert(key.to_owned(), value.to_owned());
        set("app.kubernetes.io/name", component.name());
        set("app.kubernetes.io/component", component.role());
        set("app.kubernetes.io/part-of", "ttg");
        set("app.kubernetes.io/managed-by", &self.managed_by);
        set("app.kubernetes.io/version", env!("CARGO_PKG_VERSION"));
        set("ttg.io/project", PROJECT);
        set("ttg.io/mode", &self.mode);
        let optional = [
            ("ttg.io/queue-backend", &self.backend),
            ("ttg.io/run-id", &self.run_id),
            ("ttg.io/milestone", &self.milestone),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                set(key, value);
            }
        }
        labels
    }

    /// What never changes of them: a controller's selector cannot be changed either.
    pub fn selector(&self, component: Component) -> BTreeMap<String, String> {
        let mut selector = self.project();
        selector.insert("app.kubernetes.io/name".to_owned(), component.name().to_owned());
        selector
    }

    /// Selects every Pod of the sweep.
    pub(super) fn project(&self) -> BTreeMap<String, String> {
        let mut selector = BTreeMap::from([("ttg.io/project".to_owned(), PROJECT.to_owned())]);
        if let Some(run) = &self.run_id {
            selector.insert("ttg.io/run-id".to_owned(), run.clone());
        }
        selector
    }

    pub(super) fn metadata(
        &self,
        component: Component,
        name: &str,
        namespace: Option<&str>,
    ) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: namespace.map(str::to_owned),
            labels: Some(self.of(component)),
            ..Default::default()
        }
    }
}

pub(super) fn matching(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..Default::default() }
}
