//! Messages of RabbitMQ, by the counters that it keeps of all protocols and kinds of queues.

use super::support::bench::Bench;
use super::{Counts, assert_agreed};

/// What is counted, and the server's names for it.
const COUNTED: [(&str, &str); 4] = [
    ("published", "messages_received_total"),
    ("confirmed", "messages_confirmed_total"),
    ("delivered", "messages_delivered_total"),
    ("acknowledged", "messages_acknowledged_total"),
];

const OVERVIEW: [&str; 2] = ["eval", "rabbit_global_counters:overview()."];

#[tokio::test]
async fn a_chunk_costs_what_is_agreed_on_rabbitmq() {
    assert_agreed("rabbitmq", async || {
        let bench = Bench::start_untraced();
        (bench, |bench: &Bench| counts(&bench.rabbitmq().told(&OVERVIEW)))
    })
    .await;
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
