//! How a Pod stands, read from what the API shows of it; and what is wrong with it, in one line that
//! says what to do.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;

use super::image;
use super::trouble::MESSAGE;
use crate::words::quoted_to;

/// How a Pod stands, with regard to one of its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is on its way.
    Starting,
    /// It will not start by itself as things are, though they may change: a new node may come, say.
    Doubtful(Doubt),
    /// It will not start.
    Hopeless(String),
    /// The container runs.
    Running,
    /// The container has ended.
    Ended(Ended),
}

/// What keeps a Pod from starting, and may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) about: About,
    /// Uid of the Pod.
    pub(super) pod: String,
    /// For people, with what to do.
    pub(super) line: String,
}

/// What a doubt is about: it says how long it may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// No node takes it.
    Node,
    /// Its volume is not there.
    Volume,
    /// An image was not pulled, and this is why.
    Image,
    /// Before an image is pulled again, time is let pass; why is said no more.
    ImageAgain,
    /// A container that does not stay.
    Restarts,
    /// It runs, and does not say that it serves.
    Ready,
}

fn doubt(about: About, pod: &Pod, line: String) -> Standing {
    Standing::Doubtful(Doubt { about, pod: pod.uid().unwrap_or_default(), line })
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// 128 and the signal's number if of a signal.
    pub(super) code: i32,
    /// `OOMKilled`, say.
    pub(super) reason: String,
}

impl Ended {
    fn of(state: &ContainerStateTerminated) -> Self {
        Self { code: state.exit_code, reason: state.reason.clone().unwrap_or_default() }
    }

    /// Whether anybody saw it: of a container that is gone the kubelet makes the code up, and it is
    /// that of a SIGKILL.
    pub(super) fn was_seen(&self) -> bool {
        self.reason != "ContainerStatusUnknown"
    }

    /// `exited with code 137`.
    pub(super) fn describe(&self) -> String {
        match &*self.reason {
            _ if !self.was_seen() => "ended, and nobody saw how".to_owned(),
            "" | "Error" | "Completed" => format!("exited with code {}", self.code),
            reason => format!("exited with code {} ({})", self.code, quoted_to(reason, MESSAGE)),
        }
    }
}

/// See [`Standing`].
pub(super) fn of(pod: &Pod, container: &str) -> Standing {
    let status = pod.status.as_ref();
    let containers = status.and_then(|it| it.container_statuses.as_deref()).unwrap_or_default();
    if let Some(it) = containers.iter().find(|it| it.name == container) {
        let state = it.state.as_ref();
        if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
            return Standing::Ended(Ended::of(ended));
        }
        if state.is_some_and(|state| state.running.is_some()) {
            return Standing::Running;
        }
    }
    let waiting = containers.iter().find_map(|it| of_waiting(pod, it));
    waiting.or_else(|| of_phase(pod)).or_else(|| of_scheduler(pod)).unwrap_or(Standing::Starting)
}

/// Whether a Pod says that it serves.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions =
        pod.status.as_ref().and_then(|it| it.conditions.as_deref()).unwrap_or_default();
    let is_leaving = pod.metadata.deletion_timestamp.is_some();
    !is_leaving && conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True")
}

/// How often a container was started again in its Pod, and how it ended the last time.
pub(super) fn restarts(pod: &Pod, container: &str) -> (i32, Option<Ended>) {
    let statuses = pod.status.as_ref().and_then(|it| it.container_statuses.as_deref());
    let status = statuses.unwrap_or_default().iter().find(|it| it.name == container);
    let last = status.and_then(|it| it.last_state.as_ref()?.terminated.as_ref());
    (status.map_or(0, |it| it.restart_count), last.map(Ended::of))
}

/// The node that it is on.
pub(super) fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|it| !it.is_empty())
}

