//! The kernel of which no two parameters have the same value: each block of 1024 parameters has the
//! numbers of the block as its values, in another order.

use std::sync::LazyLock;

/// Parameters of a block.
const BLOCK: u64 = 1024;

/// `SHUFFLED[x]` is the place, within its block, of the value of the block's parameter `x`: the upper
/// five bits are added to the lower five without carry, before and after a multiplication.
static SHUFFLED: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let fold = |x: u64| x / 32 * 32 + ((x % 32) ^ (x / 32));
    (0..BLOCK).map(|x| fold(693 * fold(x) % BLOCK)).collect()
});

/// `PREFIX[x]` is the sum of the first `x` of those.
static PREFIX: LazyLock<Vec<i128>> = LazyLock::new(|| {
    let mut prefix = vec![0];
    for place in SHUFFLED.iter() {
        prefix.push(prefix[prefix.len() - 1] + i128::from(*place));
    }
    prefix
});

/// Sum, and smallest and largest value, over `[start, end)`, which is not empty. The smallest is in
/// the first block that the range touches, and the largest in the last.
pub(super) fn over(start: u64, end: u64) -> (i128, (u64, u64)) {
    let first_ends = end.min((start / BLOCK + 1) * BLOCK);
    let last_starts = start.max((end - 1) / BLOCK * BLOCK);
    let min = (start..first_ends).map(value).fold(u64::MAX, u64::min);
    let max = (last_starts..end).map(value).fold(0, u64::max);
    (sum_below(end) - sum_below(start), (min, max))
}

/// The value of one parameter.
pub(super) fn value(parameter: u64) -> u64 {
    parameter / BLOCK * BLOCK + SHUFFLED[(parameter % BLOCK) as usize]
}

/// Sum of the values of `[0, end)`. Whole blocks come to what their parameters themselves come to.
fn sum_below(end: u64) -> i128 {
    let (base, rest) = (i128::from(end / BLOCK * BLOCK), end % BLOCK);
    base * (base - 1) / 2 + i128::from(rest) * base + PREFIX[rest as usize]
}
