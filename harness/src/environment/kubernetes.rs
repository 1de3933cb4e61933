//! What a run has on a cluster: its broker, and every process of the system, each in a Pod.

use std::cell::OnceCell;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::timeout;

use super::host::Hosted;
use super::process::{Exit, Output, Program};
use super::{Unavailable, worker_image};
use crate::kubernetes::{BrokerPod, BrokerWanted, Cluster, PodEnd, PodFleet, Setup, Wanted};
use crate::plan::{Backend, ClusterChoice, Plan, Target};
use crate::words::counted;

/// How long the rest of a log may take to come once its process has ended.
const LOG: Duration = Duration::from_secs(10);

/// Beyond a plan's own time limit, the cluster ends a Pod by itself after so long.
const BEYOND: Duration = Duration::from_secs(600);

/// Bytes between a process that prints its results and whoever reads them.
const PIPE: usize = 64 * 1024;

/// A cluster that answers, and what the run has there.
pub struct Pods {
    cluster: Cluster,
    choice: ClusterChoice,
    fleet: OnceCell<PodFleet>,
    credentials: OnceCell<String>,
}

impl Pods {
    /// Finds the cluster. Nothing is made there yet.
    pub(super) async fn connect(choice: &ClusterChoice) -> Result<Self, Unavailable> {
        let cluster = Cluster::connect(choice.context.as_deref()).await?;
        let (fleet, credentials) = (OnceCell::new(), OnceCell::new());
        Ok(Self { cluster, choice: choice.clone(), fleet, credentials })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// `cluster kind-ttg-sandbox (https://127.0.0.1:6443, Kubernetes v1.36.1), 3 nodes`.
    pub async fn describe(&self) -> String {
        let cluster = self.cluster.describe();
        match self.cluster.nodes().await {
            Some(nodes) => format!("{cluster}, {}", counted(nodes as u64, "node")),
            None => cluster,
        }
    }

    /// The run's Pods.
    pub(crate) fn fleet(&self) -> Result<&PodFleet, Unavailable> {
        self.fleet.get().ok_or_else(|| Unavailable("the run has no room on the cluster".to_owned()))
    }

    async fn broker_image(&self, plan: &Plan) -> String {
        self.cluster.broker_image(plan.backend, plan.broker.image.as_deref()).await
    }

    /// Makes room for the run.
    pub(super) async fn make_room(&self, plan: &Plan) -> Result<(), Unavailable> {
        let id = format!("{:08x}", fastrand::u32(..));
        let backend = match plan.backend {
            Backend::Static => None,
            backend => Some(backend.name()),
        };
        let deadline = plan.timeout + BEYOND;
        let setup = Setup {
            mode: if backend.is_some() { "queue" } else { "static" },
            backend,
            milestone: milestone(&plan.scenario),
            workers: plan.workers,
            // Who strikes nobody sends no signals.
            hand: match plan.faults.is_empty() {
                true => None,
                false => Some(self.broker_image(plan).await),
            },
            deadline_s: i64::try_from(deadline.as_secs()).unwrap_or(i64::MAX),
        };
        let namespace = self.choice.namespace.as_deref();
        let fleet = PodFleet::open(self.cluster.clone(), &id, namespace, setup).await?;
        // It was empty: this is the only place where it is set.
        let _ = self.fleet.set(fleet);
        Ok(())
    }

    /// Starts the broker, its log in a file of `logs`.
    pub(super) async fn server(&self, plan: &Plan, logs: &Path) -> Result<BrokerPod, Unavailable> {
        let credentials = match plan.backend {
            Backend::RabbitMq => Some(("ttg".to_owned(), new_password()?)),
            _ => None,
        };
        let wanted = BrokerWanted {
            backend: plan.backend,
            image: self.broker_image(plan).await,
            fsync: plan.fsync(),
            storage: plan.broker.storage.clone(),
            chunks: plan.sweep.chunks(),
            has_hand: plan.has_fault(|fault| fault.target == Target::Broker),
            credentials,
            log: logs.join("broker.log"),
        };
        let server = self.fleet()?.start_broker(wanted).await?;
        if let Some(secret) = server.secret() {
            let _ = self.credentials.set(secret.to_owned());
        }
        Ok(server)
    }

    /// Starts a process of the system, its output in files of `logs`.
    pub(super) async fn start(
        &self,
        program: &Program,
        life: u32,
        logs: &Path,
    ) -> Result<Hosted, Unavailable> {
        let fleet = self.fleet()?;
        let wanted = Wanted {
            name: program.name.clone(),
            life,
            image: program.image.clone().unwrap_or_else(worker_image),
            args: program.command.iter().map(|it| it.display().to_string()).collect(),
            environment: program.variables.clone(),
            credentials: self.credentials.get().cloned(),
        };
        let pod = fleet.start(&wanted).await?;
        let log = logs.join(format!("{}.log", program.name));
        let reports =
            (program.output == Output::File).then(|| logs.join(format!("{}.out", program.name)));
        let (stdout, pipe) = match program.output {
            Output::Pipe => {
                let (stdout, pipe) = tokio::io::duplex(PIPE);
                (Some(Box::new(stdout) as _), Some(pipe))
            }
            Output::Log | Output::File => (None, None),
        };
        let follower = pod.follow_output(log, reports, pipe);
        let watched = Rc::clone(&pod);
        let end = async move {
            let ended = watched.ended().await;
            let _ = timeout(LOG, follower).await;
            exit(&ended)
        };
        Ok(Hosted { pid: fleet.number(), contained: pod, stdout, end: Box::pin(end) })
    }

    /// Removes all that the run has on the cluster.
    pub(super) async fn close(&self) {
        if let Some(fleet) = self.fleet.get() {
            fleet.close().await;
        }
    }

    /// How a process beside the harness finds the same cluster, as arguments.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--context".to_owned(), self.cluster.context().to_owned()];
        if let Some(namespace) = &self.choice.namespace {
            arguments.extend(["--namespace".to_owned(), namespace.clone()]);
        }
        arguments
    }
}

