//! The way of each process to the broker: by a proxy, where a fault of the network needs one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use super::Stage;
use crate::environment::{BrokerProcess, Host};
use crate::plan::{Environment, WorkersIn};
use ttg_proxy::Proxy;

/// Proxies, by the process that has one.
#[derive(Default)]
pub(super) struct Links(RefCell<HashMap<String, Rc<Proxy>>>);

impl Stage {
    /// The proxy between a process and the broker.
    pub fn link(&self, process: &str) -> Option<Rc<Proxy>> {
        self.links.0.borrow().get(process).cloned()
    }

    /// Where a process finds the broker: its proxy, if a fault needs one.
    pub(super) fn way(&self, process: &str) -> io::Result<Option<SocketAddr>> {
        let listens = self.broker_process.as_ref().and_then(BrokerProcess::listens);
        // Pods do not reach this machine.
        let on_cluster = self.plan.environment == Environment::Kubernetes;
        let needed = self.plan.strikes_the_network() && !on_cluster;
        let Some(upstream) = listens.filter(|_| needed) else { return Ok(None) };
        if let Some(link) = self.link(process) {
            return Ok(Some(link.address()));
        }
        // Containers reach this machine by their network's gateway, and nobody else does there.
        let gateway = self.fleet.host().and_then(Host::gateway);
        let gateway = gateway.filter(|_| self.plan.workers_in == WorkersIn::Container);
        let at = gateway.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let link = Proxy::listen(at, upstream)?;
        let address = link.address();
        self.links.0.borrow_mut().insert(process.to_owned(), Rc::new(link));
        Ok(Some(address))
    }
}
