//! Shares in percent, counted in whole things.

/// Parts of a percent that are told apart: what a scenario writes is decimal, and a float of it lies
/// beside it, so that 70.4 % of 125 came to a hair above 88.
const PER_PERCENT: f64 = 1e6;

/// The whole in such parts.
const PER_WHOLE: u128 = 100 * PER_PERCENT as u128;

/// The least count that is this share, in percent from 0 to 100, of so many.
pub fn percent_of(whole: u64, percent: f64) -> u64 {
    let least = (parts(percent) * u128::from(whole)).div_ceil(PER_WHOLE);
    u64::try_from(least).unwrap_or(u64::MAX)
}

/// Whether a count is more than this share, in percent, of so many.
pub fn is_above(count: u64, percent: f64, whole: u64) -> bool {
    u128::from(count) * PER_WHOLE > parts(percent) * u128::from(whole)
}

fn parts(percent: f64) -> u128 {
    (percent * PER_PERCENT).round() as u128
}

#[cfg(test)]
mod tests {
    use super::{is_above, percent_of};

    #[test]
    fn a_share_that_comes_out_even_is_that_count() {
        for whole in 1..=2000_u64 {
            for thousandths in 0..=1000_u64 {
                let percent = thousandths as f64 / 10.0;
                let least = (thousandths * whole).div_ceil(1000);
                assert_eq!(percent_of(whole, percent), least, "{percent} % of {whole}");
                let most = thousandths * whole / 1000;
                assert!(!is_above(most, percent, whole) && is_above(most + 1, percent, whole));
            }
        }
    }

    #[test]
    fn what_is_above_a_count_is_the_next() {
        assert_eq!(percent_of(1_000_000, 33.333_35), 333_334);
        assert_eq!(percent_of(3, 33.4), 2);
        assert_eq!(percent_of(u64::MAX, 100.0), u64::MAX);
    }
}
