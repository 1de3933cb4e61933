//! Somebody else's server: what is there under our names, and how to leave it.

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{Connection, ExchangeKind};

use super::Server;
use super::ground::FIRM;
use super::life::{Outcome, is_not_found};
use super::link::Link;
use crate::queue::guest::Guest;
use crate::queue::{Result, Settings};

/// A queue says whose it is by what is in it, or by who waits for that. What was declared and is
/// empty may have been declared by us.
pub(in crate::queue) async fn look_as_guest(settings: &Settings, server: &Server) -> Result<Guest> {
    let names = Names::of(server);
    let link = Link::new(settings, server, None);
    let found = link.once(async |connection| {
        let (mut there, mut data) = (Vec::new(), None);
        for exchange in &names.exchanges {
            if has_exchange(connection, exchange).await? {
                there.push(exchange.clone());
            }
        }
        for queue in &names.queues {
            let Some((messages, consumers)) = depth(connection, queue).await? else { continue };
            there.push(queue.clone());
            // The journal outlives its sweeps: whether there is one, its readers say.
            if messages + consumers > 0 && *queue != names.journal && data.is_none() {
                data = Some(format!(
                    "the queue {queue} with {messages} messages and {consumers} consumers"
                ));
            }
        }
        Ok(Guest { there, data })
    });
    found.await
}

pub(in crate::queue) async fn leave_as_guest(
    settings: &Settings,
    server: &Server,
    guest: &Guest,
) -> Result<()> {
    let names = Names::of(server);
    let is_ours = |name: &&String| !guest.there.contains(name);
    let link = Link::new(settings, server, None);
    let left = link.once(async |connection| {
        let channel = connection.create_channel().await?;
        for queue in names.queues.iter().filter(is_ours) {
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        for exchange in names.exchanges.iter().filter(is_ours) {
            let options = ExchangeDeleteOptions::default();
            channel.exchange_delete(exchange.as_str().into(), options).await?;
        }
        Ok(())
    });
    left.await
}

/// Everything that we may declare.
struct Names {
    queues: Vec<String>,
    journal: String,
    exchanges: Vec<String>,
}

impl Names {
    fn of(Server { queues, .. }: &Server) -> Self {
        let journal = queues.journal();
        let own = queues.bindings().map(|(queue, _)| queue.to_owned());
        Self {
            queues: own
                .into_iter()
                .chain([journal.clone(), queues.kernels(), FIRM.to_owned()])
                .collect(),
            journal,
            exchanges: queues.bindings().map(|(_, exchange)| exchange.to_owned()).to_vec(),
        }
    }
}

/// Messages and consumers of a queue, if there is one.
pub(super) async fn depth(connection: &Connection, queue: &str) -> Outcome<Option<(u32, u32)>> {
    // A refusal closes the channel.
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
        Ok(queue) => Ok(Some((queue.message_count(), queue.consumer_count()))),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn has_exchange(connection: &Connection, exchange: &str) -> Outcome<bool> {
    let channel = connection.create_channel().await?;
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default();
    match channel.exchange_declare(exchange.into(), ExchangeKind::Direct, passive, none).await {
        Ok(()) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
