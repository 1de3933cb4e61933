//! A proxy between one process and the broker, with faults of the network (*toxics*) that need no
//! privileges. It runs on the harness's own thread: a `LocalSet` must be there.
//!
//! What it promises, whatever is imposed and lifted meanwhile: bytes arrive unchanged and in order,
//! or the connection breaks. What a toxic holds back arrives once it is lifted, to the last byte.
//! The end of one side's stream reaches the other side after its last byte. A connection keeps a
//! bounded number of bytes; then TCP itself slows down the sender.

mod connection;
mod direction;
mod effect;
mod held;
mod hooks;
mod imposed;
mod pump;
mod rule;
mod shared;
mod toxic;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet, spawn_local};
use tokio::time::sleep;

pub use direction::Direction;
pub use effect::Effect;
pub use imposed::Imposed;
pub use toxic::Toxic;

use shared::Shared;

/// How long to wait after a connection could not be accepted, for want of file descriptors say.
const BREATH: Duration = Duration::from_millis(20);

/// A proxy that listens, with its connections. Dropped, it ends with all of them.
pub struct Proxy {
    address: SocketAddr,
    shared: Rc<Shared>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Listens at a free port of `at`. Each connection made there is carried on to `upstream`,
    /// over one connection of its own; where `upstream` refuses that, it is reset.
    ///
    /// # Errors
    /// Where nothing can listen at that address.
    ///
    /// # Panics
    /// Outside of a `LocalSet`.
    pub fn listen(at: IpAddr, upstream: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((at, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let shared = Rc::new(Shared::new(upstream));
        let listening = spawn_local(listen(listener, Rc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open now, those included that are left hanging.
    pub fn connections(&self) -> usize {
        self.shared.open()
    }

    /// Imposes a toxic, beside those that are in force already. It is lifted with what this
    /// returns. Returns once every connection that the toxic breaks at once is broken; what a
    /// client has connected and nobody has accepted yet counts as a new connection.
    pub async fn impose(&self, toxic: Toxic) -> Imposed {
        imposed::impose(&self.shared, toxic).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are this task's, and end with it.
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, shared: Rc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn_local(connection::carry(shared.slot(), client));
                }
                Err(_) => sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests;
