//! Sum, count, minimum, maximum and mean, the same to the last bit in any order.

use serde::{Deserialize, Deserializer, Serialize};
use xsum::{Xsum, XsumSmall};

/// What a chunk's values, or a whole sweep's, come to: `result_data` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Sum of the values.
    pub sum: f64,
    /// Number of values.
    #[serde(deserialize_with = "whole")]
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// `sum / count`.
    pub avg: f64,
}

/// Part of the largest value by which a sum may lie outside of what its values allow: it was added up
/// somewhere else, in floats and in whatever order.
const ROUNDING: f64 = 1e-9;

impl Stats {
    /// Whether as many values can come to this at all. Who sends it may be anybody.
    ///
    /// # Errors
    /// One fragment that says why not.
    pub fn check(&self, params: u64) -> Result<(), String> {
        let Self { sum, count, min, max, .. } = *self;
        if count != params {
            return Err(format!("it counts {count} parameters, and the chunk has {params}"));
        }
        if ![sum, min, max].into_iter().all(f64::is_finite) {
            return Err("its sum, minimum or maximum is no finite number".to_owned());
        }
        if min > max {
            return Err(format!("its minimum {min} is above its maximum {max}"));
        }
        let values = count as f64;
        // The worst that adding up values one by one can do to their sum grows with the square of their number.
        let rounding = ROUNDING.max(values * f64::EPSILON) * values * min.abs().max(max.abs());
        if sum < values * min - rounding || sum > values * max + rounding {
            return Err(format!("its sum {sum} is none of {count} values from {min} to {max}"));
        }
        Ok(())
    }
}

/// Reads a count. Some languages have one kind of number only, and write ten as `10.0`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    /// Up to here every whole number is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = serde_json::Number::deserialize(deserializer)?;
    let is_count = |float: &f64| (0.0..=EXACT).contains(float) && float.fract() == 0.0;
    let of_float = || number.as_f64().filter(is_count).map(|float| float as u64);
    number.as_u64().or_else(of_float).ok_or_else(|| {
        serde::de::Error::custom(format_args!("count is {number}, not a whole number"))
    })
}

/// Collects values or the stats of chunks.
///
/// The sum is exact until it is read (Radford Neal's superaccumulator, arXiv:1505.05571), so the
/// order of what is added cannot show; minima and maxima compare by IEEE total order, so not even
/// the sign of a zero can.
pub struct Collector {
    sum: XsumSmall,
    count: u64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Default for Collector {
    fn default() -> Self {
        Self { sum: XsumSmall::new(), count: 0, min: None, max: None }
    }
}

impl Collector {
    /// Adds one value, which must be finite.
    pub fn add(&mut self, value: f64) {
        self.fold(value, 1, value, value);
    }

    /// Adds what a chunk came to.
    pub fn merge(&mut self, chunk: &Stats) {
        self.fold(chunk.sum, chunk.count, chunk.min, chunk.max);
    }

    fn fold(&mut self, sum: f64, count: u64, min: f64, max: f64) {
        self.sum.add(sum);
        self.count += count;
        self.min = Some(self.min.map_or(min, |m| if min.total_cmp(&m).is_lt() { min } else { m }));
        self.max = Some(self.max.map_or(max, |m| if max.total_cmp(&m).is_gt() { max } else { m }));
    }

    /// Number of values so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What has been added, or nothing where nothing was.
    pub fn stats(&mut self) -> Option<Stats> {
        let (min, max) = (self.min?, self.max?);
        let sum = self.sum.sum();
        // Precise up to 2^53 values.
        let avg = sum / self.count as f64;
        Some(Stats { sum, count: self.count, min, max, avg })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collect(chunks: &[Stats]) -> Option<Stats> {
        let mut collector = Collector::default();
        chunks.iter().for_each(|chunk| collector.merge(chunk));
        collector.stats()
    }

    #[test]
    fn a_count_may_be_written_as_a_float_but_must_be_whole() {
        let read = |count: &str| {
            let text = format!(r#"{{"sum":1,"count":{count},"min":0,"max":1,"avg":1}}"#);
            serde_json::from_str::<Stats>(&text).map(|stats| stats.count).ok()
        };
        assert_eq!(["10", "10.0", "1e3"].map(read), [Some(10), Some(10), Some(1000)]);
        assert_eq!(["-1", "10.5", "1e300", "\"10\"", "null"].map(read), [None; 5]);
    }

    #[test]
    fn what_no_values_come_to_is_refused() {
        let check = |sum, count, min, max| Stats { sum, count, min, max, avg: 0.0 }.check(10);
        assert_eq!(check(45.0, 10, 0.0, 9.0), Ok(()));
        for (sum, count, min, max, why) in [
            (45.0, 9, 0.0, 9.0, "counts 9 parameters, and the chunk has 10"),
            (1e15, 0, 0.0, 0.0, "counts 0 parameters"),
            (1e15, 10, 0.0, 0.0, "none of 10 values"),
            (-1.0, 10, 0.0, 9.0, "none of 10 values"),
            (45.0, 10, 9.0, 0.0, "minimum 9 is above"),
            (f64::INFINITY, 10, 0.0, 9.0, "no finite number"),
            (45.0, 10, f64::NAN, 9.0, "no finite number"),
        ] {
            let said = check(sum, count, min, max).expect_err("it cannot be");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn nothing_has_no_stats() {
        assert_eq!(Collector::default().stats(), None);
    }

    #[test]
    fn a_sum_that_floats_would_lose_is_kept() {
        let mut collector = Collector::default();
        for value in [1e16, 1.0, -1e16] {
            collector.add(value);
        }
        assert_eq!(collector.stats().map(|s| s.sum), Some(1.0));
    }

    proptest! {
        #[test]
        fn order_of_arrival_cannot_show(
            values in prop::collection::vec((-1e12f64..1e12, 1u64..9), 1..60), seed: u64,
        ) {
            let mut chunks: Vec<Stats> = values
                .iter()
                .map(|&(v, count)| Stats { sum: v, count, min: v, max: v, avg: v })
                .collect();
            let before = collect(&chunks);
            fastrand::Rng::with_seed(seed).shuffle(&mut chunks);
            let after = collect(&chunks);
            prop_assert_eq!(before.map(|s| s.sum.to_bits()), after.map(|s| s.sum.to_bits()));
            prop_assert_eq!(before, after);
        }

        #[test]
        fn what_values_come_to_is_never_refused(
            values in prop::collection::vec(-1e300f64..1e300, 1..60), nudge in 0usize..4,
        ) {
            // Added up naively, in whatever order, as others do; and all alike, where there is no slack.
            let values = if nudge == 0 { vec![values[0]; values.len()] } else { values };
            let mut collector = Collector::default();
            values.iter().for_each(|value| collector.add(*value));
            let exact = collector.stats().expect("there are some");
            let naive = Stats { sum: values.iter().rev().sum(), ..exact };
            for stats in [exact, naive] {
                if stats.sum.is_finite() {
                    prop_assert_eq!(stats.check(values.len() as u64), Ok(()));
                }
            }
        }
    }
}
