//! The Pods of a run: its broker, and each process of the system.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use ttg_manifests::{Component, Labels, ProcessSpec};

use super::cluster::Cluster;
use super::events::Warnings;
use super::hand;
use super::patience;
use super::pod::PodProcess;
use super::run::{MANAGER, Run};
use super::sweep::{Where, Which, sweep};
use super::watch::Watched;
use crate::environment::Unavailable;
use crate::maker::Maker;

/// Which process a Pod is, so that the Pod of a Job is found.
pub(super) const PROCESS: &str = "io.ttg.harness.process";

/// Where an indexed Job says which of its Pods one is.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The first version whose indexed Jobs can leave the siblings of a failed Pod alone, as a minor number
/// of Kubernetes 1.
const JOBS_BEAR_FAILURES: u32 = 29;

/// What is known of the Pods of a run before it begins.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// `queue` or `static`.
    pub(crate) mode: &'static str,
    /// `redis` or `rabbitmq`, where there is a broker.
    pub(crate) backend: Option<&'static str>,
    /// As `m3`, where the scenario shows one.
    pub(crate) milestone: Option<String>,
    /// How many workers an indexed Job starts, in static mode.
    pub(crate) workers: u32,
    /// Image of the container that sends signals, where faults need it.
    pub(crate) hand: Option<String>,
    /// Seconds after which the cluster ends every Pod by itself: one whose harness has vanished for
    /// good costs money for no longer.
    pub(crate) deadline_s: i64,
}

/// A process that is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// `worker-0`, `coordinator`, `aggregator`, `dead-letters`.
    pub(crate) name: String,
    /// The how many-th process of this name it is.
    pub(crate) life: u32,
    /// Image.
    pub(crate) image: String,
    /// Arguments to the image's program.
    pub(crate) args: Vec<String>,
    /// Variables of the wire contract.
    pub(crate) environment: Vec<(String, String)>,
    /// Secret with RabbitMQ's user and password.
    pub(crate) credentials: Option<String>,
}

/// The Pods of a run. They are watched until this is dropped; [`PodFleet::close`] removes them.
pub struct PodFleet {
    pub(super) run: Run,
    pub(super) pods: Arc<Watched<Pod>>,
    setup: Setup,
    /// Process ids of the run's own count.
    numbers: Cell<u32>,
    static_job: OnceCell<()>,
    /// Nodes that may be cordoned by us.
    pub(super) cordoned: RefCell<BTreeSet<String>>,
}

impl PodFleet {
    /// Makes room for a run, once what dead harnesses of this machine left is gone.
    pub(crate) async fn open(
        cluster: Cluster,
        id: &str,
        namespace: Option<&str>,
        setup: Setup,
    ) -> Result<Self, Unavailable> {
        let place = Where::of(namespace);
        // Who may not see all namespaces may still make one.
        let _ = sweep(&cluster, place, &Which::DeadOwners).await;
        let run = Run::open(cluster, id, namespace).await?;
        let selector = run.selector();
        let pods = Watched::start(run.cluster(), "pods", run.api::<Pod>(), Some(&selector), None);
        Ok(Self {
            run,
            pods,
            setup,
            numbers: Cell::new(0),
            static_job: OnceCell::new(),
            cordoned: RefCell::default(),
        })
    }

    /// The labels of one of its objects.
    pub(super) fn labels(&self, process: Option<&str>) -> Labels {
        let Setup { mode, backend, milestone, .. } = &self.setup;
        let mut others: BTreeMap<String, String> = Maker::this().labels(self.run.id());
        others.extend(process.map(|name| (PROCESS.to_owned(), name.to_owned())));
        Labels {
            managed_by: MANAGER.to_owned(),
            mode: (*mode).to_owned(),
            backend: backend.map(str::to_owned),
            run_id: Some(self.run.id().to_owned()),
            milestone: milestone.clone(),
            others,
        }
    }

    /// Starts a process: its Pod is there then, though it may not run yet.
    pub(crate) async fn start(&self, wanted: &Wanted) -> Result<Rc<PodProcess>, Unavailable> {
        let number: Option<u32> =
            wanted.name.strip_prefix("worker-").and_then(|number| number.parse().ok());
        let in_one_job = self.setup.mode == "static"
            && wanted.life == 1
            && self.run.cluster().minor() >= JOBS_BEAR_FAILURES;
        let pod = match number {
            Some(number) if in_one_job => self.start_static(wanted, number).await?,
            Some(_) => self.start_worker(wanted, number).await?,
            None => self.start_role(wanted).await?,
        };
        let process = Rc::new(PodProcess::of(&self.run, &self.pods, &pod));
        let prepared = Rc::clone(&process);
        tokio::task::spawn_local(async move { prepared.prepare().await });
        Ok(process)
    }

    /// A process id of the run's own count: those of its nodes say nothing here.
    pub(crate) fn number(&self) -> u32 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    async fn start_worker(&self, wanted: &Wanted, id: Option<u32>) -> Result<Pod, Unavailable> {
        let mut pod = ttg_manifests::worker_pod(&self.spec(wanted, id));
        if let Some(spec) = &mut pod.spec {
            self.finish(spec);
        }
        self.run.apply(pod).await
    }

