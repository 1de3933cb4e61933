//! Whether a sweep fits its broker, said before it begins.

use super::failed::Failed;
use crate::chunk::Sweep;
use crate::queue::room::{Room, redis_memory};
use crate::queue::{Address, Broker, Progress};

/// So much of the estimate must fit: results may be shorter than those that were measured.
const SURELY: (u64, u64) = (3, 4);

/// Says how much the sweep will take, and refuses where that cannot fit.
pub(super) async fn look(
    broker: &dyn Broker,
    address: &Address,
    sweep: &Sweep,
    trim: bool,
) -> Result<(), Failed> {
    let Some(room) = broker.room().await? else { return Ok(()) };
    let there = broker.standing().await?;
    if there.total.is_some_and(|total| total != sweep.chunks()) {
        // Another sweep is there: that is what it is refused for.
        return Ok(());
    }
    let plan = Plan { sweep, there, room, trim };
    tracing::info!("{}", plan.told(address));
    if room.evicts {
        tracing::warn!(
            "{address} throws data away when its memory is full, also that of a sweep (redis-cli CONFIG SET \
             maxmemory-policy noeviction)"
        );
    }
    if plan.cannot_fit() {
        return Err(Failed::Other(plan.refusal(address)));
    }
    if plan.need() > room.free() {
        tracing::warn!("that may not fit: {}", plan.ways());
    }
    Ok(())
}

struct Plan<'a> {
    sweep: &'a Sweep,
    there: Progress,
    room: Room,
    trim: bool,
}

impl Plan<'_> {
    fn need(&self) -> u64 {
        redis_memory(self.sweep.chunks(), &self.there, self.trim)
    }

    /// Only a limit that somebody has set is sure.
    fn cannot_fit(&self) -> bool {
        let (of, parts) = SURELY;
        self.room.is_hard && self.need() / parts * of > self.room.free()
    }

    fn told(&self, address: &Address) -> String {
        let Room { limit, is_hard, .. } = self.room;
        let limit_is = if is_hard { "that it may use" } else { "of the machine" };
        format!(
            "the {} chunks will take about {} of the memory of {address}, which has {} left of the {} \
             {limit_is}",
            self.sweep.chunks(),
            told(self.need()),
            told(self.room.free()),
            told(limit)
        )
    }

    fn refusal(&self, address: &Address) -> String {
        format!("{}: {}", self.told(address), self.ways())
    }

    /// What helps, the least effort first.
    fn ways(&self) -> String {
        let mut ways = Vec::new();
        let fits = |need: u64| need <= self.room.free();
        if !self.trim && fits(redis_memory(self.sweep.chunks(), &self.there, true)) {
            ways.push("say --trim, which gives the memory of settled tasks back".to_owned());
        }
        let is_begun = self.there.total.is_some();
        let times = self.need().div_ceil(self.room.free().max(1));
        let size = self.sweep.chunk_size.saturating_mul(times);
        if !is_begun && size < self.sweep.params {
            ways.push(format!("choose a --chunk-size of at least {size}"));
        }
        let needed = told(self.room.used.saturating_add(self.need()));
        ways.push(if self.room.is_hard {
            format!("let it use {needed} (redis-cli CONFIG SET maxmemory)")
        } else {
            format!("give it a machine with more than {needed}")
        });
        ways.join(", or ")
    }
}

/// A size for people.
fn told(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes.div_ceil(1_000_000)),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: Sweep = Sweep { start: 0, params: 1_500_000, chunk_size: 10 };

    fn plan(limit: u64, is_hard: bool) -> Plan<'static> {
        let room = Room { used: 1_000_000, limit, is_hard, evicts: false };
        Plan { sweep: &SWEEP, there: Progress::default(), room, trim: false }
    }

    fn redis() -> Address {
        Address::redis("127.0.0.1", 6379)
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_helps() {
        let small = plan(20_000_000, true);
        assert!(small.cannot_fit());
        insta::assert_snapshot!(small.refusal(&redis()), @"the 150000 chunks will take about 35 MB of the memory of redis at 127.0.0.1:6379, database 0, which has 19 MB left of the 20 MB that it may use: choose a --chunk-size of at least 20, or let it use 36 MB (redis-cli CONFIG SET maxmemory)");
        assert!(plan(30_000_000, true).ways().starts_with("say --trim, which"));
        let begun =
            Plan { there: Progress { total: Some(150_000), ..Progress::default() }, ..small };
        assert!(!begun.ways().contains("--chunk-size"), "it is cut already");
    }

    #[test]
    fn what_may_fit_is_not_refused() {
        assert!(!plan(36_000_000, true).cannot_fit());
        assert!(!plan(30_000_000, true).cannot_fit(), "it is an estimate");
        assert!(!plan(20_000_000, false).cannot_fit(), "a machine may have more");
    }

    #[test]
    fn sizes_are_no_more_precise_than_an_estimate_is() {
        assert_eq!([999, 34_500_000, 2_302_500_000].map(told), ["1 kB", "35 MB", "2.3 GB"]);
    }
}
