//! What the built-in kernels must yield, from their formulas alone: exact integer arithmetic, and none
//! of the system's code, so that both cannot be wrong in the same way.

mod distinct;
mod reference;

use crate::history::SeenResult;
use crate::plan::Kernel;

/// A kernel whose values are known without computing them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formula {
    /// The reference kernel of the wire contract. Its unit is a hundredth.
    Reference,
    /// The kernel of which no two parameters have the same value. Its unit is 1.
    Distinct,
}

impl Formula {
    /// That of a kernel, if it has one.
    pub fn of(kernel: &Kernel) -> Option<Self> {
        match kernel {
            Kernel::Reference { .. } => Some(Self::Reference),
            Kernel::Distinct { .. } => Some(Self::Distinct),
            Kernel::Exec { .. } => None,
        }
    }

    /// After how many parameters its values come again, if they do.
    pub fn period(self) -> Option<u64> {
        match self {
            Self::Reference => Some(reference::PERIOD),
            Self::Distinct => None,
        }
    }

    /// What it yields over `[start, end)`.
    pub fn over(self, start: u64, end: u64) -> Yield {
        if start >= end {
            return self.over_nothing();
        }
        let (sum, extremes) = match self {
            Self::Reference => reference::over(start, end),
            Self::Distinct => distinct::over(start, end),
        };
        Yield { formula: self, count: end - start, sum, extremes: Some(extremes) }
    }

    /// What it yields over no parameters.
    pub fn over_nothing(self) -> Yield {
        Yield { formula: self, count: 0, sum: 0, extremes: None }
    }

    /// How many of its units are 1.
    fn units(self) -> f64 {
        match self {
            Self::Reference => 100.0,
            Self::Distinct => 1.0,
        }
    }
}

/// What a kernel yields over some parameters, in its units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Yield {
    formula: Formula,
    count: u64,
    sum: i128,
    /// Smallest and largest, where there is any.
    extremes: Option<(u64, u64)>,
}

