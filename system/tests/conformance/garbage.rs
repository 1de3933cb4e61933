//! Tasks that are none become dead letters with the reason, and stop nobody.

use rstest::rstest;
use std::time::Duration;

use tokio::sync::watch;
use ttg_system::kernel::Kernel;
use ttg_system::queue::Cursor;
use ttg_system::worker::{self, Status};

use crate::support::bench::Backend::{self, Embedded, RabbitMq, Redis};
use crate::support::bench::Bench;
use crate::support::kernels::Steady;

type Raw<'a> = Vec<(&'a [u8], &'a [u8])>;

fn task<'a>(id: &'a str, start: &'a str, end: &'a str) -> Raw<'a> {
    let fields = [("chunk_id", id), ("start_param", start), ("end_param", end)];
    fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

async fn assert_it_dies_and_the_sweep_lives(bench: Bench, chunks: u64, reason: &str) {
    let (bench, sweep) = bench.with_sweep(chunks).await;
    let (_keep, stop) = watch::channel(false);
    let kernel: Box<dyn Kernel> = Box::new(Steady::new(Duration::ZERO));
    let queue = bench.worker("worker-1").await;
    let (summary, ended) = worker::run(queue, kernel, bench.options("worker-1"), stop).await;
    ended.expect("it ends well");
    assert_eq!((summary.status, summary.chunks_processed), (Status::Completed, chunks));
    bench.assert_exact(&sweep).await;
    let broker = bench.onlooker().await;
    let letters = broker.dead_letters(&mut Cursor::default(), 10).await.expect("reads");
    let reasons: Vec<_> = letters.iter().map(|letter| letter.last_error.as_str()).collect();
    assert_eq!(reasons, [reason]);
}

#[rstest]
#[case::nothing_known(vec![(&b"colour"[..], &b"blue"[..])], "chunk_id is missing")]
#[case::half_a_range(task("1", "10", "20")[..2].to_vec(), "end_param is missing")]
#[case::reversed(task("1", "20", "10"), "end_param 10 is not above start_param 20")]
#[case::empty_range(task("1", "20", "20"), "end_param 20 is not above start_param 20")]
#[case::beyond_the_sweep(
    task("00003", "30", "40"),
    "chunk_id 00003 is not below the sweep's 3 chunks"
)]
#[case::beyond_the_bitmap(
    task("4294967296", "30", "40"),
    "chunk_id 4294967296 is not below the 134217728 chunks"
)]
#[case::beyond_numbers(
    task("18446744073709551616", "30", "40"),
    "chunk_id is \"18446744073709551616\", not a whole number"
)]
#[case::endless(
    task("1", "0", "18446744073709551615"),
    "chunk 00001 is 0 to 18446744073709551615 there, and 10 to 20 in the sweep"
)]
#[case::not_utf_8(
    vec![(&b"chunk_id"[..], &b"\xff\xfe"[..])],
    "chunk_id is \"\u{fffd}\u{fffd}\", not a whole number"
)]
#[tokio::test]
async fn garbage_among_the_tasks_becomes_a_dead_letter(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[case] fields: Raw<'_>,
    #[case] reason: &str,
) {
    let bench = Bench::start(backend);
    // A group that begins at the beginning, as a worker that came first would make.
    bench.worker("worker-0").await.claim(1, Duration::from_millis(1)).await.expect("claims");
    bench.submit_raw(&fields).await;
    assert_it_dies_and_the_sweep_lives(bench, 3, reason).await;
}

#[rstest]
#[case::of_many_fields(5_000, 10)]
#[case::of_great_length(1, 4_000_000)]
#[tokio::test]
async fn garbage_of_any_size_becomes_a_dead_letter_of_a_bounded_one(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
    #[case] fields: usize,
    #[case] length: usize,
) {
    let bench = Bench::start(backend);
    bench.worker("worker-0").await.claim(1, Duration::from_millis(1)).await.expect("claims");
    let names: Vec<String> = (0..fields).map(|i| format!("{i}{}", "x".repeat(length))).collect();
    let raw: Raw<'_> = names.iter().map(|name| (name.as_bytes(), name.as_bytes())).collect();
    bench.submit_raw(&raw).await;
    let told = bench.onlooker().await.tasks(&mut Cursor::default(), 10).await.expect("reads");
    let told: Vec<_> = told.into_iter().map(|task| task.what).collect();
    assert_eq!(told, [Err("chunk_id is missing".to_owned())], "an onlooker is told of it");
    assert_it_dies_and_the_sweep_lives(bench, 3, "chunk_id is missing").await;
}

#[rstest]
#[case::no_json(b"\0 \x01 not json", "chunk_id is missing")]
#[case::not_utf_8(b"\xff\xfe\xfd", "chunk_id is missing")]
#[case::a_list(b"[1, 2]", "chunk_id is missing")]
#[case::nothing(b"", "chunk_id is missing")]
#[case::nested(&[b'['; 100_000], "chunk_id is missing")]
#[case::negative(
    br#"{"chunk_id": -1, "start_param": 0, "end_param": 1}"#,
    "chunk_id is \"-1\", not a whole number"
)]
#[tokio::test]
async fn text_that_is_no_task_becomes_a_dead_letter(#[case] text: &[u8], #[case] reason: &str) {
    let bench = Bench::start(Embedded);
    drop(bench.onlooker().await);
    bench.submit_text(text);
    assert_it_dies_and_the_sweep_lives(bench, 3, reason).await;
}

#[rstest]
#[tokio::test]
async fn a_foreign_task_with_fields_of_its_own_is_a_task(
    #[values(Embedded, Redis, RabbitMq)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(3).await;
    let mut foreign = task("00002", "20", "30");
    foreign.push((b"priority", b"high"));
    bench.submit_raw(&foreign).await;
    let worker = bench.worker("worker-1").await;
    let mut ranges = Vec::new();
    // A claim brings what is there, which need not be all of it.
    while ranges.len() < 4 {
        let claimed = worker.claim(10, Duration::from_secs(5)).await.expect("claims");
        assert!(!claimed.is_empty(), "{ranges:?}");
        ranges.extend(claimed.iter().map(|it| (it.task.chunk.index, it.task.chunk.start)));
    }
    assert_eq!(ranges, [(0, 0), (1, 10), (2, 20), (2, 20)]);
}
