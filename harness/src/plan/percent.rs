//! Shares in percent, counted in whole things.

/// Parts of a percent that are told apart: what a scenario writes is decimal, and a float of it lies
/// beside it, so that 70.4 % of 125 came to a hair above 88.
const PER_PERCENT: f64 = 1e6;

/// The least count that is this share, in percent from 0 to 100, of so many.
pub fn percent_of(whole: u64, percent: f64) -> u64 {
    let parts = (percent * PER_PERCENT).round() as u128;
    let least = (parts * u128::from(whole)).div_ceil((100.0 * PER_PERCENT) as u128);
    u64::try_from(least).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::percent_of;

    #[test]
    fn a_share_that_comes_out_even_is_that_count() {
        for whole in 1..=2000_u64 {
            for thousandths in 0..=1000_u64 {
                let percent = thousandths as f64 / 10.0;
                let least = (thousandths * whole).div_ceil(1000);
                assert_eq!(percent_of(whole, percent), least, "{percent} % of {whole}");
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
