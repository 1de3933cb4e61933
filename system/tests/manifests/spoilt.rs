//! That a Pod that breaks a rule of the standard is seen.

use k8s_openapi::api::core::v1::PodSpec;
use rstest::rstest;

use crate::objects::a_worker;
use crate::restricted::violations;

/// Spoils one property of a Pod that keeps all rules.
fn spoilt(spoil: impl FnOnce(&mut PodSpec)) -> Vec<String> {
    let mut pod = a_worker().spec.expect("a Pod has a specification");
    assert_eq!(violations(&pod), [""; 0]);
    spoil(&mut pod);
    violations(&pod)
}

#[rstest]
#[case("runAsNonRoot", |pod: &mut PodSpec| {
    pod.security_context.as_mut().unwrap().run_as_non_root = None;
})]
#[case("seccompProfile", |pod: &mut PodSpec| {
    pod.security_context.as_mut().unwrap().seccomp_profile = None;
})]
#[case("nodeSelector", |pod: &mut PodSpec| pod.node_selector = None)]
#[case("hostNetwork", |pod: &mut PodSpec| pod.host_network = Some(true))]
#[case("automountServiceAccountToken", |pod: &mut PodSpec| {
    pod.automount_service_account_token = None;
})]
#[case("volumes", |pod: &mut PodSpec| {
    pod.volumes.as_mut().unwrap()[0].empty_dir = None;
})]
#[case("capabilities.drop", |pod: &mut PodSpec| {
    pod.containers[0].security_context.as_mut().unwrap().capabilities = None;
})]
#[case("readOnlyRootFilesystem", |pod: &mut PodSpec| {
    pod.containers[0].security_context.as_mut().unwrap().read_only_root_filesystem = None;
})]
#[case("allowPrivilegeEscalation", |pod: &mut PodSpec| {
    pod.containers[0].security_context.as_mut().unwrap().allow_privilege_escalation = None;
})]
fn a_pod_that_breaks_a_rule_is_seen(#[case] rule: &str, #[case] spoil: fn(&mut PodSpec)) {
    assert_eq!(spoilt(spoil), [rule]);
}
