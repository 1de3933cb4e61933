//! Names of the exchanges and queues, and how the broker keeps the queues. By default they are the wire
//! contract's.

pub(in crate::queue::rabbitmq) const TASKS_EXCHANGE: &str = "ttg.tasks.exchange";
pub(in crate::queue::rabbitmq) const RESULTS_EXCHANGE: &str = "ttg.results.exchange";
pub(in crate::queue::rabbitmq) const RETRY_EXCHANGE: &str = "ttg.retry.exchange";
pub(in crate::queue::rabbitmq) const LETTERS_EXCHANGE: &str = "ttg.dlq.exchange";

/// How the broker keeps the queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueueType {
    /// On one node: the wire contract's.
    #[default]
    Classic,
    /// Replicated over a cluster, under names of their own.
    Quorum,
}

/// The queues of a sweep. Each is also its routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues {
    /// How the broker keeps them.
    pub kind: QueueType,
    /// Tasks to be delivered.
    pub tasks: String,
    /// Results.
    pub results: String,
    /// Failed tasks that wait for their next attempt.
    pub retry: String,
    /// Dead letters.
    pub letters: String,
}

impl Queues {
    /// The queues under their usual names.
    pub fn of(kind: QueueType) -> Self {
        let suffix = match kind {
            QueueType::Classic => "",
            QueueType::Quorum => ".quorum",
        };
        Self {
            kind,
            tasks: format!("ttg.tasks{suffix}"),
            results: format!("ttg.results{suffix}"),
            retry: format!("ttg.tasks.retry{suffix}"),
            letters: format!("ttg.tasks.dlq{suffix}"),
        }
    }

    /// Our own record of the sweep, a stream: see [`super::super::journal`].
    pub(in crate::queue::rabbitmq) fn journal(&self) -> String {
        format!("{}.journal", self.tasks)
    }

    /// What the journal says, from time to time, a stream: see [`super::super::snapshot`].
    pub(in crate::queue::rabbitmq) fn snapshots(&self) -> String {
        format!("{}.snapshots", self.tasks)
    }

    /// Says who writes the snapshots.
    pub(in crate::queue::rabbitmq) fn keeper(&self) -> String {
        format!("{}.keeper", self.tasks)
    }

    /// Consumed by workers that have nothing to do.
    pub(in crate::queue::rabbitmq) fn idle(&self) -> String {
        format!("{}.idle", self.tasks)
    }

    /// Consumed by workers that hold something and take nothing more.
    pub(in crate::queue::rabbitmq) fn paused(&self) -> String {
        format!("{}.paused", self.tasks)
    }

    /// Holds the kernels that the sweep may be computed by.
    pub(in crate::queue::rabbitmq) fn kernels(&self) -> String {
        format!("{}.kernels", self.tasks)
    }

    /// A queue that only one connection can have at a time.
    pub(in crate::queue::rabbitmq) fn lock(&self) -> String {
        format!("{}.lock", self.tasks)
    }

    /// Every queue with its exchange.
    pub(in crate::queue::rabbitmq) fn bindings(&self) -> [(&str, &'static str); 4] {
        [
            (&self.tasks, TASKS_EXCHANGE),
            (&self.retry, RETRY_EXCHANGE),
            (&self.letters, LETTERS_EXCHANGE),
            (&self.results, RESULTS_EXCHANGE),
        ]
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self::of(QueueType::default())
    }
}
