//! `Toxic::Latency`: each piece waits, others arrive meanwhile.

use std::cell::RefCell;
use std::time::Duration;

use crate::hooks::ToxicHooks;

/// How many bytes may be under way: at a delay of 100 ms, 10 MB/s get through.
const ROOM: usize = 1 << 20;

/// Delays each piece by a fixed time, plus or minus a jitter drawn from its seed.
pub(crate) struct Latency {
    delay: Duration,
    jitter: Duration,
    chance: RefCell<fastrand::Rng>,
}

impl Latency {
    pub(crate) fn new(delay: Duration, jitter: Duration, seed: u64) -> Self {
        Self { delay, jitter, chance: RefCell::new(fastrand::Rng::with_seed(seed)) }
    }
}

impl ToxicHooks for Latency {
    fn delay(&self) -> Option<Duration> {
        let (delay, jitter) = (self.delay, self.jitter);
        // Anywhere between the least and the most.
        let share = self.chance.borrow_mut().f64();
        Some((delay + jitter.mul_f64(2.0 * share)).saturating_sub(jitter))
    }

    fn room(&self) -> usize {
        ROOM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn drawn(seed: u64) -> Vec<Duration> {
        let latency = Latency::new(50 * MS, 20 * MS, seed);
        (0..500).map(|_| latency.delay().unwrap()).collect()
    }

    #[test]
    fn delays_are_spread_over_the_jitter_and_stay_within() {
        let drawn = drawn(7);
        let (least, most) = (*drawn.iter().min().unwrap(), *drawn.iter().max().unwrap());
        assert!(least >= 30 * MS && least < 32 * MS, "{least:?}");
        assert!(most <= 70 * MS && most > 68 * MS, "{most:?}");
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn a_jitter_above_the_delay_makes_some_pieces_go_at_once() {
        let latency = Latency::new(MS, 10 * MS, 1);
        let drawn: Vec<_> = (0..200).map(|_| latency.delay().unwrap()).collect();
        assert!(drawn.contains(&Duration::ZERO));
        assert!(drawn.iter().all(|delay| *delay <= 11 * MS));
    }
}
