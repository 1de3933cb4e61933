//! Messages of RabbitMQ, by the counters that it keeps of all protocols and kinds of queues.

use super::support::bench::Bench;
use super::support::process::until;
use super::{Counts, assert_agreed};

/// What is counted, and the server's names for it.
const COUNTED: [(&str, &str); 4] = [
    ("published", "messages_received_total"),
    ("confirmed", "messages_confirmed_total"),
    ("delivered", "messages_delivered_total"),
    ("acknowledged", "messages_acknowledged_total"),
];

/// So many chunks that what goes by the clock is little beside what they cost.
const SWEEPS: [u64; 2] = [4_000, 24_000];

/// Who is connected, and what was counted.
const OVERVIEW: [&str; 2] =
    ["eval", "{rabbit_networking:connections(), rabbit_global_counters:overview()}."];

#[tokio::test]
async fn a_chunk_costs_what_is_agreed_on_rabbitmq() {
    assert_agreed("rabbitmq", SWEEPS, async || {
        let bench = Bench::start_untraced();
        (bench, counts_at_rest)
    })
    .await;
}

/// What was counted once the last connection is gone: the server takes in until then what was said over it.
async fn counts_at_rest(bench: &Bench) -> Counts {
    let mut told = String::new();
    until("all connections are gone", async || {
        told = bench.rabbitmq().told(&OVERVIEW);
        told.starts_with("{[],")
    })
    .await;
    counts(&told)
}

fn counts(told: &str) -> Counts {
    let number = |text: &str| -> u64 {
        let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().expect("a number")
    };
    let counted = COUNTED.map(|(name, theirs)| {
        let mark = format!("{theirs} => ");
        let mut each = told.split(&mark).skip(1).map(number).peekable();
        assert!(each.peek().is_some(), "{theirs} is not counted: {told}");
        (name, each.sum())
    });
    counted.into()
}

#[test]
fn protocols_and_kinds_of_queues_are_added_up() {
    let told = "#{[{protocol,amqp091}] =>\n #{messages_confirmed_total => 5,\n \
        messages_received_total => 70},\n [{protocol,amqp091},{queue_type,rabbit_classic_queue}] =>\n \
        #{messages_acknowledged_total => 3,messages_delivered_total => 4},\n \
        [{protocol,amqp091},{queue_type,rabbit_stream_queue}] =>\n \
        #{messages_acknowledged_total => 1,messages_delivered_total => 2}}\n";
    let named = [("published", 70), ("confirmed", 5), ("delivered", 6), ("acknowledged", 4)];
    assert_eq!(counts(told), named);
}
