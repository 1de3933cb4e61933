//! What a toxic has done: the proof that it took effect.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use tokio::sync::watch;

/// What one toxic has done since it was imposed. All numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effect {
    /// Connections to which it did any of the following.
    pub connections: u64,
    /// Bytes that arrived and were told to wait for a delay.
    pub delayed: u64,
    /// Bytes that had to wait for the rate of a bandwidth.
    pub throttled: u64,
    /// Bytes that waited in the proxy for a cut to be lifted. More may have waited in the kernel,
    /// once the proxy had no room for them.
    pub held: u64,
    /// Bytes that vanished for good.
    pub vanished: u64,
    /// Places at which bytes that could have gone together were cut apart.
    pub cuts: u64,
    /// Connections that it reset. Those that are reset because it was lifted count as well.
    pub reset: u64,
    /// New connections that were accepted and left hanging.
    pub hanging: u64,
    /// Open connections of which the broker saw the end and the other side did not.
    pub silenced: u64,
}

impl Effect {
    /// It did anything at all.
    pub fn took_effect(&self) -> bool {
        *self != Self::default()
    }
}

impl fmt::Display for Effect {
    /// One fragment for people, without what did not happen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.delayed, "bytes delayed"),
            (self.throttled, "bytes throttled"),
            (self.held, "bytes held"),
            (self.vanished, "bytes vanished"),
            (self.cuts, "cuts"),
            (self.reset, "connections reset"),
            (self.hanging, "new connections left hanging"),
            (self.silenced, "connections half open"),
        ];
        write!(f, "connections touched: {}", self.connections)?;
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {what}: {count}")?;
        }
        Ok(())
    }
}

/// Where an effect is counted.
#[derive(Default)]
pub(crate) struct Tally {
    effect: watch::Sender<Effect>,
    touched: RefCell<BTreeSet<u64>>,
}

impl Tally {
    /// Counts something that happened to a connection.
    pub(crate) fn count(&self, connection: u64, change: impl FnOnce(&mut Effect)) {
        let first = self.touched.borrow_mut().insert(connection);
        self.effect.send_modify(|effect| {
            effect.connections += u64::from(first);
            change(effect);
        });
    }

    pub(crate) fn has_touched(&self, connection: u64) -> bool {
        self.touched.borrow().contains(&connection)
    }

    pub(crate) fn effect(&self) -> Effect {
        *self.effect.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Effect> {
        self.effect.subscribe()
    }
}
