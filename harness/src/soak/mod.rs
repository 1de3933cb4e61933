//! Scenarios of random chaos, each made of a seed alone: what no list of cases foresees is found by
//! many of them, and a seed brings any of them back.

mod ground;
mod mixture;
mod single;
mod tally;

use std::fmt::Write;

use fastrand::Rng;

use crate::plan::Backend;

use ground::Ground;
pub use tally::Tally;

/// Backends that a soak can be of: the others recover from nothing.
pub const BACKENDS: [Backend; 3] = [Backend::Embedded, Backend::Redis, Backend::RabbitMq];

/// The name of the scenario of this seed.
pub fn name(backend: Backend, seed: u64) -> String {
    format!("soak-{backend}-{seed}")
}

/// The scenario of this seed, as the text of a file: the same text for the same seed.
pub fn scenario(backend: Backend, seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let workers = rng.u32(2..=4);
    let sweep = Sweep::draw(&mut rng, workers);
    let ground = Ground {
        backend,
        workers,
        length_ms: sweep.length_ms,
        // On RabbitMQ it is what heartbeats are made of, which count in seconds.
        lease_ms: if backend == Backend::RabbitMq {
            rng.u64(1000..=2000)
        } else {
            rng.u64(500..=1000)
        },
    };
    let chaos = mixture::chaos(&mut rng, ground);
    let singles = single::draw(&mut rng, ground);
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        writeln!(text, "{args}").expect("a string takes any text");
    };
    line(format_args!("name: {}", name(backend, seed)));
    line(format_args!(
        "description: Random chaos of seed {seed}, and no parameter lost or counted twice."
    ));
    line(format_args!("sweep:\n  params: {}..{}", sweep.start, sweep.start + sweep.params));
    line(format_args!("  chunk_size: {}", sweep.chunk_size));
    line(format_args!("  kernel: {{ work_ms: {} }}", sweep.work_ms));
    line(format_args!("backend: {backend}\nenvironment: process"));
    line(format_args!("workers: {workers}\nseed: {seed}"));
    line(format_args!("system:\n  env:\n    STALE_THRESHOLD_MS: {}", ground.lease_ms));
    // It is there to bury chunks that kill; here workers die of something else.
    line(format_args!("    MAX_DELIVERIES: 1000\nfaults:"));
    line(format_args!("{chaos}"));
    singles.iter().for_each(|single| line(format_args!("  - {single}")));
    // A bound on how long it may hang, with room for a machine that does other things too.
    line(format_args!("expect:\n  coverage: exactly-once\n  finish_max: 30s"));
    text
}

/// A sweep that takes some seconds.
struct Sweep {
    start: u64,
    params: u64,
    chunk_size: u64,
    work_ms: f64,
    length_ms: u64,
}

