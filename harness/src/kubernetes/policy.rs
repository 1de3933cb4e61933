//! A partition: a NetworkPolicy that lets nothing of a Pod through, and a look whether the cluster's
//! network heeds it. Not every network plugin does, and none says so.

use std::time::Duration;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use tokio::time::{Instant, sleep};

use super::pod::PodProcess;
use super::run::Run;
use crate::environment::{Seen, Unavailable};

/// How long a network plugin may take to act.
const ACTS: Duration = Duration::from_secs(5);

/// Between two looks: each is a connection that is tried inside of the Pod.
const LOOK: Duration = Duration::from_millis(200);

/// A Pod that is cut off.
pub(crate) struct Cut {
    run: Run,
    name: String,
}

/// Cuts a process's Pod off from everything.
pub(super) async fn cut(run: &Run, process: &PodProcess) -> Result<Cut, Unavailable> {
    let name = format!("{}-cut", process.name());
    let labels = process.own_labels();
    if labels.is_empty() {
        // A policy without labels would be one for all Pods of the namespace.
        return Err(Unavailable(format!("{} has no label of its own", process.describe())));
    }
    let policy = NetworkPolicy {
        metadata: ObjectMeta { name: Some(name.clone()), ..Default::default() },
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector { match_labels: Some(labels), ..Default::default() }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ..Default::default()
        }),
    };
    run.apply(policy).await?;
    Ok(Cut { run: run.clone(), name })
}

impl Cut {
    /// Waits until no new connection to the broker gets through.
    pub(crate) async fn bites(&self, process: &PodProcess, broker: (&str, u16)) -> Seen {
        let deadline = Instant::now() + ACTS;
        loop {
            if !process.reaches(broker.0, broker.1).await? {
                return Ok(format!(
                    "{} is cut off by a NetworkPolicy: no new connection to {}:{} gets through",
                    process.describe(),
                    broker.0,
                    broker.1
                ));
            }
            if Instant::now() >= deadline {
                return Err(Unavailable(format!(
                    "the cluster's network plugin does not heed the NetworkPolicy that cuts off {} \
                     (choose a cluster with Calico, Cilium or a kindnet of 2024 or later)",
                    process.describe()
                )));
            }
            sleep(LOOK).await;
        }
    }

    /// Mends it.
    pub(crate) async fn mend(&self) -> Result<(), Unavailable> {
        self.run.delete::<NetworkPolicy>(&self.name, None).await
    }
}
