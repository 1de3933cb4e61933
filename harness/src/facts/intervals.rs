//! A set of integers that grows with its gaps, not with its members.

use std::collections::BTreeMap;

/// A set of disjoint half-open intervals; those that touch are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntervalSet(BTreeMap<u64, u64>);

impl IntervalSet {
    /// Adds `[start, end)` and returns the parts of it that were there already.
    pub fn insert(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let already = self.within(start, end);
        if start >= end {
            return already;
        }
        let (mut from, mut to) = (start, end);
        while let Some((&s, &e)) = self.0.range(..=to).next_back().filter(|&(_, &e)| e >= from) {
            self.0.remove(&s);
            (from, to) = (from.min(s), to.max(e));
        }
        self.0.insert(from, to);
        already
    }

    /// The parts of `[start, end)` that are in the set.
    pub fn within(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        if start >= end {
            return Vec::new();
        }
        let before = self.0.range(..=start).next_back().map(|(&s, _)| s);
        self.0
            .range(before.unwrap_or(start)..end)
            .map(|(&s, &e)| (s.max(start), e.min(end)))
            .filter(|&(s, e)| s < e)
            .collect()
    }

    /// The parts of `[start, end)` that are not in the set.
    pub fn gaps(&self, start: u64, end: u64) -> Self {
        let mut gaps = Self::default();
        let mut at = start;
        for (s, e) in self.within(start, end) {
            gaps.insert(at, s);
            at = e;
        }
        gaps.insert(at, end);
        gaps
    }

    /// The intervals, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(&s, &e)| (s, e))
    }

    /// How many integers are in the set.
    pub fn len(&self) -> u64 {
        self.iter().map(|(s, e)| e - s).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(intervals: &[(u64, u64)]) -> IntervalSet {
        let mut set = IntervalSet::default();
        for &(s, e) in intervals {
            set.insert(s, e);
        }
        set
    }

    fn list(set: &IntervalSet) -> Vec<(u64, u64)> {
        set.iter().collect()
    }

    #[test]
    fn intervals_that_touch_or_overlap_are_one() {
        assert_eq!(list(&set(&[(0, 10), (20, 30), (10, 20)])), [(0, 30)]);
        assert_eq!(list(&set(&[(0, 10), (5, 25), (20, 30)])), [(0, 30)]);
    }

    #[test]
    fn what_was_there_already_is_returned() {
        let mut intervals = set(&[(0, 10), (20, 30)]);
        assert_eq!(intervals.insert(5, 25), [(5, 10), (20, 25)]);
    }

    #[test]
    fn an_empty_interval_changes_nothing() {
        assert!(set(&[(7, 7)]).is_empty());
    }

    proptest! {
        #[test]
        fn it_holds_what_a_plain_set_holds(intervals in prop::collection::vec((0_u64..60, 0_u64..20), 0..20)) {
            let mut plain = BTreeSet::new();
            let mut intervalled = IntervalSet::default();
            for (start, len) in intervals {
                let already: u64 =
                    intervalled.insert(start, start + len).iter().map(|(s, e)| e - s).sum();
                let new = (start..start + len).filter(|&k| plain.insert(k)).count() as u64;
                prop_assert_eq!(already + new, len);
            }
            let members: Vec<u64> = intervalled.iter().flat_map(|(s, e)| s..e).collect();
            prop_assert_eq!(members.len() as u64, intervalled.len());
            prop_assert_eq!(members, plain.iter().copied().collect::<Vec<_>>());
            let gaps: Vec<u64> = intervalled.gaps(10, 50).iter().flat_map(|(s, e)| s..e).collect();
            prop_assert_eq!(gaps, (10..50).filter(|k| !plain.contains(k)).collect::<Vec<_>>());
            let list: Vec<_> = intervalled.iter().collect();
            prop_assert!(list.windows(2).all(|pair| pair[0].1 < pair[1].0), "merged: {list:?}");
        }
    }
}
