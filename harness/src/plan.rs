//! The plan: a scenario with nothing left open. It is written to `plan.json` before anything
//! starts, and, with the history, it is all that a verdict is made from.

mod consequences;
mod foreign;
mod millis;
mod optional_millis;
mod recompute;
mod settings;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ttg_contract::builtin::is_slow;
use ttg_contract::chunk::Chunk;
pub use ttg_contract::fsync::Fsync;
pub use ttg_contract::percent::percent_of;

pub use consequences::{Consequences, Ends};
pub use foreign::{Foreign, ForeignProgram, RoleProgram};
pub use recompute::Recompute;
pub use settings::{Direction, Draw, Settings};

use crate::ideal::static_range;

/// Version of the files in a run directory.
pub const SCHEMA_VERSION: u32 = 3;

/// Most chunks of a sweep: the checks keep a bitmap of them.
pub const MAX_CHUNKS: u64 = 10_000_000;

/// What the broker is called where a fault's target is named.
pub const BROKER: &str = "broker";

/// What must happen, and what must be true afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Name of the scenario, which is also its file's name.
    pub scenario: String,
    /// One sentence for people.
    pub description: String,
    /// What is computed.
    pub sweep: Sweep,
    /// How chunks reach workers.
    pub backend: Backend,
    /// Where processes run.
    pub environment: Environment,
    /// Why there: who said so, or what was found.
    #[serde(default)]
    pub environment_because: String,
    /// Where the system's own processes run.
    #[serde(default)]
    pub workers_in: WorkersIn,
    /// Which cluster, in environment `kubernetes`.
    #[serde(default)]
    pub cluster: ClusterChoice,
    /// How the broker is set up.
    #[serde(default)]
    pub broker: BrokerSetup,
    /// How many workers there are; they are numbered from 0.
    pub workers: u32,
    /// The one seed of every random choice.
    pub seed: u64,
    /// Environment variables for every process of the system, over those that the plan implies.
    pub env: BTreeMap<String, String>,
    /// A program in place of our worker.
    #[serde(default)]
    pub foreign: Option<Foreign>,
    /// Who submits the tasks.
    #[serde(default)]
    pub coordinator: RoleProgram,
    /// Who combines the results.
    #[serde(default)]
    pub aggregator: RoleProgram,
    /// A planted defect (see `fixtures/defects`) that takes the place of the system.
    pub defect: Option<String>,
    /// What cannot be told apart from what is wrong is no pass.
    #[serde(default)]
    pub strict: bool,
    /// What goes wrong, in the order of the file.
    pub faults: Vec<PlannedFault>,
    /// What each kind of them may leave behind, by its name.
    pub fault_kinds: BTreeMap<String, Consequences>,
    /// What is done once the sweep has ended, before it is judged.
    #[serde(default)]
    pub afterwards: Option<Afterwards>,
    /// What must be true.
    pub expect: Expect,
    /// The run is ended and judged when nothing has been committed for this long.
    #[serde(rename = "stall_after_ms", with = "millis")]
    pub stall_after: Duration,
    /// Whether the scenario says so. One that was derived is longer on a machine under load.
    #[serde(default)]
    pub stall_after_is_set: bool,
    /// The run is ended and judged after this long; if the scenario does not say so, only if nothing
    /// new has been committed for `stall_after`.
    #[serde(rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
    /// Whether the scenario says so.
    #[serde(default)]
    pub timeout_is_set: bool,
}

impl Plan {
    /// Name of the plan's file in a run directory.
    pub const FILE_NAME: &str = "plan.json";

    /// Whether any fault, one that `chaos` may draw included, is so.
    pub fn has_fault(&self, is_so: impl Fn(&PlannedFault) -> bool) -> bool {
        with_drawn(&self.faults).any(is_so)
    }

    /// A fault, one that `chaos` may draw included, of whose kind the plan says nothing.
    pub fn unknown_fault(&self) -> Option<&PlannedFault> {
        let is_known = |fault: &&PlannedFault| self.fault_kinds.contains_key(&fault.kind.name());
        with_drawn(&self.faults).find(|fault| !is_known(fault))
    }

