//! Programs of others in place of ours.

use serde::{Deserialize, Serialize};

use super::{Backend, Environment, Plan};

/// A program in place of our worker, which speaks the wire contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// Program and arguments; no shell is involved.
    pub command: Vec<String>,
    /// Image that holds it, where workers run in containers.
    pub image: Option<String>,
    /// How many workers are this program, from worker 0 on; the others are ours.
    pub workers: u32,
}

/// Who plays a role of the system that only one process has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleProgram {
    /// Our own program.
    #[default]
    Ours,
    /// A program that speaks the wire contract.
    Foreign(ForeignProgram),
    /// Nobody: the harness does by itself what has to be done.
    None,
}

impl RoleProgram {
    /// The program of others, if it is one.
    pub fn foreign(&self) -> Option<&ForeignProgram> {
        match self {
            Self::Foreign(program) => Some(program),
            Self::Ours | Self::None => None,
        }
    }

    /// Whether no process plays the role.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// A program of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignProgram {
    /// Program and arguments; no shell is involved.
    pub command: Vec<String>,
    /// Image that holds it, where processes run in containers.
    pub image: Option<String>,
}

impl Plan {
    /// The program that is a process in place of ours, if one is.
    pub fn foreign(&self, process: &str) -> Option<ForeignProgram> {
        match process {
            "coordinator" => self.coordinator.foreign().cloned(),
            "aggregator" => self.aggregator.foreign().cloned(),
            worker => {
                let number: u32 = worker.strip_prefix("worker-")?.parse().ok()?;
                let foreign = self.foreign.as_ref().filter(|it| number < it.workers)?;
                Some(ForeignProgram {
                    command: foreign.command.clone(),
                    image: foreign.image.clone(),
                })
            }
        }
    }

    /// Whether the results are combined by a program of others, which may take them from the broker.
    pub fn has_foreign_aggregator(&self) -> bool {
        self.aggregator.foreign().is_some()
    }

    /// Whether a foreign aggregator may take results from where they are stored, and nobody sees it.
    pub fn may_take_unseen(&self) -> bool {
        self.backend == Backend::RabbitMq
            && self.environment == Environment::External
            && self.has_foreign_aggregator()
    }
}
