//! Whether a sweep is over, as the harness itself knows it: from the plan's chunks and what was seen of
//! each. A coordinator that is not ours need not tell the broker how many chunks there are, and what it
//! tells need not be so.

use std::collections::BTreeSet;

use ttg_system::queue::{self, Broker};

use super::Stage;

/// Chunks of the plan that have a result or a dead letter. Whoever is told of one learns whether that is
/// new: a chunk that is committed again and again gets nobody anywhere.
#[derive(Debug)]
pub(super) struct Settled {
    committed: Vec<bool>,
    dead: BTreeSet<u64>,
    /// Chunks that have neither.
    open: u64,
}

impl Settled {
    /// Nothing is settled yet.
    pub(super) fn none_of(chunks: u64) -> Self {
        let committed = vec![false; usize::try_from(chunks).unwrap_or_default()];
        Self { committed, dead: BTreeSet::new(), open: chunks }
    }

    fn is_committed(&self, chunk: u64) -> Option<bool> {
        self.committed.get(usize::try_from(chunk).ok()?).copied()
    }

    /// A chunk has a result. Whether it had none before.
    pub(super) fn commit(&mut self, chunk: u64) -> bool {
        let is_new = self.is_committed(chunk) == Some(false);
        if is_new {
            self.committed[chunk as usize] = true;
            self.open -= u64::from(!self.dead.contains(&chunk));
        }
        is_new
    }

    /// A chunk has a dead letter. Whether it had none before.
    pub(super) fn bury(&mut self, chunk: u64) -> bool {
        let Some(is_committed) = self.is_committed(chunk) else { return false };
        let is_new = self.dead.insert(chunk);
        self.open -= u64::from(is_new && !is_committed);
        is_new
    }

    /// Dead letters are told anew.
    pub(super) fn forget_letters(&mut self) {
        let dead = std::mem::take(&mut self.dead);
        let open = dead.into_iter().filter(|chunk| self.is_committed(*chunk) == Some(false));
        self.open += open.count() as u64;
    }

    fn is_whole(&self) -> bool {
        self.open == 0
    }
}

impl Stage {
    /// Whether nothing is left to do. Where the coordinator is ours, or we submit ourselves, the broker
    /// knows; with a coordinator of others the plan counts: every chunk has a result or a letter, and no
    /// task is open.
    ///
    /// # Errors
    /// Where the broker does not answer.
    pub(super) async fn is_complete(&self, broker: &dyn Broker) -> queue::Result<bool> {
        if self.plan.coordinator.foreign().is_none() {
            return Ok(broker.standing().await?.is_complete());
        }
        if !self.settled.borrow().is_whole() {
            return Ok(false);
        }
        let depths = broker.depths().await?;
        Ok(depths.tasks == 0 && depths.retry == 0)
    }

    /// The same, once everything is read that is there now.
    pub(super) async fn is_complete_now(&self, broker: &dyn Broker) -> bool {
        if self.plan.coordinator.foreign().is_none() {
            return self.is_complete(broker).await.unwrap_or(false);
        }
        // A reading that goes on may have begun before; the next has not.
        let from = self.standing().readings;
        self.until(|now| now.complete || now.readings >= from + 2).await;
        self.standing().complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_whole_when_every_chunk_has_a_result_or_a_letter() {
        let mut settled = Settled::none_of(3);
        assert_eq!([0, 0, 7].map(|chunk| settled.commit(chunk)), [true, false, false]);
        assert_eq!([1, 1, 9].map(|chunk| settled.bury(chunk)), [true, false, false]);
        assert!(!settled.is_whole(), "chunk 2 is open");
        settled.commit(2);
        assert!(settled.is_whole());
    }

    #[test]
    fn a_letter_that_is_replayed_leaves_its_chunk_open_unless_it_has_a_result() {
        let mut settled = Settled::none_of(2);
        settled.bury(0);
        settled.bury(1);
        settled.commit(1);
        assert!(settled.is_whole());
        settled.forget_letters();
        assert!(!settled.is_whole());
        settled.commit(0);
        assert!(settled.is_whole());
    }
}
