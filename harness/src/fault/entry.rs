//! What is known of a kind of fault before it strikes: whom it can strike, what it has to be told,
//! and where it cannot be carried out. Scenarios are read by it, and the documents' table is made
//! of it.

use crate::plan::{Backend, Consequences, Ends, Environment, FaultKind, Target, WorkersIn};

/// A kind of fault, as its file describes it.
#[derive(Debug)]
pub struct Entry {
    /// Which.
    pub kind: FaultKind,
    /// Its name in scenarios.
    pub name: &'static str,
    /// What it does, and how that is proved: one line each, for people.
    pub does: &'static str,
    /// What is seen where it took.
    pub proof: &'static str,
    /// Past participle, as in `which was killed at 3.1 s`.
    pub did: &'static str,
    /// Whom it strikes.
    pub on: &'static [Role],
    /// Whether it lasts for a time (`for`).
    pub lasts: Lasts,
    /// Settings that it must be told.
    pub needs: &'static [&'static str],
    /// Settings that it may be told.
    pub takes: &'static [&'static str],
    /// What becomes of a process that it strikes.
    pub ends: Ends,
    /// It leaves chunks behind that others have to take over.
    pub orphans: bool,
    /// Why it cannot be carried out there, if so.
    pub refuse: fn(&Site, Role) -> Option<&'static str>,
}

impl Entry {
    /// What a verdict has to know of it.
    pub fn consequences(&self) -> Consequences {
        Consequences {
            did: self.did.to_owned(),
            ends: self.ends,
            goes_on: self.lasts == Lasts::Must,
            orphans: self.orphans,
            on_workers: self.on.contains(&Role::Worker),
            on_nodes: self.on.contains(&Role::Node),
        }
    }
}

/// Who plays which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A worker.
    Worker,
    /// The coordinator.
    Coordinator,
    /// The aggregator.
    Aggregator,
    /// The broker's server.
    Broker,
    /// The sweep itself.
    Sweep,
    /// A node of a cluster.
    Node,
}

impl Role {
    /// The part that a target plays.
    pub fn of(target: Target) -> Self {
        match target {
            Target::Worker(_) | Target::Busy | Target::Random | Target::All => Self::Worker,
            Target::Coordinator => Self::Coordinator,
            Target::Aggregator => Self::Aggregator,
            Target::Broker => Self::Broker,
            Target::Sweep => Self::Sweep,
            Target::Node(_) => Self::Node,
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Coordinator => "coordinator",
            Self::Aggregator => "aggregator",
            Self::Broker => "broker",
            Self::Sweep => "sweep",
            Self::Node => "node",
        }
    }
}

/// Whether a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// It has no duration.
    No,
    /// It may have one.
    May,
    /// It must have one.
    Must,
}

/// Where a sweep runs.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    /// How chunks reach workers.
    pub backend: Backend,
    /// Where the broker runs.
    pub environment: Environment,
    /// Where the workers run.
    pub workers_in: WorkersIn,
    /// Whether some worker is not ours.
    pub foreign: bool,
    /// Whether the harness submits by itself.
    pub no_coordinator: bool,
    /// Whether the harness sums by itself.
    pub no_aggregator: bool,
}

/// The roles that are processes of the system.
pub(super) const PROCESSES: &[Role] = &[Role::Worker, Role::Coordinator, Role::Aggregator];

/// All that can be struck by a signal.
pub(super) const PROCESSES_AND_BROKER: &[Role] =
    &[Role::Worker, Role::Coordinator, Role::Aggregator, Role::Broker];

impl Site {
    /// Why a role cannot be struck there, whatever by.
    pub fn lacks(&self, role: Role) -> Option<&'static str> {
        match (self.backend, role) {
            (_, Role::Worker) => None,
            (_, Role::Node) if self.environment != Environment::Kubernetes => {
                Some("only a cluster has nodes (choose environment kubernetes)")
            }
            (_, Role::Node) => None,
            (Backend::Static, Role::Sweep) => Some(
                "backend static has no broker that would deliver a chunk again (choose another \
                 backend)",
            ),
            (Backend::Static, _) => Some(
                "backend static has no coordinator, no aggregator and no broker (strike a worker \
                 instead, or choose another backend)",
            ),
            (_, Role::Coordinator) if self.no_coordinator => Some(
                "there is none: the harness submits by itself (strike a worker instead, or remove \
                 coordinator: none)",
            ),
            (_, Role::Aggregator) if self.no_aggregator => Some(
                "there is none: the harness sums by itself (strike a worker instead, or remove \
                 aggregator: none)",
            ),
            (Backend::Embedded, Role::Broker) => Some(
                "the embedded broker is a file, which no process serves (choose backend redis or \
                 rabbitmq)",
            ),
            (_, Role::Broker) if self.environment == Environment::External => Some(
                "in environment external the broker is not ours to strike (choose environment \
                 process or container)",
            ),
            _ => None,
        }
    }

    /// Why there is no network between a process and its broker, if so.
    pub(super) fn no_network(&self, _: Role) -> Option<&'static str> {
        match self.backend {
            Backend::Embedded | Backend::Static => Some(
                "there is no network between a worker and a file (choose backend redis or \
                 rabbitmq)",
            ),
            Backend::Redis | Backend::RabbitMq => None,
        }
    }

    /// Why there is no proxy of ours between a process and its broker, if so.
    pub(super) fn no_proxy(&self, role: Role) -> Option<&'static str> {
        self.no_network(role).or_else(|| {
            (self.environment == Environment::Kubernetes).then_some(
                "the proxy that does this stands on this machine, which Pods do not reach (choose \
                 partition, or environment process or container)",
            )
        })
    }

    /// Nothing stands in the way.
    pub(super) fn anywhere(&self, _: Role) -> Option<&'static str> {
        None
    }
}
