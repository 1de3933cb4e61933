//! Of each fault and expectation that can be written and cannot bite, the message.

use insta::assert_snapshot;

use super::{BASE, changed, message, read, refused};

/// A scenario with this fault alone, and no expectation of it.
fn with(fault: &str) -> String {
    changed("  - at: 30%\n    name: first\n    kill: { worker: busy }", &format!("  - {fault}"))
        .replace("  recovery_max: 1s\n", "")
}

fn about(fault: &str) -> String {
    message(&with(fault))
}

#[test]
fn a_share_at_which_everything_is_committed_is_refused() {
    assert_snapshot!(refused("at: 30%", "at: 100%"), @"");
    assert_snapshot!(refused("at: 30%", "at: 0%"), @"");
    assert_snapshot!(refused("at: 30%", "at: 99.5%"), @"");
    assert!(read(&changed("at: 30%", "at: 99%")).is_ok());
    let one = changed("chunk_size: 10", "chunk_size: 1000");
    assert_snapshot!(message(&one), @"");
    let remainder = changed("params: 1000", "params: 1001").replace("at: 30%", "at: 99.8%");
    assert!(read(&remainder).is_ok(), "the last chunk is a tenth of the others");
}

#[test]
fn a_share_at_which_everything_is_submitted_is_refused() {
    let fault = with("{ at: 30% submitted, restart: { role: coordinator } }");
    assert!(read(&fault).is_ok());
    assert_snapshot!(message(&fault.replace("chunk_size: 10", "chunk_size: 500").replace("30%", "51%")), @"");
}

#[test]
fn a_time_after_which_such_a_sweep_is_over_is_refused() {
    let short = |fault: &str| with(fault).replace("work_ms: 100", "work_ms: 10");
    assert_snapshot!(message(&short("{ at: 30s, kill: { worker: busy } }")), @"");
    assert_snapshot!(message(&short("{ at: 1s, every: 1h, reset: { worker: all } }")), @"");
    let is_read = |text: &str| read(text).map(drop).map_err(|error| error.to_string());
    assert_eq!(is_read(&short("{ at: 9s, kill: { worker: busy } }")), Ok(()));
    // What is held up takes longer.
    let paused =
        "{ at: 1s, pause: { worker: all, for: 40s } }\n  - { at: 30s, reset: { worker: all } }";
    assert_eq!(is_read(&short(paused)), Ok(()));
    // And of what fails by itself nobody knows how long it takes.
    let failing = short("{ at: 1h, kill: { worker: busy } }")
        .replace("seed: 7", "system: { env: { SIMULATE_FAULT_RATE: 0.5 } }");
    assert_eq!(is_read(&failing), Ok(()));
}

#[test]
fn what_lasts_for_less_than_anybody_notices_is_refused() {
    assert_snapshot!(about("{ at: 30%, pause: { worker: busy, for: 9ms } }"), @"");
    assert_snapshot!(about("{ at: 30%, latency: { worker: busy, delay: 1ms, for: 1ms } }"), @"");
    assert!(read(&with("{ at: 30%, kill: { role: broker, for: 1ms } }")).is_ok());
    assert_snapshot!(about("{ at: 30%, chaos: { for: 1s, pace: 1s, mix: [{ reset: { worker: all } }] } }"), @"");
}

#[test]
fn a_rate_or_a_piece_that_is_no_limit_is_refused() {
    assert_snapshot!(about("{ at: 30%, bandwidth: { worker: 0, bytes: 100000001, for: 1s } }"), @"");
    assert_snapshot!(about("{ at: 30%, slice: { worker: 0, bytes: 65537, for: 1s } }"), @"");
    assert_snapshot!(about("{ at: 30%, slow: { worker: 0, share: 100%, for: 1s } }"), @"");
}

#[test]
fn slow_chunks_are_some_of_them_and_take_longer() {
    assert_snapshot!(about("slow-chunks: { share: 100% }"), @"");
    assert_snapshot!(about("slow-chunks: { share: 10%, factor: 1 }"), @"");
    assert_snapshot!(about("slow-chunks: { share: 0.01% }"), @"");
    assert_snapshot!(message(&with("slow-chunks: { share: 60% }").replace("chunk_size: 10", "chunk_size: 1000").replace("seed: 7", "seed: 1")), @"");
    assert_snapshot!(message(&with("slow-chunks: { share: 10% }").replace("work_ms: 100", "work_ms: 0")), @"");
    let exec = r#"{ exec: { command: ["f"] } }"#;
    assert_snapshot!(message(&with("slow-chunks: { share: 10% }").replace("{ reference: { work_ms: 100 } }", exec)), @"");
}

#[test]
fn what_is_expected_of_failures_needs_something_that_fails() {
    let calm =
        BASE.replace("faults:\n  - at: 30%\n    name: first\n    kill: { worker: busy }\n", "");
    let calm = |line: &str| calm.replace("coverage: exactly-once\n  recovery_max: 1s", line);
    assert_snapshot!(message(&calm("dead_letters: 1")), @"");
    assert_snapshot!(message(&calm("retries_min: 1")), @"");
    assert_snapshot!(message(&calm("dead_letters: 0").replace("expect:", "afterwards: { replay: { env: {} } }\nexpect:")), @"");
    assert_snapshot!(message(&with("slow-chunks: { share: 10% }").replace("coverage: exactly-once", "finish_max: 3s")), @"");
    for env in ["{ SIMULATE_FAULT_RATE: 0.1 }", "{ KERNEL: exec }"] {
        let set = format!("system: {{ env: {env} }}");
        for line in ["dead_letters: 1", "retries_min: 1"] {
            assert!(read(&calm(line).replace("seed: 7", &set)).is_ok(), "{line} {env}");
        }
    }
    let none = "system: { env: { SIMULATE_FAULT_RATE: 0 } }";
    assert!(read(&calm("retries_min: 1").replace("seed: 7", none)).is_err());
    assert!(
        read(&with("poison: { chunk: 7 }").replace("coverage: exactly-once", "dead_letters: 1"))
            .is_ok()
    );
}