/// `m3` of `m3-redis-fault`.
fn milestone(scenario: &str) -> Option<String> {
    let first = scenario.split('-').next()?;
    let number = first.strip_prefix('m')?;
    (!number.is_empty() && number.chars().all(|c| c.is_ascii_digit())).then(|| first.to_owned())
}

/// A password for this run alone.
fn new_password() -> Result<String, Unavailable> {
    let mut bytes = [0; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Unavailable(format!("no random bytes from /dev/urandom: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The end of a Pod, as that of its process.
fn exit(ended: &PodEnd) -> Exit {
    match *ended {
        PodEnd::Seen { code } => Exit::of_container(code),
        // With no grace there is a SIGKILL at its end, though nobody could see it.
        PodEnd::Unseen { by_us: true } => Exit { code: None, signal: Some(Signal::KILL.as_raw()) },
        PodEnd::Unseen { by_us: false } => Exit { code: None, signal: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_pod_is_that_of_its_process() {
        let seen = |code| exit(&PodEnd::Seen { code });
        assert_eq!(seen(137), Exit { code: None, signal: Some(9) });
        assert_eq!(seen(3), Exit { code: Some(3), signal: None });
        assert_eq!(exit(&PodEnd::Unseen { by_us: true }).signal, Some(9));
        assert_eq!(exit(&PodEnd::Unseen { by_us: false }), Exit { code: None, signal: None });
    }

    #[test]
    fn a_scenario_tells_its_milestone_by_its_name() {
        assert_eq!(milestone("m3-redis-fault").as_deref(), Some("m3"));
        assert_eq!(milestone("many"), None);
        assert_eq!(milestone("quickstart"), None);
    }

    #[test]
    fn every_password_is_another() {
        assert_ne!(new_password().unwrap(), new_password().unwrap());
    }
}
