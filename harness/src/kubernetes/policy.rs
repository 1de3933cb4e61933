//! A partition: a NetworkPolicy that lets nothing of a Pod through, and a look whether the cluster's
//! network heeds it. Not every network plugin does, and none says so; and some leave alone what is open
//! already.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::api::ListParams;
use tokio::time::{Instant, sleep};

use super::fleet::{INDEX, PROCESS};
use super::pod::PodProcess;
use super::run::Run;
use crate::environment::{Seen, Unavailable};
use crate::maker::RUN;
use crate::words::counted;

/// How long a network plugin may take to act.
const ACTS: Duration = Duration::from_secs(5);

/// How long it may take until a connection that is open has something to say, and has said it again.
const SAYS: Duration = Duration::from_secs(10);

/// Between two looks: each is a command inside of the Pod.
const LOOK: Duration = Duration::from_millis(200);

/// A Pod that is cut off.
pub(crate) struct Cut {
    run: Run,
    name: String,
    /// Where the broker is: a name would not be found from within.
    address: String,
    port: u16,
}

/// Cuts a process's Pod off from everything. It must reach the broker until then.
pub(super) async fn cut(
    run: &Run,
    process: &PodProcess,
    (host, port): (&str, u16),
) -> Result<Cut, Unavailable> {
    let name = format!("{}-cut", process.name());
    let labels = own_labels(process.labels());
    if labels.is_empty() {
        // A policy without labels would be one for all Pods of the namespace.
        return Err(Unavailable(format!("{} has no label of its own", process.describe())));
    }
    let address = address(run, host).await?;
    if !process.hand()?.reaches(&address, port).await? {
        return Err(Unavailable(format!(
            "{} does not reach {address}:{port} as it is, so that a cut would prove nothing",
            process.describe()
        )));
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
    Ok(Cut { run: run.clone(), name, address, port })
}

/// Those of a Pod's labels that select it and no other: runs may share a namespace.
fn own_labels(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if !labels.contains_key(PROCESS) || !labels.contains_key(RUN) {
        return BTreeMap::new();
    }
    labels.into_iter().filter(|(name, _)| [PROCESS, INDEX, RUN].contains(&&**name)).collect()
}

/// The address behind a Service's name, as the cluster's DNS would answer.
async fn address(run: &Run, host: &str) -> Seen {
    let services = run.api::<Service>();
    let doing = format!("look for Service {host}");
    let service = run.cluster().call(&doing, async || services.get(host).await).await?;
    let spec = service.spec.unwrap_or_default();
    if let Some(address) = spec.cluster_ip.filter(|it| !it.is_empty() && it != "None") {
        return Ok(address);
    }
    let selector: Vec<String> = spec
        .selector
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let (pods, wanted) = (run.api::<Pod>(), ListParams::default().labels(&selector.join(",")));
    let doing = format!("list the Pods behind Service {host}");
    let pods = run.cluster().call(&doing, async || pods.list(&wanted).await).await?;
    let address = pods.items.into_iter().find_map(|pod| pod.status?.pod_ip);
    address.ok_or_else(|| Unavailable(format!("nothing is behind Service {host}")))
}

impl Cut {
    /// Waits until nothing gets through to the broker.
    pub(crate) async fn bites(&self, process: &PodProcess) -> Seen {
        self.keeps_out(process).await?;
        let stopped = self.stops(process).await?;
        Ok(format!(
            "{} is cut off by a NetworkPolicy: no new connection to {}:{} gets through, and {stopped}",
            process.describe(),
            self.address,
            self.port
        ))
    }

    /// Waits until no new connection gets through.
    async fn keeps_out(&self, process: &PodProcess) -> Result<(), Unavailable> {
        let deadline = Instant::now() + ACTS;
        while process.hand()?.reaches(&self.address, self.port).await? {
            if Instant::now() >= deadline {
                return Err(Unavailable(format!(
                    "the cluster's network plugin does not heed the NetworkPolicy that cuts off {} \
                     (choose a cluster with Calico, Cilium or a kindnet of 2024 or later)",
                    process.describe()
                )));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until no connection is left that was open, or one has sent the same again and again, with
    /// nothing confirmed: what is done to it is done to all.
    async fn stops(&self, process: &PodProcess) -> Seen {
        let deadline = Instant::now() + SAYS;
        loop {
            let open = process.hand()?.connections(self.port).await?;
            if open.is_empty() {
                return Ok("none that was open is left".to_owned());
            }
            let (stuck, all) = (open.iter().filter(|it| it.is_stuck()).count(), open.len());
            if stuck > 0 {
                return Ok(format!(
                    "what was open sends the same again and again, in vain ({stuck} of {all})"
                ));
            }
            if Instant::now() >= deadline {
                return Err(Unavailable(format!(
                    "the NetworkPolicy that cuts off {} keeps out new connections, but those that were \
                     open go on: {} to port {}, and within {SAYS:?} none had to send anything again \
                     (some network plugins leave these alone: choose a cluster with another, or \
                     environment process)",
                    process.describe(),
                    counted(all as u64, "connection"),
                    self.port
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_selects_one_pod_also_where_two_runs_share_a_namespace() {
        let of = |run: &str, process: &str| {
            let labels = [(RUN, run), (PROCESS, process), ("app.kubernetes.io/name", "ttg")];
            BTreeMap::from(labels.map(|(name, value)| (name.to_owned(), value.to_owned())))
        };
        let selector = own_labels(of("a", "worker-1"));
        let selects = |labels: &BTreeMap<String, String>| {
            selector.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        assert!(selects(&of("a", "worker-1")));
        assert!(!selects(&of("b", "worker-1")) && !selects(&of("a", "worker-2")));
        // Who it is must be known.
        let mut unknown = of("a", "worker-1");
        unknown.remove(PROCESS);
        assert!(own_labels(unknown).is_empty());
    }
}
