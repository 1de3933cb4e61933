//! Firm ground for the journal. A server keeps its streams through a process of its own, which
//! it starts for its first stream and enters in a table that it writes half a second later. Where
//! it is killed in between, it forgets that process, and nobody can use, delete or declare that
//! stream any more (seen with 3.10; `ra_directory` opens its table with an `auto_save` of 500 ms).
//!
//! So the first stream is one that nobody needs, and the journal is declared when the table is
//! written. A queue says by its existence that this has been done on this server.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::time::sleep;

use super::{depth_over, durable, stream};
use crate::queue::rabbitmq::error::is_not_found;

/// Three times what the server needs.
const WRITTEN: Duration = Duration::from_millis(1500);

/// The queue that says that it has been done.
pub(super) const FIRM: &str = "ttg.streams.firm";

/// Most streams that nobody needs: the next is tried where one was lost.
const MOST: u32 = 100;

/// Sees to it that a stream that is declared now survives whatever comes. Returns the channel over which it was
/// asked, or did it.
pub(in crate::queue::rabbitmq) async fn make_firm(
    connection: &Connection,
) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    if depth_over(&channel, FIRM).await?.is_some() {
        return Ok(channel);
    }
    for number in 1..=MOST {
        let name = format!("ttg.streams.{number}");
        // A refusal closes the channel.
        let channel = connection.create_channel().await?;
        let declared = channel.queue_declare(name.as_str().into(), durable(), stream()).await;
        if is_usable(declared)? {
            sleep(WRITTEN).await;
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
            channel.queue_declare(FIRM.into(), durable(), FieldTable::default()).await?;
            return Ok(channel);
        }
    }
    connection.create_channel().await
}

/// Whether the stream that was declared can be used.
fn is_usable(declared: lapin::Result<lapin::Queue>) -> lapin::Result<bool> {
    match declared {
        Ok(_) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
