//! What the built-in kernels compute, and which chunks they slow down or fail on purpose: whoever judges a
//! sweep knows from this what its workers must have found.

/// The bits that are shuffled.
const LOW: u64 = 1023;

/// Any odd number will do: multiplying by it can be undone.
const ODD: u64 = 693;

/// The value of a parameter below 2^53: the parameter with its low ten bits `x` shuffled by
/// `x ^= x >> 5; x = 693 x mod 1024; x ^= x >> 5`. Each step can be undone, so no value comes twice.
pub fn distinct_value(param: u64) -> f64 {
    let mut low = param & LOW;
    low ^= low >> 5;
    low = (low * ODD) & LOW;
    low ^= low >> 5;
    ((param & !LOW) | low) as f64
}

/// Whether the chunk of this index is one of the share, from 0 to 1, that is slow: the same for
/// whoever asks with this seed.
pub fn is_slow(seed: u64, share: f64, index: u64) -> bool {
    // Apart from the draws for failures, which go by the same seed.
    let draw = seed.rotate_left(32) ^ index.wrapping_mul(0xD1B5_4A32_D192_ED03);
    fastrand::Rng::with_seed(draw).f64() < share
}

/// Whether the simulated fault strikes this attempt of a chunk, with `attempt` failures before it: one
/// draw from the seed for each attempt of each chunk, whoever makes it.
pub fn fails_on_purpose(seed: u64, fault_rate: f64, chunk_index: u64, attempt: u32) -> bool {
    let attempt = u64::from(attempt) << 56;
    let draw = seed ^ chunk_index.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ attempt;
    fault_rate > 0.0 && fastrand::Rng::with_seed(draw).f64() < fault_rate
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_values_are_the_same_and_each_is_a_whole_number() {
        for start in [0, 1 << 20, (1 << 53) - 4096] {
            let values: BTreeSet<u64> =
                (start..start + 4096).map(|param| distinct_value(param) as u64).collect();
            assert_eq!(values.len(), 4096);
            assert_eq!((values.first(), values.last()), (Some(&start), Some(&(start + 4095))));
        }
    }

    #[test]
    fn values_do_not_change_from_version_to_version() {
        // A verdict on another's results goes by them.
        let values: Vec<f64> = [0, 1, 2, 31, 32, 1023, 1024, 1_000_000].map(distinct_value).into();
        insta::assert_compact_debug_snapshot!(values, @"[0.0, 672.0, 353.0, 1012.0, 351.0, 363.0, 1024.0, 1000421.0]");
    }

    #[test]
    fn values_are_no_straight_line() {
        let steps: BTreeSet<i64> = (0..1023)
            .map(|param| distinct_value(param + 1) as i64 - distinct_value(param) as i64)
            .collect();
        assert!(steps.len() > 10, "{steps:?}");
    }
}
