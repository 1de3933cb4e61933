//! What can go wrong on the way: one file each, with what it does to new connections, to open
//! ones, and to the bytes that come and go.

mod bandwidth;
mod half_open;
mod latency;
mod partition;
mod reset;
mod slice;
mod vanish;

use std::time::Duration;

use tokio::time::Instant;

use super::effect::Tally;
use super::held;

/// No delay and no pause is longer: it would not end before the clock does.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the process that the proxy is for.
    ToBroker,
    /// To that process.
    FromBroker,
    /// Both ways.
    Both,
}

impl Direction {
    /// Whether what is done in this direction is done to bytes that go that way.
    pub(super) fn covers(self, way: Self) -> bool {
        self == Self::Both || self == way
    }
}

/// A fault of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Toxic {
    /// Every piece that arrives, and the end of a stream, is sent on later.
    Latency {
        /// By how much.
        delay: Duration,
        /// By how much more or less, evenly distributed. The order stays.
        jitter: Duration,
        /// Where the jitter is drawn from.
        seed: u64,
        /// Which way.
        direction: Direction,
    },
    /// All connections together send no faster than this, in each direction.
    Bandwidth {
        /// Zero counts as one.
        bytes_per_second: u64,
        /// Which way.
        direction: Direction,
    },
    /// Every open connection is reset (RST to both sides) when it is imposed; new ones are reset
    /// as soon as they are accepted, while it is in force.
    Reset,
    /// Bytes vanish, and the end of a stream; the connection stays. One of which something has
    /// vanished is reset when this is lifted.
    Drop {
        /// Which way.
        direction: Direction,
    },
    /// The broker sees every open connection end, and the other side does not: what it sends
    /// vanishes, and nothing answers. New connections are accepted and left hanging. All of these
    /// are reset when it is lifted.
    HalfOpen,
    /// Bytes go on in small pieces.
    Slice {
        /// Of at most so many bytes. Zero counts as one.
        bytes: usize,
        /// With so much time between.
        pause: Duration,
        /// Which way.
        direction: Direction,
    },
    /// Nothing passes until it is lifted, and nothing is lost. New connections are accepted, and
    /// carried on when it is lifted, whatever the direction.
    Partition {
        /// Which way.
        direction: Direction,
    },
}

impl Toxic {
    pub(super) fn direction(&self) -> Direction {
        match *self {
            Self::Reset | Self::HalfOpen => Direction::Both,
            Self::Latency { direction, .. }
            | Self::Bandwidth { direction, .. }
            | Self::Drop { direction }
            | Self::Slice { direction, .. }
            | Self::Partition { direction } => direction,
        }
    }

    pub(super) fn act(&self) -> Box<dyn Act> {
        match *self {
            Self::Latency { delay, jitter, seed, .. } => {
                Box::new(latency::Latency::new(delay.min(LONGEST), jitter.min(LONGEST), seed))
            }
            Self::Bandwidth { bytes_per_second, .. } => {
                Box::new(bandwidth::Bandwidth::new(bytes_per_second))
            }
            Self::Reset => Box::new(reset::Reset),
            Self::Drop { .. } => Box::new(vanish::Vanish),
            Self::HalfOpen => Box::new(half_open::HalfOpen),
            Self::Slice { bytes, pause, .. } => {
                Box::new(slice::Slice { bytes, pause: pause.min(LONGEST) })
            }
            Self::Partition { .. } => Box::new(partition::Partition),
        }
    }
}

/// What is done to a new connection, from the mildest to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Welcome {
    Carried,
    /// Until nothing says so any more.
    Waits,
    /// See [`Blow::Silence`].
    Silenced,
    Reset,
}

/// What is done to an open connection from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    /// Both sides are told that it is broken.
    Reset,
    /// The broker's side ends, and the other is told nothing any more.
    Silence,
}

/// Whether bytes may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not before.
    At(Instant),
    /// Not as long as this is in force.
    Shut,
}

/// A direction of a connection at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// Never both.
    pub(super) way: Direction,
    /// When bytes last went on.
    pub(super) last: Option<Instant>,
}

/// Bytes that have just gone on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    pub(super) connection: u64,
    pub(super) bytes: usize,
    /// How many could have gone with them, but for the bounds on a piece.
    pub(super) ready: usize,
    /// This toxic had made them wait.
    pub(super) waited: bool,
}

/// How a toxic acts. Whatever it does not say goes on as if it were not there.
pub(super) trait Act {
    /// What happens to a new connection.
    fn welcome(&self) -> Welcome {
        Welcome::Carried
    }

    /// What happens to every open connection at once.
    fn blow(&self) -> Option<Blow> {
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
