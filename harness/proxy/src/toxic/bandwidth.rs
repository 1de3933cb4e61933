//! `Toxic::Bandwidth`: bytes go on at a rate. A piece is paid for by those after it, which wait.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::direction::Direction;
use crate::effect::Tally;
use crate::hooks::{Gate, Moment, Passage, ToxicHooks};

/// Pieces are so short that about so many go on within a second.
const PIECES_PER_SECOND: u64 = 50;

/// The longest piece, in bytes.
const LONGEST: u64 = 16 << 10;

/// How late a piece may be without slowing down those after it: timers are not exact.
const SLACK: Duration = Duration::from_millis(5);

/// Shares a rate in bytes per second among all connections, in each direction.
pub(crate) struct Bandwidth {
    bytes_per_second: u64,
    /// When the next piece may go: to the broker, from the broker.
    free: [Cell<Option<Instant>>; 2],
}

impl Bandwidth {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free: Default::default() }
    }

    fn free(&self, way: Direction) -> &Cell<Option<Instant>> {
        &self.free[usize::from(way == Direction::FromBroker)]
    }
}

impl ToxicHooks for Bandwidth {
    fn gate(&self, moment: &Moment) -> Gate {
        self.free(moment.way).get().map_or(Gate::Open, Gate::At)
    }

    fn most(&self) -> usize {
        let piece = (self.bytes_per_second / PIECES_PER_SECOND).clamp(1, LONGEST);
        usize::try_from(piece).unwrap_or(usize::MAX)
    }

    fn passed(&self, moment: &Moment, passage: &Passage, tally: &Tally) {
        let Moment { now, way, .. } = *moment;
        let bytes = passage.bytes as u64;
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let free = self.free(way);
        let from = free.get().filter(|free| *free + SLACK > now).unwrap_or(now);
        free.set(Some(from + takes));
        if passage.waited {
            tally.count(passage.connection, |effect| effect.throttled += bytes);
        }
    }
}
