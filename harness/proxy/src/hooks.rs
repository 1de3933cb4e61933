//! What a toxic does to new connections, to open ones and to their bytes: what each of them says, and what
//! connections and pumps ask.

use std::time::Duration;

use tokio::time::Instant;

use crate::direction::Direction;
use crate::effect::Tally;
use crate::held;

/// What is done to a new connection, from the mildest to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AcceptPolicy {
    Carried,
    /// Until nothing says so any more.
    Waits,
    /// See [`Disruption::Silence`].
    Silenced,
    Reset,
}

/// What is done to an open connection from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disruption {
    /// Both sides are told that it is broken.
    Reset,
    /// The broker's side ends, and the other is told nothing any more.
    Silence,
}

/// Whether bytes may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Not before.
    At(Instant),
    /// Not as long as this is in force.
    Shut,
}

/// A direction of a connection at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    /// Never both.
    pub(crate) way: Direction,
    /// When bytes last went on.
    pub(crate) last: Option<Instant>,
}

/// Bytes that have just gone on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passage {
    pub(crate) connection: u64,
    pub(crate) bytes: usize,
    /// How many could have gone with them, but for the bounds on a piece.
    pub(crate) ready: usize,
    /// This toxic had made them wait.
    pub(crate) waited: bool,
}

/// How a toxic acts. Whatever it does not say goes on as if it were not there.
pub(crate) trait ToxicHooks {
    /// What happens to a new connection.
    fn accept_policy(&self) -> AcceptPolicy {
        AcceptPolicy::Carried
    }

    /// What happens to every open connection at once.
    fn disruption(&self) -> Option<Disruption> {
        None
    }

    /// A connection that it has touched cannot go on without it.
    fn spoils(&self) -> bool {
        false
    }

    /// What arrives vanishes.
    fn swallows(&self) -> bool {
        false
    }

    /// How long what has just arrived must wait.
    fn delay(&self) -> Option<Duration> {
        None
    }

    /// How many bytes may wait in each direction of a connection.
    fn room(&self) -> usize {
        held::ROOM
    }

    /// Whether what has arrived may go on.
    fn gate(&self, _moment: &Moment) -> Gate {
        Gate::Open
    }

    /// How many bytes may go on together.
    fn most(&self) -> usize {
        usize::MAX
    }

    /// Bytes have gone on.
    fn passed(&self, _moment: &Moment, _passage: &Passage, _tally: &Tally) {}
}
