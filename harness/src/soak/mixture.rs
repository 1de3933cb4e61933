//! The mixture that chaos draws from.

use fastrand::Rng;

use super::ground::Ground;
use crate::plan::Backend;

/// What may be in a mixture: its weight at most, and what it is.
type Kind = (u32, fn(&mut Rng, Ground) -> String);

/// On every backend.
const EVERYWHERE: &[Kind] = &[
    (5, |rng, _| format!("restart: {{ {} }}", worker(rng))),
    (3, |rng, ground| {
        // Shorter than a lease, and so long that others take over what it held.
        let longest = ground.lease_ms * 2;
        format!("pause: {{ {}, for: {} }}", worker(rng), ms(rng, 50, longest))
    }),
    (1, |rng, _| {
        format!(
            "slow: {{ {}, share: {}%, for: {} }}",
            worker(rng),
            rng.u32(10..=60),
            ms(rng, 200, 1500)
        )
    }),
    (1, |rng, _| format!("restart: {{ role: {} }}", lead(rng))),
    (1, |rng, _| format!("pause: {{ role: {}, for: {} }}", lead(rng), ms(rng, 50, 1000))),
];

/// Where a network is between the processes and the broker.
const NETWORK: &[Kind] = &[
    (2, |rng, _| {
        let (delay, jitter) = (rng.u32(1..=100), rng.u32(1..=50));
        let whom = process(rng);
        format!(
            "latency: {{ {whom}, delay: {delay}ms, jitter: {jitter}ms, for: {} }}",
            ms(rng, 100, 1500)
        )
    }),
    (1, |rng, _| {
        let bytes = rng.u32(2_000..=50_000);
        format!("bandwidth: {{ {}, bytes: {bytes}, for: {} }}", process(rng), ms(rng, 100, 1000))
    }),
    (1, |rng, _| {
        let bytes = rng.u32(1..=40);
        format!("slice: {{ {}, bytes: {bytes}, for: {} }}", process(rng), ms(rng, 100, 1000))
    }),
    (2, |rng, ground| one_way("partition", rng, ground)),
    (2, |rng, ground| one_way("drop", rng, ground)),
    (2, |rng, ground| {
        let longest = ground.lease_ms * 2;
        format!("half-open: {{ {}, for: {} }}", process(rng), ms(rng, 100, longest))
    }),
    (3, |rng, _| format!("reset: {{ {} }}", process(rng))),
];

/// Where the broker is a server that is back at once.
const BROKER: &[Kind] = &[
    (2, |rng, _| format!("kill: {{ role: broker, for: {} }}", ms(rng, 1, 500))),
    (1, |_, _| "restart: { role: broker }".to_owned()),
    (1, |rng, ground| {
        let longest = ground.lease_ms * 3 / 2;
        format!("pause: {{ role: broker, for: {} }}", ms(rng, 50, longest))
    }),
];

/// The one chaos of a scenario, as an item of its faults.
pub(super) fn chaos(rng: &mut Rng, ground: Ground) -> String {
    let mut kinds: Vec<&Kind> = EVERYWHERE.iter().collect();
    if ground.has_network() {
        kinds.extend(NETWORK);
    }
    if ground.backend == Backend::Redis {
        kinds.extend(BROKER);
    }
    let (first, last) = (rng.u64(20..=150), ground.length_ms + rng.u64(0..=2000));
    let pace = rng.u64(80..=350);
    let mut text = format!(
        "  - at: {first}ms\n    chaos:\n      for: {last}ms\n      pace: {pace}ms\n      mix:"
    );
    // Few kinds meet each other more often than all do.
    let share = rng.u32(3..=10);
    // Of workers there is always something to strike; the others may all have left.
    let always = rng.usize(0..2);
    let mut chosen = Vec::new();
    for (at, kind) in kinds.into_iter().enumerate() {
        if rng.u32(0..10) < share || at == always {
            chosen.push(kind);
        }
    }
    for (weight, kind) in chosen {
        let what = kind(rng, ground);
        text += &format!("\n        - {{ weight: {}, {what} }}", rng.u32(1..=*weight));
    }
    text
}

/// A time in this range of milliseconds.
pub(super) fn ms(rng: &mut Rng, from: u64, to: u64) -> String {
    format!("{}ms", rng.u64(from..=to))
}

fn worker(rng: &mut Rng) -> &'static str {
    match rng.u32(0..10) {
        0..5 => "worker: random",
        5..9 => "worker: busy",
        _ => "worker: all",
    }
}

fn lead(rng: &mut Rng) -> &'static str {
    if rng.bool() { "coordinator" } else { "aggregator" }
}

/// Mostly a worker: they are what the sweep rests on.
fn process(rng: &mut Rng) -> String {
    if rng.u32(0..5) == 0 { format!("role: {}", lead(rng)) } else { worker(rng).to_owned() }
}

/// A fault of one direction, or of both.
fn one_way(name: &str, rng: &mut Rng, ground: Ground) -> String {
    let direction = ["to-broker", "from-broker", "both"][rng.usize(0..3)];
    let (whom, longest) = (process(rng), ground.lease_ms * 2);
    format!("{name}: {{ {whom}, direction: {direction}, for: {} }}", ms(rng, 100, longest))
}
