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

use crate::direction::Direction;
use crate::hooks::ToxicHooks;

/// No delay and no pause is longer: it would not end before the clock does.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

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
    pub(crate) fn direction(&self) -> Direction {
        match *self {
            Self::Reset | Self::HalfOpen => Direction::Both,
            Self::Latency { direction, .. }
            | Self::Bandwidth { direction, .. }
            | Self::Drop { direction }
            | Self::Slice { direction, .. }
            | Self::Partition { direction } => direction,
        }
    }

    pub(crate) fn hooks(&self) -> Box<dyn ToxicHooks> {
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
