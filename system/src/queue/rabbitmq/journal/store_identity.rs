//! Whether the data of the server is still what it was. A server that lost it looks like a new one:
//! whoever connects declares everything again, and finds it empty.
//!
//! The journal carries a name, the first record of its kind. A reset carries it over to the next
//! journal. So a connection after which the name is gone, or another, has come to other data; it
//! is asked for once in each life of a connection, since only a life's end hides a loss.

use std::cell::{Cell, RefCell};

use super::{Beginning, Journal, record};
use crate::queue::rabbitmq::connection::{Life, ReconnectingClient};
use crate::queue::rabbitmq::error::Outcome;
use crate::queue::{QueueError, Result, SweepInfo};

/// The data that was seen.
#[derive(Default)]
pub(super) struct StoreIdentity {
    /// A sweep or a task was seen: from then on the data must stay the same.
    has_seen: Cell<bool>,
    store: RefCell<Option<String>>,
    /// The life in which it was last looked at.
    looked: Cell<Option<u64>>,
}

impl StoreIdentity {
    /// Whether data of this name is not what was seen.
    fn is_lost(&self, store: Option<&String>) -> bool {
        self.has_seen.get() && self.store.borrow().as_ref() != store
    }
}

impl Journal {
    /// A task was seen: from now on the data must stay the same.
    pub(in crate::queue::rabbitmq) fn has_seen_task(&self) {
        self.identity.has_seen.set(true);
    }

    /// The sweep that is being worked for is in the data that was read of last.
    pub(in crate::queue::rabbitmq) fn keep_store(&self) {
        self.identity.has_seen.set(true);
        self.identity.store.replace(self.store());
    }

    /// As `keep_store`, once.
    pub(in crate::queue::rabbitmq) fn keep_first_store(&self) {
        if !self.identity.has_seen.get() {
            self.keep_store();
        }
    }

    /// Whether what was read of last is not the data that was seen.
    pub(in crate::queue::rabbitmq) fn is_of_other_store(&self) -> bool {
        self.identity.is_lost(self.store().as_ref())
    }

    /// Looks whether the data is the same, if this is a new connection; the sweep, where one was found
    /// on the way.
    pub(in crate::queue::rabbitmq) async fn look_for_loss(
        &self,
        client: &ReconnectingClient,
    ) -> Result<Option<SweepInfo>> {
        let life = client.live();
        if life.is_some() && life == self.identity.looked.get() {
            return Ok(None);
        }
        let (life, Beginning { mut store, sweep }) =
            client.call(async |life| Ok((life.number, self.read_beginning(&life).await?))).await?;
        if self.is_cut() {
            return Err(QueueError::lost(client.address()));
        }
        if store.is_none() || self.identity.is_lost(store.as_ref()) {
            // Somebody may be about to write it: alone, one sees the end of that.
            store = client
                .alone(async |life| {
                    self.read_on(life).await?;
                    if !self.identity.has_seen.get() {
                        self.name_store(life).await?;
                    }
                    Ok(self.store())
                })
                .await?;
            if self.identity.is_lost(store.as_ref()) {
                return Err(QueueError::lost(client.address()));
            }
        }
        self.identity.store.replace(store);
        self.identity.looked.set(Some(life));
        Ok(sweep)
    }

    /// Whether this connection has come to other data, or may have: it is new, and nobody has looked.
    pub(in crate::queue::rabbitmq) async fn may_be_lost(&self, life: &Life) -> Outcome<bool> {
        if !self.identity.has_seen.get() || self.identity.looked.get() == Some(life.number) {
            return Ok(false);
        }
        let store = self.read_beginning(life).await?.store;
        Ok(self.is_cut() || self.identity.is_lost(store.as_ref()))
    }

    /// Gives the data a name where it has none.
    pub(in crate::queue::rabbitmq) async fn name_store(&self, life: &Life) -> Outcome<()> {
        if self.store().is_none() {
            let name = format!("{:016x}", fastrand::Rng::new().u64(..));
            life.publish(&[record::store(&self.queues, &name)]).await?;
            self.read_on(life).await?;
        }
        Ok(())
    }
}
