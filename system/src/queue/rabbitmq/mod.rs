//! RabbitMQ: the wire contract's queues, and beside them a journal.
//!
//! Queues cannot be looked at without taking from them, and AMQP has no step that both publishes
//! and acknowledges, whoever dies. So everything that is published to the contract's exchanges is also
//! told to a stream of ours, the *journal*: onlookers read it without taking anything, a coordinator sees
//! in it what it has submitted, and a worker to whom a task is delivered again sees whether it was
//! settled. The journal's order decides: of several results of a chunk the first counts.
//!
//! Results are stored before their tasks are acknowledged: each in the contract's queue, and all that a worker
//! stores at once by one record of the journal, in one transaction. Before the acknowledgement the worker
//! may die; the tasks are then delivered again, found settled, and acknowledged. Only where two
//! workers compute one chunk at the same moment is a result stored twice; the aggregator counts
//! the first.
//!
//! A delivery belongs to a connection: when that is gone, or has sent no heartbeat for two of its
//! intervals, the broker gives its deliveries to others by itself. A delivery of a connection that
//! is gone is never acknowledged on a new one.
//!
//! Each module leans on those before it alone. The one exception is `journal`, which goes on from where a
//! `snapshot` ends, while that is made of the journal's records:
//!
//! - `error`: why a step failed, and what the broker's replies mean.
//! - `topology`: the queues, their names, and what declares them.
//! - `publisher`: messages, stored and confirmed.
//! - `connection`: made anew when it breaks; steps are repeated, or taken alone under a lock.
//! - `journal`: its records, what they come to, and whether it is still the same.
//! - `snapshot`: what the journal says up to a place, written by one of the workers.
//! - `trace`: who holds what, where the server tells.
//! - `consumer`: the worker's side.
//! - `inspect`: the onlooker's side, and dead letters.
//! - `submit`: the coordinator's side, and what is open and in no queue.

mod connection;
mod consumer;
mod error;
mod inspect;
mod journal;
mod publisher;
mod snapshot;
mod submit;
mod topology;
mod trace;

use self::connection::{ReconnectingClient, Worker};
use self::consumer::Consumer;
use self::inspect::Onlooker;
use self::journal::{Journal, record};
use self::publisher::Outgoing;
use self::snapshot::Writer;
use self::submit::Submitter;
use super::guest::Guest;
use super::{Address, Result, Settings, first_contact};

pub use super::Secret;
pub use connection::Server;
pub use topology::{QueueType, Queues};

/// A connection to RabbitMQ, of a worker or of somebody else.
pub struct RabbitMq {
    settings: Settings,
    queues: Queues,
    client: ReconnectingClient,
    journal: Journal,
    consumer: Consumer,
    onlooker: Onlooker,
    submitter: Submitter,
}

impl RabbitMq {
    /// Connects.
    ///
    /// # Errors
    /// Where the server does not answer within a few seconds, or refuses.
    pub async fn connect(settings: &Settings, worker: Option<&str>) -> Result<Self> {
        let Address::RabbitMq(server) = &settings.address else {
            unreachable!("only made for a RabbitMQ address");
        };
        let queues = server.queues.clone();
        let client = ReconnectingClient::new(
            settings,
            server,
            worker.map(|name| Worker {
                name: name.to_owned(),
                hello: record::hello(&queues, name),
                companion: snapshot::start_keeper,
            }),
        );
        let writer = if worker.is_some() { Writer::Nobody } else { Writer::Onlooker };
        client.within(first_contact(settings, worker), async |_| Ok(())).await?;
        Ok(Self {
            settings: settings.clone(),
            client,
            journal: Journal::new(&queues, writer),
            consumer: Consumer::new(settings.takeover_interval),
            onlooker: Onlooker::default(),
            submitter: Submitter::default(),
            queues,
        })
    }

    /// Looks whether the data is the same, if this is a new connection.
    async fn look_for_loss(&self) -> Result<()> {
        let sweep = self.journal.look_for_loss(&self.client).await?;
        if let Some(info) = sweep.filter(|_| self.consumer.known.is_blank()) {
            self.consumer.known.suppose(Some(info.sweep));
        }
        Ok(())
    }

    /// Publishes into the data that was seen, and no other: a connection that breaks may come back to
    /// other data.
    async fn publish(&self, messages: &[Outgoing]) -> Result<()> {
        loop {
            self.look_for_loss().await?;
            let is_done = self.client.call(async |life| {
                if self.journal.may_be_lost(&life).await? {
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
}

/// Whose a server is: see [`Guest`].
pub(super) async fn look_as_guest(settings: &Settings, server: &Server) -> Result<Guest> {
    let client = ReconnectingClient::new(settings, server, None);
    client.once(async |connection| topology::look_as_guest(connection, &server.queues).await).await
}

/// Leaves somebody else's server as it was.
pub(super) async fn leave_as_guest(
    settings: &Settings,
    server: &Server,
    guest: &Guest,
) -> Result<()> {
    let client = ReconnectingClient::new(settings, server, None);
    let queues = &server.queues;
    client.once(async |connection| topology::leave_as_guest(connection, queues, guest).await).await
}
