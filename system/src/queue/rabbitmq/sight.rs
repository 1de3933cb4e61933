//! Whether the data of the server is still what it was. A server that lost it looks like a new one:
//! whoever connects declares everything again, and finds it empty.
//!
//! The journal carries a name, the first record of its kind. A reset carries it over to the next
//! journal. So a connection after which the name is gone, or another, has come to other data; it
//! is asked for once in each life of a connection, since only a life's end hides a loss.

use std::cell::{Cell, RefCell};

use super::life::{Life, Outcome, Outgoing};
use super::{RabbitMq, record};
use crate::queue::{QueueError, Result};

/// See the file.
#[derive(Default)]
pub(super) struct Sight {
    /// A sweep or a task was seen: from then on the data must stay the same.
    pub(super) has_seen: Cell<bool>,
    store: RefCell<Option<String>>,
    /// The life in which it was last looked at.
    looked: Cell<Option<u64>>,
}

impl Sight {
    /// The sweep that is being worked for is in the data of this name.
    pub(super) fn keep(&self, store: Option<String>) {
        self.has_seen.set(true);
        self.store.replace(store);
    }

    /// Whether nobody has looked since this life began.
    pub(super) fn is_new(&self, life: u64) -> bool {
        self.looked.get() != Some(life)
    }

    /// Whether data of this name is not what was seen.
    pub(super) fn is_lost(&self, store: Option<&String>) -> bool {
        self.has_seen.get() && self.store.borrow().as_ref() != store
    }
}

impl RabbitMq {
    /// Looks whether the data is the same, if this is a new connection.
    pub(super) async fn look_for_loss(&self) -> Result<()> {
        let life = self.link.live();
        if life.is_some() && life == self.sight.looked.get() {
            return Ok(());
        }
        let (life, mut store) = self
            .link
            .call(async |life| Ok((life.number, self.journal.read_store(&life).await?)))
            .await?;
        if self.journal.is_cut() {
            return Err(QueueError::lost(&self.settings.address));
        }
        if store.is_none() || self.sight.is_lost(store.as_ref()) {
            // Somebody may be about to write it: alone, one sees the end of that.
            store = self
                .alone(async |life| {
                    self.journal.read_on(life).await?;
                    if !self.sight.has_seen.get() {
                        self.name_store(life).await?;
                    }
                    Ok(self.journal.store())
                })
                .await?;
            if self.sight.is_lost(store.as_ref()) {
                return Err(QueueError::lost(&self.settings.address));
            }
        }
        self.sight.store.replace(store);
        self.sight.looked.set(Some(life));
        Ok(())
    }

    /// Whether this connection has come to other data, or may have: it is new, and nobody has looked.
    pub(super) async fn may_be_lost(&self, life: &Life) -> Outcome<bool> {
        if !self.sight.has_seen.get() || !self.sight.is_new(life.number) {
            return Ok(false);
        }
        let store = self.journal.read_store(life).await?;
        Ok(self.journal.is_cut() || self.sight.is_lost(store.as_ref()))
    }

    /// Publishes into the data that was seen, and no other: a connection that breaks may come back to
    /// other data.
    pub(super) async fn publish(&self, messages: &[Outgoing]) -> Result<()> {
        loop {
            self.look_for_loss().await?;
            let is_done = self.link.call(async |life| {
                if self.may_be_lost(&life).await? {
                    return Ok(false);
                }
                life.publish(messages).await?;
                Ok(true)
            });
            if is_done.await? {
                return Ok(());
            }
        }
    }

    /// Gives the data a name where it has none.
    pub(super) async fn name_store(&self, life: &Life) -> Outcome<()> {
        if self.journal.store().is_none() {
            let name = format!("{:016x}", fastrand::Rng::new().u64(..));
            life.publish(&[record::store(&self.queues, &name)]).await?;
            self.journal.read_on(life).await?;
        }
        Ok(())
    }
}
