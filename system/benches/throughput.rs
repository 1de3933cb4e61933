//! Chunks per second where the kernel costs nothing: three workers in processes of their own,
//! beside a bare loop of the same commands that keeps no promise. `cargo bench -p ttg-system`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use ttg_system::chunk::Sweep;
use ttg_system::coordinator;

use support::bench::Backend::{Embedded, Redis};
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
    let (mut redis, mut bare, mut embedded) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        redis.push(runtime.block_on(through_workers(Redis)));
        bare.push(runtime.block_on(bare_loop()));
        embedded.push(runtime.block_on(through_workers(Embedded)));
    }
    let chunks = SWEEP.chunks();
    println!("{chunks} chunks of 1 parameter, {WORKERS} workers, {REPETITIONS} repetitions\n");
    println!("{:<24} {:>10} {:>10} {:>10}   chunks/s", "", "median", "min", "max");
    let ours = line("ttg on redis", &mut redis);
    let bare = line("bare commands on redis", &mut bare);
    line("ttg on the embedded one", &mut embedded);
    println!("\nttg / bare on redis: {:.2}", ours / bare);
}

fn line(name: &str, rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    let (min, median, max) = (rates[0], rates[rates.len() / 2], rates[rates.len() - 1]);
    println!("{name:<24} {median:>10.0} {min:>10.0} {max:>10.0}");
    median
}

/// From the start of the workers, with everything submitted, to the last result.
async fn through_workers(backend: Backend) -> f64 {
    let mut bench = Bench::start(backend);
    bench.settings.takeover_interval = Duration::from_millis(100);
    let broker = bench.onlooker().await;
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

/// The commands alone: read 64, write 64 results in one pipeline, acknowledge 64.
async fn bare_loop() -> f64 {
    let mut bench = Bench::start(Redis);
    let broker = bench.onlooker().await;
    coordinator::run(&*broker, &SWEEP, None).await.expect("submits");
    let url = bench.redis().url();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 1..=WORKERS {
            let url = &url;
            scope.spawn(move || bare_worker(url, &format!("worker-{number}")));
        }
    });
    SWEEP.chunks() as f64 / begun.elapsed().as_secs_f64()
}

fn bare_worker(url: &str, name: &str) {
    type Tasks = Vec<(String, BTreeMap<String, String>)>;
    let client = redis::Client::open(url).expect("a URL");
    let mut connection = client.get_connection().expect("connects");
    loop {
        let read: Option<Vec<(String, Tasks)>> = redis::cmd("XREADGROUP")
            .arg(&["GROUP", "ttg-workers", name, "COUNT"])
            .arg(BATCH)
            .arg(&["STREAMS", "ttg:tasks", ">"])
            .query(&mut connection)
            .expect("reads");
        let tasks: Tasks = read.into_iter().flatten().flat_map(|(_, tasks)| tasks).collect();
        if tasks.is_empty() {
            return;
        }
        let mut write = redis::pipe();
        for (_, task) in &tasks {
            let result = r#"{"sum":13.0,"count":1,"min":13.0,"max":13.0,"avg":13.0}"#;
            write
                .cmd("XADD")
                .arg(&["ttg:results", "*", "chunk_id", &task["chunk_id"], "worker_id", name])
                .arg(&["status", "completed", "duration_seconds", "0.0000"])
                .arg(&["completed_at", "2026-01-02T03:04:05.678901234Z", "result_data", result])
                .ignore();
        }
        write.cmd("XACK").arg("ttg:tasks").arg("ttg-workers");
        for (id, _) in &tasks {
            write.arg(id);
        }
        write.ignore().query::<()>(&mut connection).expect("writes");
    }
}
