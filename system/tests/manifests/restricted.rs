//! The Pod Security Standard `restricted`, written out as far as it concerns what our Pods have, and
//! what we ask of them beyond it.

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

/// What a Pod breaks.
pub(crate) fn violations(pod: &PodSpec) -> Vec<String> {
    let mut broken = Vec::new();
    let mut demand = |holds: bool, rule: &str| {
        if !holds {
            broken.push(rule.to_owned());
        }
    };
    demand(pod.host_network != Some(true), "hostNetwork");
    demand(pod.host_pid != Some(true), "hostPID");
    demand(pod.host_ipc != Some(true), "hostIPC");
    demand(pod.automount_service_account_token == Some(false), "automountServiceAccountToken");
    demand(pod.enable_service_links == Some(false), "enableServiceLinks");
    let system = pod.node_selector.as_ref().and_then(|it| it.get("kubernetes.io/os"));
    demand(system.is_some_and(|it| it == "linux"), "nodeSelector");
    let context = pod.security_context.clone().unwrap_or_default();
    demand(context.run_as_non_root == Some(true), "runAsNonRoot");
    demand(context.run_as_user.is_some_and(|user| user > 0), "runAsUser");
    demand(context.fs_group.is_some_and(|group| group > 0), "fsGroup");
    let seccomp = context.seccomp_profile.map(|profile| profile.type_);
    demand(seccomp.as_deref() == Some("RuntimeDefault"), "seccompProfile");
    demand(context.sysctls.is_none(), "sysctls");
    demand(pod.volumes.iter().flatten().all(is_allowed), "volumes");
    let containers: Vec<&Container> =
        pod.containers.iter().chain(pod.init_containers.iter().flatten()).collect();
    demand(!containers.is_empty(), "containers");
    for container in containers {
        broken.extend(of_container(container));
    }
    broken
}

fn is_allowed(volume: &Volume) -> bool {
    volume.empty_dir.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.persistent_volume_claim.is_some()
}

fn of_container(container: &Container) -> Vec<String> {
    let context = container.security_context.clone().unwrap_or_default();
    let capabilities = context.capabilities.unwrap_or_default();
    let limits = container.resources.clone().unwrap_or_default();
    let rules = [
        (context.allow_privilege_escalation == Some(false), "allowPrivilegeEscalation"),
        (context.privileged != Some(true), "privileged"),
        (context.read_only_root_filesystem == Some(true), "readOnlyRootFilesystem"),
        (context.run_as_non_root != Some(false), "container's runAsNonRoot"),
        (context.run_as_user.is_none_or(|user| user > 0), "container's runAsUser"),
        (context.seccomp_profile.is_none(), "container's seccompProfile"),
        (capabilities.drop == Some(vec!["ALL".to_owned()]), "capabilities.drop"),
        (capabilities.add.is_none(), "capabilities.add"),
        (container.ports.iter().flatten().all(|port| port.host_port.is_none()), "hostPort"),
        (limits.requests.is_some_and(|it| it.len() == 2), "requests"),
        (limits.limits.is_some_and(|it| it.len() == 2), "limits"),
    ];
    rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule.to_owned()).collect()
}