impl Yield {
    /// Over these parameters and those.
    pub fn and(self, other: Self) -> Self {
        let extremes = match (self.extremes, other.extremes) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, None) | (None, one) => one,
        };
        Self { count: self.count + other.count, sum: self.sum + other.sum, extremes, ..self }
    }

    /// As numbers that a result can be compared with.
    pub fn figures(self) -> Reported {
        let units = self.formula.units();
        let value = |units_in_it: u64| units_in_it as f64 / units;
        let sum = self.sum as f64 / units;
        Reported {
            count: self.count,
            sum,
            min: self.extremes.map_or(f64::NAN, |(min, _)| value(min)),
            max: self.extremes.map_or(f64::NAN, |(_, max)| value(max)),
            avg: sum / self.count as f64,
        }
    }

    /// Where the numbers of a result over these parameters are not as they must be.
    pub fn differences(self, found: &Reported) -> Vec<String> {
        let right = self.figures();
        let rounding = 2.0 * f64::EPSILON * right.sum;
        match self.formula {
            Formula::Reference => right.differences(found),
            // Sums up to 2^53 are whole numbers, exact in any order. Beyond, each chunk is rounded once,
            // and so are their sum and what is expected: together, by no more than this.
            Formula::Distinct => {
                let sum = if self.sum <= 1 << f64::MANTISSA_DIGITS { 0.0 } else { rounding };
                right.differences_beyond(found, Tolerance { sum, value: 0.0 })
            }
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

/// Half of the smallest difference that two values of the reference kernel can have: never is more
/// than this forgiven, except where f64 itself is coarser.
pub(super) const HALF_STEP: f64 = 0.005;

/// By how much numbers may be off.
#[derive(Debug, Clone, Copy)]
struct Tolerance {
    sum: f64,
    /// Of the smallest and of the largest value.
    value: f64,
}

impl Reported {
    /// Where the other numbers differ from these: `sum 12.5 instead of 12.0`, one for each. A sum
    /// may be off by what adding in any order can cost (n·ε·Σ|x|; no value is negative), a mean
    /// by that and by its rounding to cents.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let ulp = f64::EPSILON * self.sum.abs();
        let sum = (self.count as f64 * ulp).min(ulp.max(HALF_STEP * 0.9));
        let value = 4.0 * f64::EPSILON * self.max.abs();
        self.differences_beyond(other, Tolerance { sum, value })
    }

    /// Where the numbers of the same program over the same parameters differ by more than the order in
    /// which it adds may cost.
    pub fn differences_but_rounding(&self, other: &Self) -> Vec<String> {
        let largest = self.min.abs().max(self.max.abs());
        let n = self.count as f64;
        let value = 4.0 * f64::EPSILON * largest;
        self.differences_beyond(other, Tolerance { sum: n * n * f64::EPSILON * largest, value })
    }

    /// What the mean should be, where it is further than this from sum ÷ count.
    pub fn wrong_mean(&self, rounding: f64) -> Vec<String> {
        let mean = self.sum / self.count as f64;
        // Written so that a NaN differs.
        let same = (self.avg - mean).abs() <= rounding + 4.0 * f64::EPSILON * mean.abs();
        if same { Vec::new() } else { vec![format!("avg {} instead of {mean}", self.avg)] }
    }

    fn differences_beyond(&self, other: &Self, Tolerance { sum, value }: Tolerance) -> Vec<String> {
        let n = self.count as f64;
        let mean = sum / n + HALF_STEP * 1.000_001 + f64::EPSILON * self.avg.abs();
        let mut differences = Vec::new();
        if self.count != other.count {
            differences.push(format!("count {} instead of {}", other.count, self.count));
        }
        let numbers = [
            ("sum", self.sum, other.sum, sum),
            ("min", self.min, other.min, value),
            ("max", self.max, other.max, value),
            ("avg", self.avg, other.avg, mean),
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
        let figures = Formula::Reference.over(0, 10_000).figures();
        assert_eq!(
            figures,
            Reported { count: 10_000, sum: 5_000_355.0, min: 0.41, max: 999.98, avg: 500.0355 }
        );
    }

    #[test]
    fn single_values_are_those_of_the_contract() {
        for k in [0, 5, 9, 10, 98, 99, 100, 7_050, 999_999] {
            assert_eq!(reference::hundredths(k) as f64 / 100.0, by_the_words(k), "parameter {k}");
        }
    }

    fn distinct_values(start: u64, end: u64) -> impl Iterator<Item = f64> {
        (start..end).map(|k| distinct::value(k) as f64)
    }

    #[test]
    fn the_distinct_kernel_of_the_system_computes_what_its_formula_says() {
        for start in [0, 1000, (1 << 53) - 3000] {
            for k in start..start + 3000 {
                assert_eq!(
                    ttg_contract::builtin::distinct_value(k),
                    distinct::value(k) as f64,
                    "{k}"
                );
            }
        }
    }

    #[test]
    fn the_last_chunk_below_two_to_the_53_is_right_and_its_neighbour_wrong() {
        let end = 1 << 53;
        let right = Formula::Distinct.over(end - 1000, end);
        let exact: i128 = (end - 1000..end).map(|k| i128::from(distinct::value(k))).sum();
        let sum = exact as f64;
        let found = Reported { sum, avg: sum / 1000.0, ..summed(distinct_values(end - 1000, end)) };
        assert_eq!(right.differences(&found), Vec::<String>::new());
        let neighbour = Formula::Distinct.over(end - 2000, end - 1000).figures();
        assert_eq!(right.differences(&neighbour).len(), 4);
    }

    #[test]
    fn two_ranges_together_yield_what_the_whole_yields() {
        assert_eq!(
            Formula::Reference.over(3, 500).and(Formula::Reference.over(500, 4_321)),
            Formula::Reference.over(3, 4_321)
        );
        assert_eq!(
            Formula::Reference.over(3, 9).and(Formula::Reference.over_nothing()),
            Formula::Reference.over(3, 9)
        );
    }

    #[test]
    fn no_number_is_right_when_it_is_not_a_number() {
        let right = Formula::Reference.over(0, 10).figures();
        assert_eq!(right.differences(&Reported { sum: f64::NAN, ..right }).len(), 1);
    }

    #[test]
    fn a_mean_rounded_to_cents_passes_and_one_wrong_by_a_cent_does_not() {
        let right = Formula::Reference.over(0, 7).figures();
        let rounded = (right.avg * 100.0).round() / 100.0;
        assert!(right.differences(&Reported { avg: rounded, ..right }).is_empty());
        assert!(!right.differences(&Reported { avg: right.avg + 0.01, ..right }).is_empty());
    }

    #[test]
    fn a_naive_sum_over_a_million_passes_and_a_cent_too_much_does_not() {
        let right = Formula::Reference.over(0, 1_000_000).figures();
        let naive = summed((0..1_000_000).map(by_the_words));
        assert_ne!(naive.sum, right.sum, "a naive sum is off");
        assert_eq!(right.differences(&naive), Vec::<String>::new());
        assert!(!right.differences(&Reported { sum: right.sum + 0.01, ..right }).is_empty());
    }

    proptest! {
        #[test]
        fn the_distinct_kernel_comes_to_its_values_and_to_those_of_no_other_range(
            start in prop_oneof![0_u64..5000, 0_u64..(1 << 40)],
            size in prop_oneof![1_u64..300, 1_u64..5000],
            shift in prop_oneof![Just(1000_u64), Just(1024), 1_u64..10_000],
        ) {
            let right = Formula::Distinct.over(start, start + size);
            let found = summed(distinct_values(start, start + size));
            prop_assert_eq!(right.figures(), found);
            prop_assert_eq!(right.differences(&found), Vec::<String>::new());
            let other = summed(distinct_values(start + shift, start + shift + size));
            prop_assert!(!right.differences(&other).is_empty());
            let wrong = Reported { sum: found.sum + 1.0, ..found };
            prop_assert!(!right.differences(&wrong).is_empty());
        }

        #[test]
        fn chunks_that_were_rounded_add_up_to_their_sweep(
            start in (1_u64 << 52)..(1 << 53) - 100_000,
            size in 1_u64..700,
            chunks in 1_u64..60,
        ) {
            let chunk = |n: u64| Formula::Distinct.over(start + n * size, start + (n + 1) * size);
            let whole = Formula::Distinct.over(start, start + chunks * size);
            // As an exact adder of rounded sums does it.
            let sum: i128 = (0..chunks).map(|n| chunk(n).figures().sum as i128).sum();
            let found = Reported { sum: sum as f64, ..whole.figures() };
            let found = Reported { avg: found.sum / found.count as f64, ..found };
            prop_assert_eq!(whole.differences(&found), Vec::<String>::new());
        }

        #[test]
        fn any_order_of_summation_passes_and_any_value_wrong_by_a_cent_does_not(
            start in 0_u64..1_000_000,
            values in (1_u64..300).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
            cents in prop_oneof![-5000_i32..0, 1_i32..5000],
        ) {
            let right = Formula::Reference.over(start, start + values.len() as u64).figures();
            let shuffled = summed(values.iter().map(|k| by_the_words(start + k)));
            prop_assert_eq!(right.differences(&shuffled), Vec::<String>::new());
            let wrong = Reported { sum: shuffled.sum + f64::from(cents) / 100.0, ..shuffled };
            prop_assert!(!right.differences(&wrong).is_empty());
        }
    }
}
