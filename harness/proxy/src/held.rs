//! Bytes that have arrived and not yet gone on, in order, with what each piece waits for.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many bytes may be held in one direction of a connection, unless a toxic needs more.
pub(crate) const ROOM: usize = 64 << 10;

/// How many pieces may be held, however short they are.
const PIECES: usize = 4096;

/// Delays by the rules that ask for them. One that is not in force any more delays nothing.
pub(crate) type Delays = Vec<(u64, Duration)>;

/// What arrived together, and when.
struct Piece {
    bytes: usize,
    arrived: Instant,
    delays: Delays,
}

/// The bytes that wait in one direction of one connection.
#[derive(Default)]
pub(crate) struct Held {
    bytes: VecDeque<u8>,
    pieces: VecDeque<Piece>,
    arrived: u64,
}

impl Held {
    /// Adds what has just arrived.
    pub(crate) fn push(&mut self, bytes: &[u8], arrived: Instant, delays: Delays) {
        self.bytes.extend(bytes);
        self.arrived += bytes.len() as u64;
        match self.pieces.back_mut() {
            Some(last) if delays.is_empty() && last.delays.is_empty() => last.bytes += bytes.len(),
            _ => self.pieces.push_back(Piece { bytes: bytes.len(), arrived, delays }),
        }
    }

    /// Adds the end of the stream, which waits like any piece.
    pub(crate) fn push_end(&mut self, arrived: Instant, delays: Delays) {
        self.pieces.push_back(Piece { bytes: 0, arrived, delays });
    }

    /// When the first piece may go, under the rules that are in force, or nothing if there is none.
    /// A piece of no bytes stands for the end of the stream.
    pub(crate) fn due(&self, in_force: impl Fn(u64) -> bool) -> Option<Instant> {
        let first = self.pieces.front()?;
        let delays = first.delays.iter().filter(|(rule, _)| in_force(*rule));
        Some(first.arrived + delays.map(|(_, delay)| *delay).sum::<Duration>())
    }

    /// The bytes of the first piece that lie together, and how many it has.
    pub(crate) fn first(&self) -> (&[u8], usize) {
        let bytes = self.pieces.front().map_or(0, |first| first.bytes);
        let together = self.bytes.as_slices().0;
        (&together[..bytes.min(together.len())], bytes)
    }

    /// So many bytes of the first piece have gone on.
    pub(crate) fn pop(&mut self, bytes: usize) {
        self.bytes.drain(..bytes);
        if let Some(first) = self.pieces.front_mut() {
            first.bytes -= bytes;
            if first.bytes == 0 {
                self.pieces.pop_front();
            }
        }
        if self.bytes.is_empty() && self.bytes.capacity() > ROOM {
            // A toxic needed more.
            self.bytes.shrink_to(ROOM);
        }
    }

    /// How many bytes there is room for, if `room` may be held.
    pub(crate) fn room(&self, room: usize) -> usize {
        if self.pieces.len() < PIECES { room.saturating_sub(self.bytes.len()) } else { 0 }
    }

    /// How many bytes have arrived in all.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// How many of them have gone on.
    pub(crate) fn gone(&self) -> u64 {
        self.arrived - self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pieces_come_out_as_they_went_in() {
        let (now, mut held) = (Instant::now(), Held::default());
        held.push(b"abc", now, vec![(1, SECOND)]);
        held.push(b"de", now + SECOND, Vec::new());
        held.push(b"f", now + SECOND, Vec::new());
        assert_eq!(held.first(), (&b"abc"[..], 3));
        held.pop(2);
        assert_eq!(held.first(), (&b"c"[..], 1));
        held.pop(1);
        assert_eq!(held.first(), (&b"def"[..], 3), "what waits for nothing goes together");
        assert_eq!((held.arrived(), held.gone()), (6, 3));
    }

    #[test]
    fn delays_add_up_and_end_with_their_rules() {
        let (now, mut held) = (Instant::now(), Held::default());
        held.push(b"abc", now, vec![(1, SECOND), (2, 5 * SECOND)]);
        assert_eq!(held.due(|_| true), Some(now + 6 * SECOND));
        assert_eq!(held.due(|rule| rule == 1), Some(now + SECOND));
        assert_eq!(held.due(|_| false), Some(now));
        held.pop(3);
        assert_eq!(held.due(|_| true), None);
    }

    #[test]
    fn the_end_is_a_piece_of_its_own() {
        let (now, mut held) = (Instant::now(), Held::default());
        held.push(b"abc", now, Vec::new());
        held.push_end(now, Vec::new());
        held.pop(3);
        assert_eq!((held.due(|_| true), held.first()), (Some(now), (&b""[..], 0)));
    }

    #[test]
    fn neither_many_bytes_nor_many_pieces_fit() {
        let (now, mut held) = (Instant::now(), Held::default());
        held.push(&[0; 60], now, Vec::new());
        assert_eq!((held.room(100), held.room(50)), (40, 0));
        for _ in 0..PIECES {
            held.push(b"x", now, vec![(1, SECOND)]);
        }
        assert_eq!(held.room(1 << 30), 0);
    }
}
