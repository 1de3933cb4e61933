//! How a worker comes to its tasks.

use std::cell::Cell;
use std::num::NonZero;
use std::time::Duration;

use ::redis::{FromRedisValue, Pipeline, Value, cmd};
use tokio::time::Instant;

use super::entry::{EntryFields, Read};
use super::keys::{GROUP, KERNELS, STORE, TASKS};
use super::{Redis, is_no_group};
use crate::queue::{Asker, Delivery, Queue, Result, Token};
use crate::wire::Task;

/// The server waits for whole milliseconds.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

impl Redis {
    /// What the dead left behind, where it is time to look for that, or new tasks.
    pub(super) async fn look_or_read(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.join().await?;
        let deadline = Instant::now() + wait;
        // A worker that comes from its work has looked around beside it.
        let mut looks = !self.pace.is_kept();
        loop {
            if std::mem::replace(&mut looks, true) {
                let left_behind = self.take_over(max, &[], Asker::Idle).await?;
                if !left_behind.is_empty() {
                    return Ok(left_behind);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = left.min(self.settings.takeover_interval).max(SHORTEST_WAIT);
            let fresh = self.read_new(max, wait).await?;
            if !fresh.is_empty() || Instant::now() >= deadline {
                return Ok(fresh);
            }
            if self.is_complete().await? {
                return Ok(Vec::new());
            }
        }
    }

    /// New tasks that are there, on the connection that a commit does not use. None where a claim has more to
    /// do than to read: to join, to give back what a broken connection had been answered, to look for
    /// the dead.
    pub(super) async fn read_ahead(&self, max: usize) -> Result<Vec<Delivery>> {
        let lives = (self.link.life().await.0, self.reader.life().await.0);
        let may = {
            let state = self.state();
            state.joined && state.recovered == Some(lives) && self.pace.is_kept()
        };
        if may { self.read_new(max, Duration::ZERO).await } else { Ok(Vec::new()) }
    }

    /// New tasks; waits for them up to `wait`, in whole milliseconds.
    pub(super) async fn read_new(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let (question, store) = (self.question(max, wait), self.state().store.clone());
        let is_again = Cell::new(false);
        let read: Result<Read> = self
            .reader
            .call(async |mut c| {
                // A new connection may have come to other data: its tasks are others'.
                if is_again.replace(true) && store.is_some() {
                    let there: Option<String> = cmd("GET").arg(STORE).query_async(&mut c).await?;
                    if there != store {
                        return Ok(None);
                    }
                }
                // As `query_async`, which looks for an error in each field of each task too.
                let mut told = c.send_packed_commands(&question, 0, 2).await?.into_iter();
                let (streams, kernels) = (told.next(), told.next());
                let read = match streams.unwrap_or(Value::Nil) {
                    streams @ Value::Array(_) => Read::from_redis_value(streams)?,
                    other => Read::from_redis_value(other.extract_error()?)?,
                };
                self.recorded.look(kernels.unwrap_or(Value::Nil));
                Ok(read)
            })
            .await;
        let streams = match read {
            Err(error) if is_no_group(&error) => {
                self.state().joined = false;
                tokio::time::sleep(wait).await;
                return Ok(Vec::new());
            }
            other => other?,
        };
        let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries);
        let first = |(id, fields)| (Token { id, number: 1 }, 0, fields);
        self.readable(entries.map(first).collect()).await
    }

    /// What is asked for new tasks; the kernels come with them.
    fn question(&self, max: usize, wait: Duration) -> Pipeline {
        let (mut read, mut kernels) = (cmd("XREADGROUP"), cmd("SMEMBERS"));
        read.arg("GROUP").arg(GROUP).arg(&self.member().name).arg("COUNT").arg(max);
        // 0 would wait for ever.
        if let Some(milliseconds) = NonZero::new(wait.as_millis() as u64) {
            read.arg("BLOCK").arg(milliseconds.get());
        }
        read.arg("STREAMS").arg(TASKS).arg(">");
        kernels.arg(KERNELS);
        let mut both = Pipeline::with_capacity(2);
        both.add_command(read).add_command(kernels);
        both
    }

    /// Deliveries of the entries that are tasks. The others, and those that were delivered too
    /// often, become dead letters.
    pub(super) async fn readable(
        &self,
        entries: Vec<(Token, u64, EntryFields)>,
    ) -> Result<Vec<Delivery>> {
        if !entries.is_empty() {
            self.keep_in_sight().await?;
        }
        let mut deliveries = Vec::with_capacity(entries.len());
        for (token, deaths, EntryFields(fields)) in entries {
            let most = self.settings.max_deliveries;
            let read = Task::from_fields(&fields);
            match self.known.arrival(read, || fields, deaths, most, self).await? {
                Ok(task) => deliveries.push(Delivery { token, task, suspect: deaths > 0 }),
                Err(dead) => drop(self.bury(&token, dead).await?),
            }
        }
        Ok(deliveries)
    }
}
