//! The reference kernel, in hundredths, from the words of the wire contract.

use std::sync::LazyLock;

/// After this many parameters the values repeat.
pub(super) const PERIOD: u64 = 1000;

/// `PREFIX[k]` is the sum of the first `k` values, in hundredths.
static PREFIX: LazyLock<Vec<i128>> = LazyLock::new(|| {
    let mut prefix = vec![0];
    for k in 0..PERIOD {
        prefix.push(prefix[prefix.len() - 1] + i128::from(hundredths(k)));
    }
    prefix
});

/// Sum, and smallest and largest value, over `[start, end)`, which is not empty.
pub(super) fn over(start: u64, end: u64) -> (i128, (u64, u64)) {
    let values = (start..end.min(start.saturating_add(PERIOD))).map(hundredths);
    let extremes = values.fold((u64::MAX, 0), |(min, max), it| (min.min(it), max.max(it)));
    (sum_below(end) - sum_below(start), extremes)
}

/// The value of one parameter, in hundredths.
pub(super) fn hundredths(parameter: u64) -> u64 {
    let k = parameter % PERIOD;
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
