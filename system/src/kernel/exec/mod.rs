//! A user's own program as the kernel: one JSON line per chunk in, one out.
//!
//! In: `{"chunk_id":"00042","start_param":4200,"end_param":4300}`.
//! Out: `{"values":[…]}`, one number per parameter, or the chunk's
//! `{"sum":…,"count":…,"min":…,"max":…}`, or `{"error":"…"}`. One line too many would be taken for
//! the next chunk's answer, and shift all that follow: a program that says more than it was asked
//! is not trusted. It may repeat the `chunk_id`, which then must be the chunk's.
//!
//! A program that cannot be started, or that ends before it was asked for anything, is no fault of the
//! chunk that it was started for: [`KernelError::Unusable`] says so.

mod answer;
mod group;
mod instance;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::Command;
use tokio::time::timeout;

use self::group::Group;
use self::instance::{Instance, Silence};
use super::{Kernel, KernelError};
use crate::chunk::Chunk;
use crate::stats::Stats;

pub use self::group::lead_if_asked;

/// An instance that ends within this time without ever having answered may end so whatever it is asked:
/// another is started and asked nothing.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How much longer than the first one that other one is watched, beyond half as long again.
const WATCH: Duration = Duration::from_millis(200);

/// Keeps one instance of the program running and gives it chunk after chunk. An instance that
/// failed, or was interrupted, is killed with all that it has started: its answers could no longer be
/// told apart.
#[derive(Debug)]
pub struct Exec {
    command: Vec<String>,
    timeout: Option<Duration>,
    /// All of its environment variables, where they are not those of this process.
    environment: Option<Vec<(OsString, OsString)>>,
    is_tied: bool,
    running: Option<Instance>,
    /// It was seen to wait until it is asked: where it ends, it is for what it was asked.
    waits_to_be_asked: bool,
}

impl Exec {
    /// A kernel that runs `command` (program and arguments; no shell). A chunk that takes longer
    /// than `timeout` fails.
    pub fn new(command: Vec<String>, timeout: Option<Duration>) -> Self {
        Self {
            command,
            timeout,
            environment: None,
            is_tied: false,
            running: None,
            waits_to_be_asked: false,
        }
    }

    /// The same with these environment variables, and no others.
    #[must_use]
    pub fn in_environment(self, variables: Vec<(OsString, OsString)>) -> Self {
        Self { environment: Some(variables), ..self }
    }

    /// The same, and all that the program starts ends with this process, even where that is killed.
    /// This process's program must call [`lead_if_asked`] first of all.
    #[must_use]
    pub fn tied(self) -> Self {
        Self { is_tied: true, ..self }
    }

    fn start(&self) -> Result<Instance, KernelError> {
        let unusable = |error: &dyn std::fmt::Display| {
            let program = self.command.first().map_or("", String::as_str);
            KernelError::Unusable(format!("cannot start the kernel {program:?}: {error}"))
        };
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| unusable(&"its command is empty"))?;
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(variables) = &self.environment {
            command.env_clear().envs(variables.iter().cloned());
        }
        let group = if self.is_tied { Group::tied() } else { Ok(Group::of_the_program()) };
        let started = group.and_then(|group| Instance::start(command, group));
        started.map_err(|error| unusable(&error))
    }

    /// Whose fault it is that an instance has ended. One that never answered may end so whatever it is
    /// asked: then the next one does not wait to be asked.
    async fn fault(&mut self, ended: Instance, age: Duration, reason: String) -> KernelError {
        if ended.has_answered() || self.waits_to_be_asked || age > AT_ONCE {
            return KernelError::Failed(reason);
        }
        drop(ended);
        let mut next = match self.start() {
            Ok(next) => next,
            Err(error) => return error,
        };
        if timeout(age * 3 / 2 + WATCH, next.ends_unasked()).await.is_err() {
            (self.running, self.waits_to_be_asked) = (Some(next), true);
            return KernelError::Failed(reason);
        }
        let said = next.last_words(None).await;
        KernelError::Unusable(format!(
            "the kernel was started again, and ends before it is asked for a chunk: {said}"
        ))
    }
}

#[async_trait(?Send)]
impl Kernel for Exec {
    async fn run(&mut self, chunk: &Chunk) -> Result<Stats, KernelError> {
        // Taken out for the time of the exchange: a future dropped in the middle kills it. One that
        // has ended after its answer has done what it was asked.
        let running = self.running.take().and_then(|mut it| it.is_there().then_some(it));
        let mut instance = match running {
            Some(instance) => instance,
            None => self.start()?,
        };
        let exchange = instance.exchange(chunk);
        let answer = match self.timeout {
            None => exchange.await,
            Some(limit) => timeout(limit, exchange).await.unwrap_or_else(|_| {
                Err(Silence::Nonsense(format!("the kernel took longer than {limit:?}")))
            }),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(Silence::Ended(age, reason)) => {
                return Err(self.fault(instance, age, reason).await);
            }
            Err(Silence::Nonsense(reason)) => return Err(KernelError::Failed(reason)),
        };
        let stats = answer::judge(&answer, chunk)?;
        self.running = Some(instance);
        Ok(stats?)
    }
}
