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
    assert_snapshot!(refused("at: 30%", "at: 100%"), @"scenarios/x.yaml:8:9: at is 100%, but a share that leaves something to do is above 0% and below 100% (write for example at: 30%)");
    assert_snapshot!(refused("at: 30%", "at: 0%"), @"scenarios/x.yaml:8:9: at is 0%, but a share that leaves something to do is above 0% and below 100% (write for example at: 30%)");
    assert_snapshot!(refused("at: 30%", "at: 99.5%"), @"scenarios/x.yaml:8:9: at is 99.5%, but of 100 chunks so much is committed only when all is (write 99% at most)");
    assert!(read(&changed("at: 30%", "at: 99%")).is_ok());
    let one = changed("chunk_size: 10", "chunk_size: 1000");
    assert_snapshot!(message(&one), @"scenarios/x.yaml:8:9: at is 30%, but of 1 chunk nothing is committed before everything is (write a time, as in at: 100ms, or make smaller chunks)");
    let remainder = changed("params: 1000", "params: 1001").replace("at: 30%", "at: 99.8%");
    assert!(read(&remainder).is_ok(), "the last chunk is a tenth of the others");
}

#[test]
fn a_share_at_which_everything_is_submitted_is_refused() {
    let fault = with("{ at: 30% submitted, restart: { role: coordinator } }");
    assert!(read(&fault).is_ok());
    assert_snapshot!(message(&fault.replace("chunk_size: 10", "chunk_size: 500").replace("30%", "51%")), @"scenarios/x.yaml:8:11: at is 51% submitted, but of 2 chunks nothing is left to submit then (write less, or make smaller chunks)");
}

#[test]
fn a_time_after_which_such_a_sweep_is_over_is_refused() {
    let short = |fault: &str| with(fault).replace("work_ms: 100", "work_ms: 10");
    assert_snapshot!(message(&short("{ at: 30s, kill: { worker: busy } }")), @"scenarios/x.yaml:8:11: at is 30s, but such a sweep is over within 24.6s even on a slow machine (strike sooner, or give it more work)");
    assert_snapshot!(message(&short("{ at: 1s, every: 1h, reset: { worker: all } }")), @"scenarios/x.yaml:8:22: every is 3600s, but such a sweep is over within 24.6s even on a slow machine (strike sooner, or give it more work)");
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
    assert_snapshot!(about("{ at: 30%, pause: { worker: busy, for: 9ms } }"), @"scenarios/x.yaml:8:44: for is 9ms, which is over before it holds anybody up (write at least 10ms)");
    assert_snapshot!(about("{ at: 30%, latency: { worker: busy, delay: 1ms, for: 1ms } }"), @"scenarios/x.yaml:8:58: for is 1ms, which is over before it holds anybody up (write at least 10ms)");
    assert!(read(&with("{ at: 30%, kill: { role: broker, for: 1ms } }")).is_ok());
    assert_snapshot!(about("{ at: 30%, chaos: { for: 1s, pace: 1s, mix: [{ reset: { worker: all } }] } }"), @"scenarios/x.yaml:8:40: pace is 1s, but the chaos lasts for 1s (strike more often, or let it last longer)");
}

#[test]
fn a_rate_or_a_piece_that_is_no_limit_is_refused() {
    assert_snapshot!(about("{ at: 30%, bandwidth: { worker: 0, bytes: 100000001, for: 1s } }"), @"scenarios/x.yaml:8:47: bytes is 100000001, but at most 100000000 are possible");
    assert_snapshot!(about("{ at: 30%, slice: { worker: 0, bytes: 65537, for: 1s } }"), @"scenarios/x.yaml:8:43: bytes is 65537, but at most 65536 are possible");
    assert_snapshot!(about("{ at: 30%, slow: { worker: 0, share: 100%, for: 1s } }"), @r#"scenarios/x.yaml:8:42: share is "100%", but must be above 0% and below 100% (write for example share: 10%)"#);
}

#[test]
fn slow_chunks_are_some_of_them_and_take_longer() {
    assert_snapshot!(about("slow-chunks: { share: 100% }"), @r#"scenarios/x.yaml:8:27: share is "100%", but must be above 0% and below 100% (write for example share: 10%)"#);
    assert_snapshot!(about("slow-chunks: { share: 10%, factor: 1 }"), @"scenarios/x.yaml:8:40: factor is 1, but only above 1 a chunk takes longer (write for example factor: 10)");
    assert_snapshot!(about("slow-chunks: { share: 0.01% }"), @"scenarios/x.yaml:8:27: share is 0.01%, but of 100 chunks the seed 7 draws none (write another share, or another seed)");
    assert_snapshot!(message(&with("slow-chunks: { share: 60% }").replace("chunk_size: 10", "chunk_size: 1000").replace("seed: 7", "seed: 1")), @"scenarios/x.yaml:8:27: share is 60%, but of 1 chunk the seed 1 draws every one (write another share, or another seed)");
    assert_snapshot!(message(&with("slow-chunks: { share: 10% }").replace("work_ms: 100", "work_ms: 0")), @"scenarios/x.yaml:8:27: share is said of chunks that take no time, so none takes longer (give the kernel some work_ms)");
    let exec = r#"{ exec: { command: ["f"] } }"#;
    assert_snapshot!(message(&with("slow-chunks: { share: 10% }").replace("{ reference: { work_ms: 100 } }", exec)), @"scenarios/x.yaml:8:27: share is said of chunks whose time only their own program knows (let that take longer, or use a built-in kernel)");
}

#[test]
fn what_is_expected_of_failures_needs_something_that_fails() {
    let calm =
        BASE.replace("faults:\n  - at: 30%\n    name: first\n    kill: { worker: busy }\n", "");
    let calm = |line: &str| calm.replace("coverage: exactly-once\n  recovery_max: 1s", line);
    assert_snapshot!(message(&calm("dead_letters: 1")), @"scenarios/x.yaml:8:17: dead_letters is about dead letters, but nothing here makes a chunk die (add poison: { chunk: 17 } to the faults, or set SIMULATE_FAULT_RATE in system.env)");
    assert_snapshot!(message(&calm("retries_min: 1")), @"scenarios/x.yaml:8:16: retries_min is 1, but nothing here makes an attempt fail (set SIMULATE_FAULT_RATE in system.env, or remove it)");
    assert_snapshot!(message(&calm("dead_letters: 0").replace("expect:", "afterwards: { replay: { env: {} } }\nexpect:")), @"scenarios/x.yaml:7:13: afterwards is about dead letters, but nothing here makes a chunk die (add poison: { chunk: 17 } to the faults, or set SIMULATE_FAULT_RATE in system.env)");
    assert_snapshot!(message(&with("slow-chunks: { share: 10% }").replace("coverage: exactly-once", "finish_max: 3s")), @"scenarios/x.yaml:10:15: finish_max counts from the end of the last fault, and slow-chunks is never over (add one that is, or write duration_max)");
    for env in ["{ SIMULATE_FAULT_RATE: 0.1 }"] {
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
