//! Chunks per second where the kernel costs nothing: three workers in processes of their own,
//! beside bare loops of the same commands that keep no promise. `cargo bench -p ttg-system`.

mod bare_rabbitmq;
mod bare_redis;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant, SystemTime};

use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::{self, Address};

use support::bench::Backend::{Embedded, RabbitMq, Redis};
use support::bench::{Backend, Bench};
use support::process::Process;

const SWEEP: Sweep = Sweep { start: 0, params: 60_000, chunk_size: 1 };
const WORKERS: u32 = 3;
const BATCH: usize = 64;
const REPETITIONS: usize = 5;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` asks too, but a measurement beside other tests is none.
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut rates: [Vec<f64>; 5] = Default::default();
    for _ in 0..REPETITIONS {
        rates[0].push(runtime.block_on(through_workers(Redis)));
        rates[1].push(runtime.block_on(bare_loop(Redis, bare_redis::worker)));
        rates[2].push(runtime.block_on(through_workers(RabbitMq)));
        rates[3].push(runtime.block_on(bare_loop(RabbitMq, bare_rabbitmq::worker)));
        rates[4].push(runtime.block_on(through_workers(Embedded)));
    }
    let [mut redis, mut bare_redis, mut rabbitmq, mut bare_rabbitmq, mut embedded] = rates;
    let chunks = SWEEP.chunks();
    println!("{chunks} chunks of 1 parameter, {WORKERS} workers, {REPETITIONS} repetitions\n");
    println!("{:<24} {:>10} {:>10} {:>10}   chunks/s", "", "median", "min", "max");
    let ours = line("ttg on redis", &mut redis);
    let on_redis = ours / line("bare commands on redis", &mut bare_redis);
    let ours = line("ttg on rabbitmq", &mut rabbitmq);
    let on_rabbitmq = ours / line("bare loop on rabbitmq", &mut bare_rabbitmq);
    line("ttg on the embedded one", &mut embedded);
    println!("\nttg / bare: {on_redis:.2} on redis, {on_rabbitmq:.2} on rabbitmq");
}

fn line(name: &str, rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    let (min, median, max) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
    println!("{name:<24} {median:>10.0} {min:>10.0} {max:>10.0}");
    median
}

/// From the start of the workers, with everything submitted, to the last result.
async fn through_workers(backend: Backend) -> f64 {
    let mut bench = Bench::start_untraced(backend);
    bench.settings.takeover_interval = Duration::from_millis(100);
    let broker = queue::connect(&bench.settings, None).await.expect("the broker answers");
    coordinator::run(&*broker, &SWEEP, None).await.expect("submits");
    let begun = SystemTime::now();
    let workers: Vec<_> =
        (1..=WORKERS).map(|number| Process::worker(&bench.settings, number, 0.0)).collect();
    for worker in workers {
        let ended = worker.end();
        assert!(ended.status.success(), "{ended}");
    }
    bench.assert_exact(&SWEEP).await;
    let begun_ms = begun.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
    let mut last_ms = 0;
    let mut cursor = Default::default();
    loop {
        let page = broker.results(&mut cursor, 10_000, Duration::ZERO).await.expect("reads");
        let Some(last) = page.last() else { break };
        last_ms = u128::try_from(last.at_ms).expect("after 1970");
    }
    SWEEP.chunks() as f64 * 1000.0 / (last_ms - begun_ms) as f64
}

/// The commands alone, by as many threads as there are workers.
async fn bare_loop(backend: Backend, worker: fn(&Address, u32)) -> f64 {
    let bench = Bench::start_untraced(backend);
    let broker = queue::connect(&bench.settings, None).await.expect("the broker answers");
    coordinator::run(&*broker, &SWEEP, None).await.expect("submits");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 1..=WORKERS {
            let address = &bench.settings.address;
            scope.spawn(move || worker(address, number));
        }
    });
    SWEEP.chunks() as f64 / begun.elapsed().as_secs_f64()
}
