//! What the reference kernel must yield, from the formula of the wire contract alone: exact
//! integer arithmetic in hundredths, and none of the system's code, so that both cannot be wrong
//! in the same way.

use crate::history::SeenResult;

use std::sync::LazyLock;

/// After this many parameters the values repeat.
const PERIOD: u64 = 1000;

/// `PREFIX[k]` is the sum of the first `k` values, in hundredths.
static PREFIX: LazyLock<Vec<i128>> = LazyLock::new(|| {
    let mut prefix = vec![0];
    for k in 0..PERIOD {
        prefix.push(prefix[prefix.len() - 1] + i128::from(hundredths(k)));
    }
    prefix
});

/// The value of one parameter, in hundredths.
fn hundredths(parameter: u64) -> u32 {
    let k = (parameter % PERIOD) as u32;
    // `0.` followed by the number without padding: 5 reads 0.5, and 50 reads 0.50.
    let digits = k % 100;
    let fraction = if digits < 10 { digits * 10 } else { digits };
    (7 * k + 13) % 1000 * 100 + fraction
}

/// Sum of the values of `[0, end)`, in hundredths.
fn sum_below(end: u64) -> i128 {
    let whole = i128::from(end / PERIOD) * PREFIX[PERIOD as usize];
    whole + PREFIX[(end % PERIOD) as usize]
}

/// What the reference kernel yields over some parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Yield {
    count: u64,
    sum: i128,
    /// Smallest and largest, where there is any.
    extremes: Option<(u32, u32)>,
}

impl Yield {
    /// Over `[start, end)`.
    pub fn of(start: u64, end: u64) -> Self {
        if start >= end {
            return Self::default();
        }
        let values = || (start..end.min(start.saturating_add(PERIOD))).map(hundredths);
        Self {
            count: end - start,
            sum: sum_below(end) - sum_below(start),
            extremes: values().min().zip(values().max()),
        }
    }

    /// Over these parameters and those.
    pub fn and(self, other: Self) -> Self {
        let extremes = match (self.extremes, other.extremes) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, None) | (None, one) => one,
        };
        Self { count: self.count + other.count, sum: self.sum + other.sum, extremes }
    }

    /// As numbers that a result can be compared with.
    pub fn figures(self) -> Reported {
        let value = |hundredths: u32| f64::from(hundredths) / 100.0;
        let sum = self.sum as f64 / 100.0;
        Reported {
            count: self.count,
            sum,
            min: self.extremes.map_or(f64::NAN, |(min, _)| value(min)),
            max: self.extremes.map_or(f64::NAN, |(_, max)| value(max)),
            avg: sum / self.count as f64,
        }
    }
}

/// The numbers of a result or of an aggregate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// Number of values.
    pub count: u64,
    /// Sum of the values.
    pub sum: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean value.
    pub avg: f64,
}

impl From<&SeenResult> for Reported {
    fn from(result: &SeenResult) -> Self {
        let SeenResult { count, sum, min, max, avg, .. } = *result;
        Self { count, sum, min, max, avg }
    }
}

/// Half of the smallest difference that two values of the kernel can have: never is more than
/// this forgiven, except where f64 itself is coarser.
const HALF_STEP: f64 = 0.005;

impl Reported {
    /// Where the other numbers differ from these: `sum 12.5 instead of 12.0`, one for each. A sum
    /// may be off by what adding in any order can cost (n·ε·Σ|x|; no value is negative), a mean
    /// by that and by its rounding to cents.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let n = self.count as f64;
        let ulp = f64::EPSILON * self.sum.abs();
        let sum = (n * ulp).min(ulp.max(HALF_STEP * 0.9));
        let value = 4.0 * f64::EPSILON * self.max.abs();
        let mut differences = Vec::new();
        if self.count != other.count {
            differences.push(format!("count {} instead of {}", other.count, self.count));
        }
        let numbers = [
            ("sum", self.sum, other.sum, sum),
            ("min", self.min, other.min, value),
            ("max", self.max, other.max, value),
            ("avg", self.avg, other.avg, sum / n + HALF_STEP * 1.000_001),
        ];
        for (name, expected, found, tolerance) in numbers {
            // Written so that a NaN differs.
            let same = (expected - found).abs() <= tolerance;
            if !same {
                differences.push(format!("{name} {found} instead of {expected}"));
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the wire contract words it: text, read as a decimal.
    fn by_the_words(k: u64) -> f64 {
        format!("{}.{}", (7 * k + 13) % 1000, k % 100).parse().unwrap()
    }

    fn summed(values: impl Iterator<Item = f64>) -> Reported {
        let (mut count, mut sum, mut min, mut max) = (0, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (count, sum, min, max) = (count + 1, sum + value, value.min(min), value.max(max));
        }
        Reported { count, sum, min, max, avg: sum / count as f64 }
    }

    #[test]
    fn the_contracts_own_example_holds() {
        let figures = Yield::of(0, 10_000).figures();
        assert_eq!(
            figures,
            Reported { count: 10_000, sum: 5_000_355.0, min: 0.41, max: 999.98, avg: 500.0355 }
        );
    }

    #[test]
    fn single_values_are_those_of_the_contract() {
        for k in [0, 5, 9, 10, 98, 99, 100, 7_050, 999_999] {
            assert_eq!(f64::from(hundredths(k)) / 100.0, by_the_words(k), "parameter {k}");
        }
    }

    #[test]
    fn two_ranges_together_yield_what_the_whole_yields() {
        assert_eq!(Yield::of(3, 500).and(Yield::of(500, 4_321)), Yield::of(3, 4_321));
        assert_eq!(Yield::of(3, 9).and(Yield::default()), Yield::of(3, 9));
    }

    #[test]
    fn no_number_is_right_when_it_is_not_a_number() {
        let right = Yield::of(0, 10).figures();
        assert_eq!(right.differences(&Reported { sum: f64::NAN, ..right }).len(), 1);
    }

    #[test]
    fn a_mean_rounded_to_cents_passes_and_one_wrong_by_a_cent_does_not() {
        let right = Yield::of(0, 7).figures();
        let rounded = (right.avg * 100.0).round() / 100.0;
        assert!(right.differences(&Reported { avg: rounded, ..right }).is_empty());
        assert!(!right.differences(&Reported { avg: right.avg + 0.01, ..right }).is_empty());
    }

    #[test]
    fn a_naive_sum_over_a_million_passes_and_a_cent_too_much_does_not() {
        let right = Yield::of(0, 1_000_000).figures();
        let naive = summed((0..1_000_000).map(by_the_words));
        assert_ne!(naive.sum, right.sum, "a naive sum is off");
        assert_eq!(right.differences(&naive), Vec::<String>::new());
        assert!(!right.differences(&Reported { sum: right.sum + 0.01, ..right }).is_empty());
    }

    proptest! {
        #[test]
        fn any_order_of_summation_passes_and_any_value_wrong_by_a_cent_does_not(
            start in 0_u64..1_000_000,
            values in (1_u64..300).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
            cents in prop_oneof![-5000_i32..0, 1_i32..5000],
        ) {
            let right = Yield::of(start, start + values.len() as u64).figures();
            let shuffled = summed(values.iter().map(|k| by_the_words(start + k)));
            prop_assert_eq!(right.differences(&shuffled), Vec::<String>::new());
            let wrong = Reported { sum: shuffled.sum + f64::from(cents) / 100.0, ..shuffled };
            prop_assert!(!right.differences(&wrong).is_empty());
        }
    }
}
