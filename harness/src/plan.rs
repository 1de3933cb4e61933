//! The plan: a scenario with nothing left open. It is written to `plan.json` before anything
//! starts, and, with the history, it is all that a verdict is made from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Version of the files in a run directory.
pub const SCHEMA_VERSION: u32 = 1;

/// What must happen, and what must be true afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How many workers there are; they are numbered from 0.
    pub workers: u32,
    /// The one seed of every random choice.
    pub seed: u64,
    /// Environment variables for every process of the system, over those that the plan implies.
    pub env: BTreeMap<String, String>,
    /// A planted defect (see `fixtures/defects`) that takes the place of the system.
    pub defect: Option<String>,
    /// What goes wrong, in the order of the file.
    pub faults: Vec<PlannedFault>,
    /// What is done once the sweep has ended, before it is judged.
    #[serde(default)]
    pub afterwards: Option<Afterwards>,
    /// What must be true.
    pub expect: Expect,
    /// The run is ended and judged when nothing has been committed for this long.
    #[serde(rename = "stall_after_ms", with = "millis")]
    pub stall_after: Duration,
    /// The run is ended and judged after this long in any case.
    #[serde(rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
}

/// Chunks of a user's own program that are computed again, to compare.
const SAMPLE: usize = 8;

impl Plan {
    /// Chunks that the harness computes again by itself, because only the kernel knows their
    /// values: a few, drawn from the seed. The reference kernel's are all known.
    pub fn sample(&self) -> Vec<u64> {
        let Kernel::Exec { .. } = self.sweep.kernel else { return Vec::new() };
        let mut random = fastrand::Rng::with_seed(self.seed);
        let chunks = self.sweep.chunks();
        let mut sample: Vec<u64> = (0..SAMPLE).map(|_| random.u64(..chunks)).collect();
        sample.sort_unstable();
        sample.dedup();
        sample
    }
}

/// The work: a kernel over `[start, end)`, cut into chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        match self.kernel {
            Kernel::Reference { work_ms } => {
                let ms = work_ms * self.chunk_size.min(self.params()) as f64;
                Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
            }
            Kernel::Exec { .. } => Duration::ZERO,
        }
    }

    /// The half-open range of the chunk with this index.
    pub fn chunk(&self, index: u64) -> (u64, u64) {
        let start = self.start + index * self.chunk_size;
        (start, (start + self.chunk_size).min(self.end))
    }
}

/// What is applied to every parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// The reference kernel of the wire contract.
    Reference {
        /// Simulated work, in milliseconds per parameter.
        work_ms: f64,
    },
    /// A program of the user's own, one JSON line in and one out per chunk.
    Exec {
        /// Program and arguments; no shell is involved.
        command: Vec<String>,
    },
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
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// Name by which other faults refer to it; `<kind>-<n>` where the scenario gives none.
    pub name: String,
    /// When.
    pub trigger: Trigger,
    /// What.
    pub kind: FaultKind,
    /// To whom.
    pub target: Target,
    /// For how long, where the kind has a duration (`pause`).
    #[serde(rename = "for_ms", with = "optional_millis", default)]
    pub hold: Option<Duration>,
}

/// When a fault strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// When this share of the chunks is committed, in percent, above 0 and at most 100.
    Progress(f64),
    /// This long after the first task was submitted.
    Time(#[serde(with = "millis")] Duration),
    /// When the fault of that name has struck (and healed, where it heals).
    After(String),
}

/// What a fault does; each has a file of its own under `fault/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
    /// SIGSTOP for a while, then SIGCONT.
    Pause,
    /// SIGKILL, and a new process takes the place.
    Restart,
}

impl FaultKind {
    /// Its name in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Terminate => "terminate",
            Self::Pause => "pause",
            Self::Restart => "restart",
        }
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
}

/// What is done once the sweep has ended, before it is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Afterwards {
    /// Every dead letter is replayed, and one worker is started.
    Replay {
        /// Environment variables of that worker, over all others: what has been put right.
        env: BTreeMap<String, String>,
    },
}

/// What must be true at the end. A figure that is not given is reported but not judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expect {
    /// What must hold of the parameters.
    pub coverage: Coverage,
    /// So many chunks are dead at the end, and their parameters count as little as they should.
    #[serde(default)]
    pub dead_letters: u64,
    /// At least so many attempts fail and are made again.
    #[serde(default)]
    pub retries_min: u64,
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
}

mod millis {
    use super::{Deserialize, Duration};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

mod optional_millis {
    use super::{Deserialize, Duration};
    use serde::{Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|v| u64::try_from(v.as_millis()).unwrap_or(u64::MAX)).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}
