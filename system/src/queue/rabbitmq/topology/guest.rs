//! Somebody else's server: what is there under our names, and how to leave it.

use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ExchangeKind};

use super::stream_bootstrap::FIRM;
use super::{Depth, Queues, depth, result_route};
use crate::queue::guest::Guest;
use crate::queue::rabbitmq::error::{Outcome, is_not_found};

/// A queue says whose it is by what is in it, or by who waits for that. What was declared and is
/// empty may have been declared by us.
pub(in crate::queue::rabbitmq) async fn look_as_guest(
    connection: &Connection,
    queues: &Queues,
) -> Outcome<Guest> {
    let names = Names::of(queues);
    let (mut there, mut data) = (Vec::new(), None);
    for exchange in &names.exchanges {
        if has_exchange(connection, exchange).await? {
            there.push(exchange.clone());
        }
    }
    for queue in &names.queues {
        let Some(Depth { messages, consumers }) = depth(connection, queue).await? else { continue };
        there.push(queue.clone());
        // The journal outlives its sweeps, with its snapshots: whether there is one, its readers say.
        if messages + consumers > 0 && !names.outlive_sweeps.contains(queue) && data.is_none() {
            data = Some(format!(
                "the queue {queue} with {messages} messages and {consumers} consumers"
            ));
        }
    }
    Ok(Guest { there, data })
}

/// Deletes what was not there when the guest came.
pub(in crate::queue::rabbitmq) async fn leave_as_guest(
    connection: &Connection,
    queues: &Queues,
    guest: &Guest,
) -> Outcome<()> {
    let names = Names::of(queues);
    let is_ours = |name: &&String| !guest.there.contains(name);
    let channel = connection.create_channel().await?;
    for queue in names.queues.iter().filter(is_ours) {
        channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
    }
    for exchange in names.exchanges.iter().filter(is_ours) {
        let options = ExchangeDeleteOptions::default();
        channel.exchange_delete(exchange.as_str().into(), options).await?;
    }
    Ok(())
}

/// Everything that we may declare.
struct Names {
    queues: Vec<String>,
    outlive_sweeps: [String; 2],
    exchanges: Vec<String>,
}

impl Names {
    fn of(queues: &Queues) -> Self {
        let outlive_sweeps = [queues.journal(), queues.snapshots()];
        let own = queues.bindings().map(|(queue, _)| queue.to_owned());
        Self {
            queues: own
                .into_iter()
                .chain(outlive_sweeps.clone())
                .chain([queues.kernels(), FIRM.to_owned()])
                .collect(),
            outlive_sweeps,
            exchanges: queues
                .bindings()
                .map(|(_, exchange)| exchange.to_owned())
                .into_iter()
                .chain(result_route::exchanges(queues))
                .collect(),
        }
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
