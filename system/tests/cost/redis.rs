//! Commands of Redis, those within scripts among them.

use super::support::bench::{Backend, Bench};
use super::{Counts, SWEEPS, assert_agreed};

#[tokio::test]
async fn a_chunk_costs_what_is_agreed_on_redis() {
    assert_agreed("redis", SWEEPS, async || {
        let mut bench = Bench::start(Backend::Redis);
        let client = redis::Client::open(bench.redis().url()).expect("a URL");
        let mut connection = client.get_connection().expect("connects");
        let mut told = move |section| -> String {
            redis::cmd("INFO").arg(section).query(&mut connection).expect("is told")
        };
        (bench, async move |_: &Bench| counts(&told("commandstats"), &told("stats")))
    })
    .await;
}

/// The questions of this test itself are two for each count, whatever the sweep. A worker renews what it
/// holds once a second, with an XPENDING and an XCLAIM for each, which goes by the clock and not by the chunk;
/// nothing else here claims.
fn counts(commands: &str, stats: &str) -> Counts {
    let calls = commands.lines().filter_map(|line| line.split_once(":calls="));
    let calls = calls.map(|(name, rest)| (name == "cmdstat_xclaim", number(rest)));
    let (renewals, calls): (Vec<_>, Vec<_>) = calls.partition(|(is_claim, _)| *is_claim);
    let sum = |calls: Vec<(bool, u64)>| calls.into_iter().map(|(_, calls)| calls).sum::<u64>();
    let calls = sum(calls) - sum(renewals);
    let bytes = stats.lines().find_map(|line| line.strip_prefix("total_net_input_bytes:"));
    vec![("commands", calls), ("bytes sent", number(bytes.expect("it is counted")))]
}

fn number(text: &str) -> u64 {
    let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().expect("a number")
}

#[test]
fn commands_of_all_kinds_are_added_up_and_renewals_are_not() {
    let commands = "# Commandstats\r\ncmdstat_xadd:calls=3,usec=9\r\ncmdstat_get:calls=40,usec=1\r\n\
         cmdstat_xpending:calls=9,usec=3\r\ncmdstat_xclaim:calls=7,usec=3\r\n";
    let stats = "# Stats\r\ntotal_net_input_bytes:1234\r\n";
    assert_eq!(counts(commands, stats), [("commands", 45), ("bytes sent", 1234)]);
}