fn of_waiting(pod: &Pod, status: &ContainerStatus) -> Option<Standing> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let (name, said) = (pod.name_any(), quoted_to(message, MESSAGE));
    let image = pod.spec.as_ref().and_then(|spec| {
        let container = spec.containers.iter().find(|it| it.name == status.name);
        container.and_then(|it| it.image.as_deref())
    });
    let image = image.unwrap_or(&status.image);
    Some(match waiting.reason.as_deref()? {
        reason @ ("ErrImagePull" | "RegistryUnavailable") => of_pull(pod, image, reason, message),
        reason @ "ImagePullBackOff" => match message.split_once("ErrImagePull: ") {
            Some((_, why)) => of_pull(pod, image, reason, why),
            // Kubernetes before 1.32 does not say again why. What is final was seen before.
            None => doubt(About::ImageAgain, pod, image::not_pulled(&name, image, reason, "")),
        },
        reason @ ("ErrImageNeverPull" | "ImageInspectError") => {
            Standing::Hopeless(image::not_pulled(&name, image, reason, message))
        }
        "InvalidImageName" => Standing::Hopeless(format!(
            "pod {name}: {image} is no name of an image (write it as name:tag)"
        )),
        "CreateContainerConfigError" if message.contains("runAsNonRoot") => {
            Standing::Hopeless(format!(
                "pod {name}: image {image} wants to run as root, and no Pod of ours may: {said} (make \
                 an image whose program can run as any user)"
            ))
        }
        reason @ ("CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "StartError"
        | "ContainerCannotRun") => Standing::Hopeless(format!(
            "pod {name}: image {image} cannot be started: {reason}: {said} (does it hold the program \
             that is asked for? ci/images makes our own)"
        )),
        "CrashLoopBackOff" => {
            let (restarts, last) = restarts(pod, &status.name);
            let how = last.map_or_else(|| "ended".to_owned(), |last| last.describe());
            let memory = if how.contains("OOMKilled") {
                "it needs more memory than its limit"
            } else {
                "its log in the run directory says more"
            };
            let line = format!(
                "pod {name}: its container {how} again and again, {restarts} times by now ({memory})"
            );
            doubt(About::Restarts, pod, line)
        }
        _ => return None,
    })
}

/// A pull that failed.
fn of_pull(pod: &Pod, image: &str, reason: &str, message: &str) -> Standing {
    let line = image::not_pulled(&pod.name_any(), image, reason, message);
    if image::is_final(message) { Standing::Hopeless(line) } else { doubt(About::Image, pod, line) }
}

/// A Pod that was ended as a whole.
fn of_phase(pod: &Pod) -> Option<Standing> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let reason = status.reason.as_deref().unwrap_or("it failed");
    let message = quoted_to(status.message.as_deref().unwrap_or_default(), MESSAGE);
    let advice = match reason {
        "DeadlineExceeded" => {
            "it was there ten minutes longer than the run may take: did this machine sleep?"
        }
        "NodeShutdown" | "Terminated" | "Shutdown" | "NodeLost" | "NodeAffinity" => {
            "its node went away, as spot nodes do: run it again, on nodes that stay"
        }
        "UnexpectedAdmissionError" => {
            "its node refused it: run it again, or cordon that node; kubectl describe node shows why"
        }
        "Evicted" | "Preempting" | "Preempted" => {
            "the node has no room for it: free some, or add a node"
        }
        reason if reason.starts_with("OutOf") => {
            "the node has no room for it: free some, or add a node"
        }
        _ => "kubectl describe node of its node may say more",
    };
    let name = pod.name_any();
    let said = if message.is_empty() { String::new() } else { format!(": {message}") };
    Some(Standing::Hopeless(format!("pod {name}: {}{said} ({advice})", quoted_to(reason, MESSAGE))))
}

/// Of a Pod that runs: it is not ready yet.
pub(super) fn not_ready(pod: &Pod) -> Doubt {
    let line = format!("pod {} runs, and is not ready", pod.name_any());
    Doubt { about: About::Ready, pod: pod.uid().unwrap_or_default(), line }
}