impl Sweep {
    fn draw(rng: &mut Rng, workers: u32) -> Self {
        let chunks = rng.u64(100..=600);
        let wanted_ms = rng.u64(1500..=3500);
        let chunk_ms = (wanted_ms * u64::from(workers) / chunks).clamp(5, 40);
        let chunk_size = match rng.u32(0..4) {
            0 => 1,
            1 => 10,
            _ => rng.u64(2..=100),
        };
        // The last chunk is often a smaller one.
        let last = rng.u64(1..=chunk_size);
        let start = if rng.bool() { 0 } else { rng.u64(1..1_000_000) };
        let work_ms = chunk_ms as f64 / chunk_size as f64;
        Self {
            start,
            params: (chunks - 1) * chunk_size + last,
            chunk_size,
            work_ms: (work_ms * 1000.0).round() / 1000.0,
            length_ms: chunks * chunk_ms / u64::from(workers),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Coverage, FaultKind, Plan, PlannedFault, Target, Trigger};
    use crate::scenario::{self, Overrides};

    fn plan(backend: Backend, seed: u64) -> Plan {
        let file = format!("{}.yaml", name(backend, seed));
        let text = scenario(backend, seed);
        scenario::from_text(file.as_ref(), &text, &Overrides::default())
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    proptest! {
        #[test]
        fn every_scenario_is_valid_and_its_seed_brings_it_back(
            seed: u64,
            backend in prop::sample::select(BACKENDS.to_vec()),
        ) {
            prop_assert_eq!(scenario(backend, seed), scenario(backend, seed));
            let plan = plan(backend, seed);
            prop_assert_eq!((plan.seed, plan.backend), (seed, backend));
            prop_assert!((100..=600).contains(&plan.sweep.chunks()));
            prop_assert_eq!(&plan.expect.coverage, &Coverage::ExactlyOnce);
            let chaos = &plan.faults[0];
            prop_assert_eq!(chaos.kind, FaultKind::Chaos);
            prop_assert!(!chaos.settings.mix.is_empty());
            let ended = plan.faults.iter().filter(|fault| fault.kind == FaultKind::Terminate);
            prop_assert!((ended.count() as u32) < plan.workers, "no worker is left");
        }
    }

    #[test]
    fn seeds_differ_in_what_they_ask_for() {
        let kinds = |backend| {
            let mut kinds: Vec<FaultKind> = (0..200)
                .flat_map(|seed| plan(backend, seed).faults)
                .flat_map(|fault| {
                    let mix = fault.settings.mix.into_iter().map(|draw| draw.fault.kind);
                    mix.chain([fault.kind]).collect::<Vec<_>>()
                })
                .collect();
            kinds.sort_by_key(|kind| crate::fault::entry(*kind).name);
            kinds.dedup();
            kinds.iter().map(|kind| crate::fault::entry(*kind).name).collect::<Vec<_>>().join(" ")
        };
        insta::assert_snapshot!(kinds(Backend::Embedded), @"chaos pause restart slow terminate");
        insta::assert_snapshot!(kinds(Backend::Redis), @"bandwidth chaos drop half-open kill latency partition pause reset restart slice slow terminate");
        assert_eq!(kinds(Backend::Redis), kinds(Backend::RabbitMq));
    }

    #[test]
    fn some_strike_the_broker_while_it_takes_the_sweep_up_to_three_times() {
        for backend in BACKENDS {
            let early = |seed| {
                let is_early = |fault: &&PlannedFault| {
                    let at = &fault.trigger;
                    let soon = matches!(at, Trigger::Time(at) if *at <= Duration::from_millis(100));
                    soon && fault.kind == FaultKind::Kill && fault.target == Target::Broker
                };
                plan(backend, seed).faults.iter().filter(is_early).count()
            };
            let counts: std::collections::BTreeSet<usize> = (0..100).map(early).collect();
            let wanted = if backend == Backend::Embedded { 0..=0 } else { 0..=3 };
            assert_eq!(counts, wanted.collect(), "{backend}");
        }
    }

    #[test]
    fn a_scenario_reads_like_one_that_somebody_wrote() {
        insta::assert_snapshot!(scenario(Backend::Redis, 7), @"
        name: soak-redis-7
        description: Random chaos of seed 7, and no parameter lost or counted twice.
        sweep:
          params: 92551..95284
          chunk_size: 13
          kernel: { work_ms: 3.077 }
        backend: redis
        environment: process
        workers: 3
        seed: 7
        system:
          env:
            STALE_THRESHOLD_MS: 569
            MAX_DELIVERIES: 1000
        faults:
          - at: 78ms
            chaos:
              for: 4054ms
              pace: 87ms
              mix:
                - { weight: 4, restart: { worker: busy } }
                - { weight: 2, pause: { worker: random, for: 566ms } }
                - { weight: 1, slow: { worker: busy, share: 28%, for: 303ms } }
                - { weight: 1, restart: { role: aggregator } }
                - { weight: 1, pause: { role: coordinator, for: 260ms } }
                - { weight: 2, latency: { worker: busy, delay: 54ms, jitter: 18ms, for: 189ms } }
                - { weight: 1, bandwidth: { role: coordinator, bytes: 31660, for: 507ms } }
                - { weight: 1, slice: { worker: busy, bytes: 1, for: 211ms } }
                - { weight: 1, partition: { worker: random, direction: from-broker, for: 884ms } }
                - { weight: 2, drop: { role: aggregator, direction: both, for: 840ms } }
                - { weight: 2, half-open: { worker: random, for: 501ms } }
                - { weight: 1, reset: { worker: busy } }
                - { weight: 1, kill: { role: broker, for: 69ms } }
                - { weight: 1, restart: { role: broker } }
                - { weight: 1, pause: { role: broker, for: 595ms } }
          - { at: 59%, restart: { role: coordinator } }
        expect:
          coverage: exactly-once
          finish_max: 30s
        ");
    }
}
