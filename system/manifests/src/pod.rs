//! What all Pods have in common: they pass the Pod Security Standard `restricted`, and their root
//! cannot be written to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction,
    LocalObjectReference, PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile,
    SecretKeySelector, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::labels::{Component, Labels, matching};

/// User and group of the worker's image, and of foreign ones.
pub(super) const NOBODY: i64 = 65532;

/// User and group of brokers: that of their official images, which is Redis's user and RabbitMQ's
/// user and group.
pub(super) const BROKER: i64 = 999;

/// The image of a broker, and the Secret that it is pulled with, if there is one.
#[derive(Clone, Copy)]
pub(super) struct BrokerImage<'a> {
    pub(super) image: &'a str,
    pub(super) pull_secret: Option<&'a str>,
}

/// What a container asks for and may have.
pub(super) struct Resources<'a> {
    pub(super) requests: [&'a str; 2],
    pub(super) limits: [&'a str; 2],
}

impl Resources<'_> {
    pub(super) fn build(&self) -> ResourceRequirements {
        let both = |[cpu, memory]: [&str; 2]| {
            Some(BTreeMap::from([
                ("cpu".to_owned(), Quantity(cpu.to_owned())),
                ("memory".to_owned(), Quantity(memory.to_owned())),
            ]))
        };
        ResourceRequirements {
            requests: both(self.requests),
            limits: both(self.limits),
            ..Default::default()
        }
    }
}

/// A Pod of one container that runs as `user`, and may write to `/tmp` and to what it mounts. Its image is
/// pulled with a Secret, if one is named.
pub(super) fn hardened(user: i64, mut container: Container, pull_secret: Option<&str>) -> PodSpec {
    container.image_pull_policy = Some("IfNotPresent".to_owned());
    container.security_context = Some(SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        ..Default::default()
    });
    container.volume_mounts.get_or_insert_default().push(mount("tmp", "/tmp"));
    PodSpec {
        automount_service_account_token: Some(false),
        containers: vec![container],
        // Variables of the namespace's Services would shadow ours, such as REDIS_PORT.
        enable_service_links: Some(false),
        image_pull_secrets: pull_secret
            .map(|name| vec![LocalObjectReference { name: name.to_owned() }]),
        // Of a cluster that has nodes of Windows too.
        node_selector: Some([("kubernetes.io/os".to_owned(), "linux".to_owned())].into()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(user),
            fs_group: Some(user),
            // Else every start looks through all of a volume's files, and opens those that are
            // nobody else's.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        volumes: Some(vec![scratch("tmp", "64Mi")]),
        ..Default::default()
    }
}

/// Spread over the nodes as far as that can be had.
pub(super) fn spread(labels: &Labels, component: Component) -> Vec<TopologySpreadConstraint> {
    vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(matching(labels.selector(component))),
        ..Default::default()
    }]
}

/// A directory that goes with its Pod.
pub(super) fn scratch(name: &str, size: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(size.to_owned())),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..Default::default() }
}

pub(super) fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

/// A variable whose value is in a Secret.
pub(super) fn secret_variable(name: &str, secret: &str, key: &str) -> EnvVar {
    let key = SecretKeySelector { name: secret.to_owned(), key: key.to_owned(), optional: None };
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { secret_key_ref: Some(key), ..Default::default() }),
    }
}

/// A probe that runs a command in the container every `period` seconds; it may take `timeout`, and
/// fail `failures` times.
pub(super) fn probe(command: &[&str], period: i32, timeout: i32, failures: i32) -> Probe {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    Probe {
        exec: Some(ExecAction { command: Some(command) }),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Default::default()
    }
}

pub(super) fn port(name: &str, port: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}