fn of_scheduler(pod: &Pod) -> Option<Standing> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let scheduled = conditions.iter().find(|it| it.type_ == "PodScheduled")?;
    if scheduled.status != "False" {
        return None;
    }
    let said =
        quoted_to(scheduled.message.as_deref().unwrap_or("for no reason that it gives"), MESSAGE);
    let is_volume =
        ["PersistentVolumeClaim", "persistentvolumeclaim"].iter().any(|it| said.contains(it));
    let (about, advice) = if is_volume {
        let advice = "the volume claim does not bind: kubectl get pvc and kubectl get storageclass show \
                      why; --set broker.storage=ephemeral does without";
        (About::Volume, advice)
    } else if said.contains("Insufficient") {
        (About::Node, "run fewer workers with --set workers=2, or add nodes")
    } else {
        let advice = "make a node that fits it, or lift what keeps it away: kubectl describe nodes shows \
                      taints";
        (About::Node, advice)
    };
    let name = pod.name_any();
    Some(doubt(about, pod, format!("pod {name} finds no node: {said} ({advice})")))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        let spec = json!({"containers": [{"name": "worker", "image": "ttg-worker:dev"}]});
        let pod = json!({"metadata": {"name": "worker-0"}, "spec": spec, "status": status});
        serde_json::from_value(pod).unwrap()
    }

    fn with_state(state: &Value) -> Pod {
        pod(&json!({"containerStatuses": [{
            "name": "worker", "image": "ttg-worker:dev", "imageID": "", "ready": false,
            "restartCount": 4, "state": state,
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }]}))
    }

    fn waiting(reason: &str, message: &str) -> Standing {
        of(&with_state(&json!({"waiting": {"reason": reason, "message": message}})), "worker")
    }

    fn told(standing: Standing) -> String {
        match standing {
            Standing::Doubtful(Doubt { line, .. }) | Standing::Hopeless(line) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_image_that_cannot_be_pulled() {
        let said = "rpc error: code = NotFound desc = failed to pull and unpack image \
                    \"docker.io/library/ttg-worker:dev\": failed to resolve reference \
                    \"docker.io/library/ttg-worker:dev\": docker.io/library/ttg-worker:dev: not found";
        assert_snapshot!(told(waiting("ErrImagePull", said)), @"pod worker-0: image ttg-worker:dev cannot be pulled: ErrImagePull: not found (ci/images makes it, and harness cluster up takes it to the nodes of kind; for another cluster push it to a registry and name it there, as in docs/kubernetes.md)");
        assert!(matches!(waiting("ErrImageNeverPull", "is not present"), Standing::Hopeless(_)));
        let again = format!("Back-off pulling image \"ttg-worker:dev\": ErrImagePull: {said}");
        assert!(matches!(waiting("ImagePullBackOff", &again), Standing::Hopeless(_)));
    }

    #[test]
    fn a_registry_that_has_a_bad_moment_is_asked_again_by_the_kubelet() {
        let doubtful = |reason, message| match waiting(reason, message) {
            Standing::Doubtful(doubt) => (doubt.about, doubt.line),
            other => panic!("{other:?}"),
        };
        let (about, line) = doubtful("ErrImagePull", "dial tcp 1.2.3.4:443: i/o timeout");
        assert_eq!(about, About::Image);
        assert!(line.contains("cannot be pulled: ErrImagePull: i/o timeout ("), "{line}");
        let (about, _) = doubtful("ImagePullBackOff", "Back-off pulling image \"ttg-worker:dev\"");
        assert_eq!(about, About::ImageAgain);
        let newer = "Back-off pulling image \"a\": ErrImagePull: context deadline exceeded";
        let (about, line) = doubtful("ImagePullBackOff", newer);
        assert_eq!(about, About::Image);
        assert!(line.contains(": ImagePullBackOff: context deadline exceeded ("), "{line}");
    }

    #[test]
    fn what_else_keeps_a_container_from_starting() {
        assert_snapshot!(told(waiting("InvalidImageName", "bad")), @"pod worker-0: ttg-worker:dev is no name of an image (write it as name:tag)");
        assert_snapshot!(told(waiting("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")), @"pod worker-0: image ttg-worker:dev wants to run as root, and no Pod of ours may: container has runAsNonRoot and image will run as root (make an image whose program can run as any user)");
        assert_snapshot!(told(waiting("RunContainerError", "exec: \"ttg\": executable file not found")), @r#"pod worker-0: image ttg-worker:dev cannot be started: RunContainerError: exec: "ttg": executable file not found (does it hold the program that is asked for? ci/images makes our own)"#);
        assert_snapshot!(told(waiting("CrashLoopBackOff", "back-off 40s")), @"pod worker-0: its container exited with code 137 (OOMKilled) again and again, 4 times by now (it needs more memory than its limit)");
        assert_eq!(waiting("ContainerCreating", ""), Standing::Starting);
    }

    #[test]
    fn a_pod_that_finds_no_node_is_told_in_the_words_of_the_scheduler() {
        let unscheduled = |message: &str| {
            let condition = json!({"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": message});
            told(of(&pod(&json!({"phase": "Pending", "conditions": [condition]})), "worker"))
        };
        assert_snapshot!(unscheduled("0/3 nodes are available: 3 Insufficient cpu."), @"pod worker-0 finds no node: 0/3 nodes are available: 3 Insufficient cpu. (run fewer workers with --set workers=2, or add nodes)");
        assert_snapshot!(unscheduled("0/3 nodes are available: 3 node(s) had untolerated taint {a: b}."), @"pod worker-0 finds no node: 0/3 nodes are available: 3 node(s) had untolerated taint {a: b}. (make a node that fits it, or lift what keeps it away: kubectl describe nodes shows taints)");
        assert_snapshot!(unscheduled("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."), @"pod worker-0 finds no node: 0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. (the volume claim does not bind: kubectl get pvc and kubectl get storageclass show why; --set broker.storage=ephemeral does without)");
    }

    #[test]
    fn a_pod_that_was_ended_as_a_whole() {
        let ended = |reason: &str, message: &str| {
            let status = json!({"phase": "Failed", "reason": reason, "message": message});
            told(of(&pod(&status), "worker"))
        };
        assert_snapshot!(ended("Evicted", "The node was low on resource: memory."), @"pod worker-0: Evicted: The node was low on resource: memory. (the node has no room for it: free some, or add a node)");
        assert_snapshot!(ended("OutOfcpu", "Node didn't have enough resource: cpu"), @"pod worker-0: OutOfcpu: Node didn't have enough resource: cpu (the node has no room for it: free some, or add a node)");
        assert_snapshot!(ended("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"), @"pod worker-0: DeadlineExceeded: Pod was active on the node longer than the specified deadline (it was there ten minutes longer than the run may take: did this machine sleep?)");
        assert_snapshot!(ended("NodeShutdown", "Pod was rejected as the node is shutting down."), @"pod worker-0: NodeShutdown: Pod was rejected as the node is shutting down. (its node went away, as spot nodes do: run it again, on nodes that stay)");
        assert_snapshot!(ended("UnexpectedAdmissionError", "Allocate failed"), @"pod worker-0: UnexpectedAdmissionError: Allocate failed (its node refused it: run it again, or cordon that node; kubectl describe node shows why)");
        assert_snapshot!(ended("Odd", ""), @"pod worker-0: Odd (kubectl describe node of its node may say more)");
    }

    #[test]
    fn one_that_runs_and_one_that_ended() {
        let running = with_state(&json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}));
        assert_eq!(of(&running, "worker"), Standing::Running);
        assert_eq!(restarts(&running, "worker").0, 4);
        let ended = with_state(&json!({"terminated": {"exitCode": 137, "reason": "Error"}}));
        let Standing::Ended(ended) = of(&ended, "worker") else { panic!() };
        assert_eq!(ended.describe(), "exited with code 137");
        let unknown = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}});
        let Standing::Ended(ended) = of(&with_state(&unknown), "worker") else { panic!() };
        assert!(!ended.was_seen());
        assert_eq!(ended.describe(), "ended, and nobody saw how");
        assert_eq!(of(&pod(&json!({})), "worker"), Standing::Starting);
    }
}
