//! What the journal says up to a place in it, kept in a stream of its own: whoever needs to know reads the
//! last one, and the journal from there on.
//!
//! A snapshot stands at a *mark*, a record of the journal whose text is nobody else's. What a journal says
//! up to a mark follows from what stands before it; so a snapshot whose mark is in its place is as true as
//! the journal is. One that does not fit is of a journal that is gone, and is passed over, as is one that
//! cannot be read, or none: that costs the time to read the journal from further back, and nothing else.

mod keeper;
mod reading;

use std::time::Duration;

use futures_util::future::try_join;
use futures_util::{FutureExt, StreamExt};
use lapin::Connection;
use lapin::types::AMQPValue;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::connection::ConsumingChannel;
use super::error::Outcome;
use super::journal::digest::Digest;
use super::journal::reader::{self, Reader};
use super::journal::record::{Record, new_mark};
use super::topology::Queues;

pub(super) use keeper::start_keeper;
pub(super) use reading::{Reading, Writer};

/// How it is written. What is written otherwise is passed over. Whoever changes what a [`Digest`] says raises
/// it.
pub(super) const FORMAT: u8 = 4;

/// Largest snapshot, in bytes. From 4.0 on the server takes no message above 16 MiB, and whoever asks
/// something over the connection that brings one waits for so long.
const LARGEST: usize = 4 << 20;

/// Longest wait for the last one. There is one from the beginning, which says nothing.
const ANSWER: Duration = Duration::from_secs(1);

/// Snapshots that the server sends ahead. Those that were written at the same moment come together.
const AHEAD: u16 = 2;

/// A mark in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) place: u64,
    pub(super) mark: String,
}

/// What the journal says up to a mark.
#[derive(Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) at: Position,
    pub(super) digest: Digest,
}

/// Where somebody begins to read who opens the journal.
pub(super) enum Start {
    /// Behind a snapshot.
    Snapshot(Box<Snapshot>),
    /// Behind his own last mark, with what he knows.
    OwnMark,
    Beginning,
}

impl Snapshot {
    /// The last one that there is, if it can be read.
    async fn last(connection: &Connection, queues: &Queues) -> Outcome<Option<Self>> {
        // A refusal closes the channel.
        let channel = ConsumingChannel::from(connection.create_channel().await?);
        let place = AMQPValue::LongString("last".into());
        let Ok(mut consumer) = reader::attach(&channel, &queues.snapshots(), AHEAD, place).await
        else {
            return Ok(None);
        };
        let mut last = match timeout(ANSWER, consumer.next()).await {
            Ok(Some(message)) => Self::read(&message?.data),
            _ => None,
        };
        while let Some(Some(message)) = consumer.next().now_or_never() {
            let next = Self::read(&message?.data);
            let is_ahead = |it: &Self| last.as_ref().is_none_or(|last| it.at.place > last.at.place);
            last = next.filter(is_ahead).or(last);
        }
        Ok(last)
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (format, bytes) = bytes.split_first()?;
        let read: Option<Self> = (*format == FORMAT).then(|| postcard::from_bytes(bytes).ok())?;
        // It says what stands before its mark, with that and no more.
        read.filter(|it| it.at.place.checked_add(1) == Some(it.digest.next))
    }
}

/// What a journal says up to a mark, as it is written.
pub(super) fn encode(at: &Position, digest: &Digest) -> Vec<u8> {
    postcard::to_extend(&(at, digest), vec![FORMAT]).unwrap_or_default()
}

/// Whether that can be a message; it cannot be written at all where it is shorter.
fn fits(bytes: &[u8]) -> bool {
    (2..=LARGEST).contains(&bytes.len())
}

/// The journal, opened somewhere.
pub(super) struct Opened {
    pub(super) reader: Reader,
    pub(super) start: Start,
    /// A mark that was written meanwhile: whoever comes to it has read what was confirmed when this began.
    pub(super) end: Option<String>,
}

/// Opens the journal as far on as can be: behind the last snapshot, or behind an own mark, whichever is
/// further on and fits.
pub(super) async fn open_journal(
    connection: &Connection,
    queues: &Queues,
    own: Option<&Position>,
) -> Outcome<Opened> {
    let own_place = own.map_or(0, |own| own.place);
    if let Some(opened) = open_ahead(connection, queues, own_place).await? {
        return Ok(opened);
    }
    if let Some(own) = own
        && let Some((reader, end)) = open_behind(connection, queues, own).await?
    {
        return Ok(Opened { reader, start: Start::OwnMark, end: Some(end) });
    }
    let reader = Reader::open(connection, queues, 0).await?;
    Ok(Opened { reader, start: Start::Beginning, end: None })
}

/// Opens the journal behind the last snapshot, where that is further on than this place.
pub(super) async fn open_ahead(
    connection: &Connection,
    queues: &Queues,
    place: u64,
) -> Outcome<Option<Opened>> {
    let last = Snapshot::last(connection, queues).await?;
    let Some(snapshot) = last.filter(|it| it.at.place > place) else { return Ok(None) };
    let behind = open_behind(connection, queues, &snapshot.at).await?;
    let start = Start::Snapshot(Box::new(snapshot));
    Ok(behind.map(|(reader, end)| Opened { reader, start, end: Some(end) }))
}

/// Opens the journal behind a mark, if that is in its place, and writes another to its end. Whoever needs a
/// chunk of the dead waits for this: both ends are opened at once.
async fn open_behind(
    connection: &Connection,
    queues: &Queues,
    at: &Position,
) -> Outcome<Option<(Reader, String)>> {
    let reader = Reader::open(connection, queues, at.place);
    let (mut reader, end) = try_join(reader, end(connection, queues)).await?;
    // Nothing ever comes to whoever reads from a place beyond the end.
    if at.place >= end.place {
        return Ok(None);
    }
    let first = Record::read(&reader.next().await?);
    let is_there = matches!(first, Record::Mark(it) if it == at.mark);
    Ok((is_there && reader.next == at.place + 1).then_some((reader, end.mark)))
}

/// A new mark. A server that lacks memory or disk takes it later.
async fn end(connection: &Connection, queues: &Queues) -> Outcome<Position> {
    let mut reader = Reader::open_at_end(connection, queues).await?;
    let mine = new_mark();
    reader.write_mark(queues, &mine).await?;
    loop {
        reader.turn.give_way().await;
        if matches!(Record::read(&reader.next().await?), Record::Mark(it) if it == mine) {
            return Ok(Position { place: reader.next - 1, mark: mine });
        }
    }
}