    /// Whether something has to stand between processes and the broker.
    pub fn strikes_the_network(&self) -> bool {
        self.has_fault(|fault| fault.kind.is_of_network())
    }

    /// Whether the broker's data is to be lost.
    pub fn loses_with_broker(&self) -> bool {
        self.expect.coverage == Coverage::LostWithBroker
    }

    /// How the work is skewed, where it is.
    pub fn skew(&self) -> Option<Skew> {
        let fault = self.faults.iter().find(|fault| fault.kind == FaultKind::SlowChunks)?;
        let Settings { share, factor, .. } = fault.settings;
        Some(Skew { share: share.unwrap_or(0.0), factor: factor.unwrap_or(Skew::FACTOR) })
    }

    /// Indices of the chunks that take longer.
    pub fn slow_chunks(&self) -> Vec<u64> {
        let Some(Skew { share, .. }) = self.skew() else { return Vec::new() };
        (0..self.sweep.chunks()).filter(|index| is_slow(self.seed, share, *index)).collect()
    }

    /// When Redis has on the disk what it confirms.
    pub fn fsync(&self) -> Fsync {
        let struck = self.has_fault(|fault| fault.target == Target::Broker);
        self.broker.fsync.unwrap_or(if struck { Fsync::Always } else { Fsync::EverySec })
    }

    /// What results speak of, in the order of the sweep: chunks; in static mode, each worker's batches.
    pub fn pieces(&self) -> Vec<Chunk> {
        let cut = |(start, end): (u64, u64)| {
            let size = self.sweep.chunk_size;
            (start..end)
                .step_by(usize::try_from(size).unwrap_or(usize::MAX))
                .map(move |start| (start, start.saturating_add(size).min(end)))
        };
        let ranges: Vec<(u64, u64)> = match self.backend {
            Backend::Static => (0..self.workers).map(|it| static_range(self, it.into())).collect(),
            _ => vec![(self.sweep.start, self.sweep.end)],
        };
        let pieces = ranges.into_iter().flat_map(cut);
        (0..).zip(pieces).map(|(index, (start, end))| Chunk { index, start, end }).collect()
    }

    /// The order in which the harness computes pieces again by itself, drawn from the seed: of a user's
    /// own program, whose values only it knows.
    pub fn recomputed(&self) -> Vec<Chunk> {
        let Kernel::Exec { .. } = self.sweep.kernel else { return Vec::new() };
        let mut pieces = self.pieces();
        fastrand::Rng::with_seed(self.seed).shuffle(&mut pieces);
        pieces
    }
}

/// A share of the chunks takes some times as long as the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skew {
    /// The share, from 0 to 1.
    pub share: f64,
    /// How many times as long.
    pub factor: f64,
}

impl Skew {
    /// How many times as long, where the scenario does not say.
    pub const FACTOR: f64 = 10.0;
}

/// The work: a kernel over `[start, end)`, cut into chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// First parameter.
    pub start: u64,
    /// One past the last parameter.
    pub end: u64,
    /// Parameters per chunk; the last chunk may be smaller.
    pub chunk_size: u64,
    /// What is applied to every parameter.
    pub kernel: Kernel,
}

impl Sweep {
    /// Number of parameters.
    pub fn params(&self) -> u64 {
        self.end - self.start
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u64 {
        self.params().div_ceil(self.chunk_size)
    }

    /// Nominal time of a whole chunk; zero where the kernel has none.
    pub fn chunk_time(&self) -> Duration {
        let ms = self.kernel.work_ms().unwrap_or(0.0) * self.chunk_size.min(self.params()) as f64;
        Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
    }

    /// The half-open range of the chunk with this index.
    pub fn chunk(&self, index: u64) -> (u64, u64) {
        let start = self.start + index * self.chunk_size;
        (start, (start + self.chunk_size).min(self.end))
    }
}

/// What is applied to every parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kernel {
    /// The reference kernel of the wire contract.
    Reference {
        /// Simulated work, in milliseconds per parameter.
        work_ms: f64,
    },
    /// The kernel of which no two parameters have the same value.
    Distinct {
        /// Simulated work, in milliseconds per parameter.
        work_ms: f64,
    },
    /// A program of the user's own, one JSON line in and one out per chunk.
    Exec {
        /// Program and arguments; no shell is involved.
        command: Vec<String>,
    },
}

