//! Faults that strike at a moment of the sweep, beside the chaos.

use fastrand::Rng;

use super::ground::Ground;
use super::mixture::ms;
use crate::plan::Backend;

/// Some of them, or none; each is an item of a scenario's faults.
pub(super) fn draw(rng: &mut Rng, ground: Ground) -> Vec<String> {
    let mut faults = Vec::new();
    if rng.u32(0..4) == 0 {
        // Early, it is still submitting. By share of what is submitted it would often be too late:
        // a short sweep is submitted before anybody has looked twice.
        let at = if rng.bool() { ms(rng, 1, 40) } else { format!("{}%", rng.u32(5..=60)) };
        faults.push(format!("{{ at: {at}, restart: {{ role: coordinator }} }}"));
    }
    if rng.u32(0..4) == 0 {
        faults.push(format!("{{ at: {}%, restart: {{ role: aggregator }} }}", rng.u32(5..=60)));
    }
    if rng.u32(0..4) == 0 {
        let (at, who) = (rng.u32(5..=60), rng.u32(0..ground.workers));
        faults.push(format!("{{ at: {at}%, terminate: {{ worker: {who} }} }}"));
    }
    if rng.u32(0..4) == 0 {
        // It goes on until the sweep is complete, so a worker must live long enough for a chunk or two:
        // on RabbitMQ it takes many answers of the server until it has the first.
        let pace = if ground.backend == Backend::RabbitMq { (1500, 3000) } else { (300, 900) };
        let (at, every) = (rng.u32(2..=20), ms(rng, pace.0, pace.1));
        let what = if rng.bool() { "worker: busy" } else { "worker: random" };
        faults.push(format!("{{ at: {at}%, every: {every}, restart: {{ {what} }} }}"));
    }
    // Its server takes seconds to come back: at one time of a sweep is enough.
    let later = ground.backend == Backend::RabbitMq && rng.u32(0..3) == 0;
    if later {
        let at = rng.u32(10..=60);
        let what = match rng.u32(0..3) {
            0 => format!("kill: {{ role: broker, for: {} }}", ms(rng, 1, 500)),
            1 => "restart: { role: broker }".to_owned(),
            _ => format!("pause: {{ role: broker, for: {} }}", ms(rng, 50, 1500)),
        };
        faults.push(format!("{{ at: {at}%, {what} }}"));
    }
    if ground.backend != Backend::Embedded && !later && rng.u32(0..3) == 0 {
        faults.extend(while_submitting(rng, ground));
    }
    faults
}

/// The broker is killed while the sweep is submitted, and perhaps again as soon as it is back: what
/// was told but not confirmed must not be there twice, nor be missing.
fn while_submitting(rng: &mut Rng, ground: Ground) -> Vec<String> {
    let kills = match ground.backend {
        Backend::RabbitMq => [1, 1, 1, 2, 2, 3][rng.usize(0..6)],
        _ => rng.u32(1..=3),
    };
    let one = |_| {
        let (at, away) = (ms(rng, 1, 100), ms(rng, 1, 300));
        format!("{{ at: {at}, kill: {{ role: broker, for: {away} }} }}")
    };
    (0..kills).map(one).collect()
}