    async fn start_role(&self, wanted: &Wanted) -> Result<Pod, Unavailable> {
        let spec = self.spec(wanted, None);
        let mut job = ttg_manifests::role_job(&spec, 0);
        if let Some(job) = &mut job.spec {
            // Whether another takes its place is for the scenario to say.
            job.pod_failure_policy = None;
            if let Some(pod) = &mut job.template.spec {
                self.finish(pod);
            }
        }
        let job = self.run.apply(job).await?;
        self.pod_of(&job, &process_label(wanted), None).await
    }

    /// A Pod of the one Job that has all workers of static mode, which the first of them starts.
    async fn start_static(&self, wanted: &Wanted, number: u32) -> Result<Pod, Unavailable> {
        let all = Wanted { name: "workers".to_owned(), ..wanted.clone() };
        let mut spec = self.spec(&all, None);
        // Each Pod learns its number from the Job.
        spec.environment.retain(|(name, _)| name != "WORKER_ID");
        let workers = i32::try_from(self.setup.workers).unwrap_or(i32::MAX);
        let mut job = ttg_manifests::static_job(&spec, workers, 0);
        if let Some(job) = &mut job.spec {
            // No share is computed again, and no sibling of a worker that fails is ended.
            job.backoff_limit = None;
            job.backoff_limit_per_index = Some(0);
            job.pod_failure_policy = None;
            if let Some(pod) = &mut job.template.spec {
                self.finish(pod);
            }
        }
        if self.static_job.set(()).is_ok() {
            job = self.run.apply(job).await?;
        }
        self.pod_of(&job, &process_label(&all), Some(number)).await
    }

    /// The Pod that a Job has made.
    async fn pod_of(
        &self,
        job: &Job,
        process: &str,
        index: Option<u32>,
    ) -> Result<Pod, Unavailable> {
        let index = index.map(|index| index.to_string());
        let is_it = |pod: &Pod| {
            let of = |map: &Option<BTreeMap<String, String>>, key: &str| {
                map.as_ref().and_then(|map| map.get(key).cloned())
            };
            of(&pod.metadata.labels, PROCESS).as_deref() == Some(process)
                && (index.is_none() || of(&pod.metadata.annotations, INDEX) == index)
        };
        let name = job.metadata.name.clone().unwrap_or_default();
        let warnings = Warnings::about(&self.run, "Job", &name);
        let found = patience::until(&self.pods, |seen| {
            let found = seen.here.values().find(|pod| is_it(pod));
            found.map(|pod| Ok(Pod::clone(pod)))
        });
        tokio::select! {
            found = found => found,
            why = warnings.hopeless() => Err(Unavailable(why)),
        }
    }

    fn spec(&self, wanted: &Wanted, worker_id: Option<u32>) -> ProcessSpec {
        let component = match &*wanted.name {
            "coordinator" | "dead-letters" => Component::Coordinator,
            "aggregator" => Component::Aggregator,
            _ => Component::Worker,
        };
        let process = process_label(wanted);
        ProcessSpec {
            name: self.run.name(&format!("ttg-{process}")),
            namespace: None,
            component,
            image: wanted.image.clone(),
            args: wanted.args.clone(),
            // What is said twice is said last; a server refuses a variable that is there twice.
            environment: wanted
                .environment
                .iter()
                .cloned()
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect(),
            credentials: wanted.credentials.clone(),
            labels: self.labels(Some(&process)),
            worker_id: worker_id.map(u64::from),
            memory: None,
            pull_secret: None,
        }
    }

    /// What a Pod of the harness has besides.
    fn finish(&self, pod: &mut PodSpec) {
        pod.active_deadline_seconds = Some(self.setup.deadline_s);
        if let Some(image) = &self.setup.hand {
            hand::add(pod, image, hand::Ends::WithTheFirst);
        }
    }

    /// Removes all that the run has on the cluster. What cannot be removed is said.
    pub(crate) async fn close(&self) {
        let which = Which::Run(self.run.id().to_owned());
        let place = match self.run.is_own_namespace() {
            true => Where::Everywhere,
            false => Where::In(self.run.namespace()),
        };
        // By name: who may cordon a node may not list what is ours.
        let given_back = self.uncordon_all().await;
        if let Err(error) = remove(&self.run, place, &which).await.and(given_back) {
            crate::report::tell(format_args!(
                "warning: {error} (harness cleanup --context {} removes what is left)",
                self.run.cluster().context()
            ));
        }
    }
}

/// Of a namespace of our own, the name is enough: who may not see all namespaces may still delete one.
async fn remove(run: &Run, place: Where<'_>, which: &Which) -> Result<(), Unavailable> {
    if run.is_own_namespace() {
        run.delete_namespace().await?;
    }
    match sweep(run.cluster(), place, which).await {
        Err(_) if run.is_own_namespace() => Ok(()),
        swept => swept.map(drop),
    }
}

/// `worker-1`, or `worker-1-life-2`.
fn process_label(wanted: &Wanted) -> String {
    match wanted.life {
        1 => wanted.name.clone(),
        life => format!("{}-life-{life}", wanted.name),
    }
}