impl Kernel {
    /// Simulated work of a built-in kernel, in milliseconds per parameter.
    pub fn work_ms(&self) -> Option<f64> {
        match *self {
            Self::Reference { work_ms } | Self::Distinct { work_ms } => Some(work_ms),
            Self::Exec { .. } => None,
        }
    }
}

/// How chunks reach workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// One SQLite file.
    Embedded,
    /// Redis Streams.
    Redis,
    /// RabbitMQ.
    #[serde(rename = "rabbitmq")]
    RabbitMq,
    /// No broker: a fixed range per worker, the control without fault tolerance.
    Static,
}

impl Backend {
    /// Every backend.
    pub const ALL: [Self; 4] = [Self::Embedded, Self::Redis, Self::RabbitMq, Self::Static];

    /// Its name in scenarios and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
            Self::Static => "static",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// Processes of this machine.
    Process,
    /// The broker in a container; workers too, where the scenario says so.
    Container,
    /// A broker that is there already; workers are processes of this machine.
    External,
    /// The broker and all processes as Pods of a cluster.
    Kubernetes,
}

impl Environment {
    /// Every environment.
    pub const ALL: [Self; 4] = [Self::Process, Self::Container, Self::External, Self::Kubernetes];

    /// Its name in scenarios and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::External => "external",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where the system's own processes run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkersIn {
    /// As processes of this machine.
    #[default]
    Process,
    /// Each in a container, with an address of its own.
    Container,
}

/// Which cluster, and where in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterChoice {
    /// Context of the kubeconfig; none: the current one.
    pub context: Option<String>,
    /// A namespace that is there already; none: one of the run's own.
    pub namespace: Option<String>,
}

/// How the broker is set up, where the harness starts it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSetup {
    /// Image, in environments `container` and `kubernetes`.
    pub image: Option<String>,
    /// Where its data is, in environment `kubernetes`. Where the scenario does not say: on a volume,
    /// if the cluster has a default StorageClass.
    #[serde(default)]
    pub storage: Option<BrokerStorage>,
    /// When Redis has what it confirms on the disk. Where the scenario does not say: always, if a
    /// fault strikes the broker, else every second.
    pub fsync: Option<Fsync>,
}

/// Where the data of a broker on a cluster is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BrokerStorage {
    /// On a volume of this StorageClass; none: of the default one.
    Volume(Option<String>),
    /// In a directory of the node, which goes with the Pod.
    Ephemeral,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedFault {
    /// Name by which other faults refer to it; `<kind>-<n>` where the scenario gives none.
    pub name: String,
    /// When.
    pub trigger: Trigger,
    /// It strikes again this long after each time, until the sweep is over.
    #[serde(rename = "every_ms", with = "optional_millis", default)]
    pub every: Option<Duration>,
    /// What.
    pub kind: FaultKind,
    /// To whom.
    pub target: Target,
    /// For how long, where the kind has a duration (`pause`).
    #[serde(rename = "for_ms", with = "optional_millis", default)]
    pub hold: Option<Duration>,
    /// What else the kind has to be told.
    #[serde(default)]
    pub settings: Settings,
}

