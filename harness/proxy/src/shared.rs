//! What a proxy, its connections and its toxics share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::sync::{mpsc, watch};

use crate::hooks::Disruption;
use crate::rule::{Rule, Rules};

/// What is done to an open connection, and for which rule. Its receipt is dropped when it is done,
/// or when the connection has ended.
pub(crate) struct Order {
    pub(crate) disruption: Disruption,
    pub(crate) rule: Rc<Rule>,
    _receipt: Option<mpsc::Sender<()>>,
}

/// The rules in force and the open connections of one proxy.
pub(crate) struct Shared {
    pub(crate) upstream: SocketAddr,
    rules: watch::Sender<Rules>,
    open: RefCell<BTreeMap<u64, mpsc::UnboundedSender<Order>>>,
    last_id: Cell<u64>,
}

impl Shared {
    pub(crate) fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            rules: watch::Sender::new(Rc::from([])),
            open: RefCell::default(),
            last_id: Cell::new(0),
        }
    }

    /// A number that was not given out before.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    pub(crate) fn open(&self) -> usize {
        self.open.borrow().len()
    }

    pub(crate) fn rules(&self) -> watch::Receiver<Rules> {
        self.rules.subscribe()
    }

    pub(crate) fn add(&self, rule: Rc<Rule>) {
        self.rules.send_modify(|rules| {
            *rules = rules.iter().cloned().chain([rule]).collect();
        });
    }

    pub(crate) fn is_in_force(&self, rule: &Rule) -> bool {
        self.rules.borrow().iter().any(|other| other.id == rule.id)
    }

    /// Whether it was in force until now.
    pub(crate) fn remove(&self, rule: &Rule) -> bool {
        self.rules.send_if_modified(|rules| {
            let before = rules.len();
            *rules = rules.iter().filter(|other| other.id != rule.id).cloned().collect();
            rules.len() < before
        })
    }

    /// Tells open connections of a disruption, those that `whom` names.
    pub(crate) fn strike(
        &self,
        disruption: Disruption,
        rule: &Rc<Rule>,
        receipt: Option<&mpsc::Sender<()>>,
        whom: impl Fn(u64) -> bool,
    ) {
        for (_, inbox) in self.open.borrow().iter().filter(|(id, _)| whom(**id)) {
            let order = Order { disruption, rule: Rc::clone(rule), _receipt: receipt.cloned() };
            // A connection that reads its orders no more is about to be gone.
            let _ = inbox.send(order);
        }
    }

    /// A place for a new connection.
    pub(crate) fn slot(self: &Rc<Self>) -> ConnectionSlot {
        let id = self.next_id();
        let (sender, orders) = mpsc::unbounded_channel();
        self.open.borrow_mut().insert(id, sender);
        ConnectionSlot { id, orders, shared: Rc::clone(self) }
    }
}

/// The place of a connection among those that are open, for as long as it is.
pub(crate) struct ConnectionSlot {
    pub(crate) id: u64,
    pub(crate) shared: Rc<Shared>,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl ConnectionSlot {
    /// The next thing that must be done to the connection.
    pub(crate) async fn order(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            // The sender is where this slot is.
            None => std::future::pending().await,
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.shared.open.borrow_mut().remove(&self.id);
    }
}