impl PlannedFault {
    /// Whether a strike of this name is this fault's: one that strikes more than once numbers
    /// its strikes, as in `chaos-1.7`.
    pub fn owns(&self, strike: &str) -> bool {
        strike
            .strip_prefix(&*self.name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// These faults, and those that `chaos` may draw.
pub fn with_drawn(faults: &[PlannedFault]) -> impl Iterator<Item = &PlannedFault> {
    let drawn = faults.iter().flat_map(|fault| &fault.settings.mix);
    faults.iter().chain(drawn.map(|draw| &draw.fault))
}

/// When a fault strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// From the beginning of the run.
    Start,
    /// When this share of the chunks is submitted, in percent, above 0 and below 100.
    Submitted(f64),
    /// When this share of the parameters is committed, in percent, above 0 and so far below 100 that
    /// something is left.
    Progress(f64),
    /// This long after the first task was submitted.
    Time(#[serde(with = "millis")] Duration),
    /// When the fault of that name has struck (and healed, where it heals).
    After(String),
}

/// What a fault does; each has a file of its own under `fault/`, which says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each has a file")]
pub enum FaultKind {
    Kill,
    Terminate,
    Pause,
    Restart,
    Slow,
    OutOfMemory,
    Wipe,
    DiskFull,
    Partition,
    Latency,
    Bandwidth,
    Reset,
    Drop,
    HalfOpen,
    Slice,
    Poison,
    SlowChunks,
    Chaos,
    Cordon,
    Drain,
}

impl FaultKind {
    /// Its name, as plans and events have it.
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .expect("a kind is written as its name")
    }

    /// The kind of this name, as plans and events have it.
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    /// Whether it strikes what is between a process and the broker.
    pub fn is_of_network(self) -> bool {
        use FaultKind::{Bandwidth, Drop, HalfOpen, Latency, Partition, Reset, Slice};
        matches!(self, Bandwidth | Drop | HalfOpen | Latency | Partition | Reset | Slice)
    }
}

/// Whom a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The worker of this number.
    Worker(u32),
    /// A worker that holds an uncommitted chunk when it is struck.
    Busy,
    /// Any living worker, drawn from the seed.
    Random,
    /// Every living worker.
    All,
    /// The coordinator.
    Coordinator,
    /// The aggregator.
    Aggregator,
    /// The broker's server.
    Broker,
    /// The sweep itself: its chunks, whoever has them.
    Sweep,
    /// A node of the cluster, by who is on it.
    Node(Occupant),
}

/// By whose Pod a node is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occupant {
    /// A worker that holds an uncommitted chunk.
    Busy,
    /// Any living worker, drawn from the seed.
    Random,
    /// The broker.
    Broker,
}

/// How a Pod is killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillBy {
    /// SIGKILL.
    #[default]
    Signal,
    /// It is deleted with no grace.
    Delete,
}

/// What is done once the sweep has ended, before it is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Afterwards {
    /// Every dead letter is replayed, and one worker is started.
    Replay {
        /// Environment variables of that worker, over all others: what has been put right.
        env: BTreeMap<String, String>,
    },
}

/// What must be true at the end. A figure that is not given is reported but not judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// What must hold of the parameters.
    pub coverage: Coverage,
    /// So many chunks are dead at the end, and their parameters count as little as they should.
    #[serde(default)]
    pub dead_letters: u64,
    /// At least so many attempts fail and are made again.
    #[serde(default)]
    pub retries_min: u64,
    /// How many chunks of a user's own program are computed again, to compare; where it is not said,
    /// as many as fit into the time that the sweep took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recompute: Option<Recompute>,
    /// At least this many parameters per second.
    pub throughput_min: Option<f64>,
    /// At most this long from the first task submitted to the last result committed.
    #[serde(rename = "duration_max_ms", with = "optional_millis", default)]
    pub duration_max: Option<Duration>,
    /// At least this share of the ideal speed, above 0 and at most 1.
    pub efficiency_min: Option<f64>,
    /// At most this long from a worker's death to the moment another has its chunk, for each chunk.
    #[serde(rename = "recovery_max_ms", with = "optional_millis", default)]
    pub recovery_max: Option<Duration>,
    /// At most this long from the end of the last fault to the last result committed.
    #[serde(rename = "finish_max_ms", with = "optional_millis", default)]
    pub finish_max: Option<Duration>,
}

/// What must hold of the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// Every parameter counts, once, with the right value.
    ExactlyOnce,
    /// A control without fault tolerance: some parameters are lost, all of them from the ranges
    /// of workers that a fault struck, and nothing else is wrong.
    LostWithWorker,
    /// The broker loses its data: parameters are lost, the system says so, and reports no success.
    LostWithBroker,
}
