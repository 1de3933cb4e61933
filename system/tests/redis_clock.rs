//! A Redis whose clock is set back by an hour: what it wrote down before is then an hour ahead of it.

mod support;

use ttg_system::queue::{Failure, Queue};

use support::bench::Backend::Redis;
use support::bench::{Bench, assert_nothing_to_claim, claim_one};
use support::process::until;
use support::redis_server::RedisServer;

const HOUR_MS: &str = "3600000";

/// As if it had shown an hour more until now.
fn set_back(redis: &RedisServer) {
    let set = "local t = redis.call('TIME') \
               redis.call('SET', 'ttg:clock', string.format('%.0f', t[1] * 1000 + ARGV[1]))";
    redis.command(&["EVAL", set, "0", HOUR_MS]);
}

/// How long ago the delivery was renewed, in milliseconds.
fn idle_ms(redis: &RedisServer) -> u64 {
    let idle =
        "return tostring(redis.call('XPENDING', 'ttg:tasks', 'ttg-workers', '-', '+', 1)[1][3])";
    redis.ask(&["EVAL", idle, "0"]).parse().expect("a delivery")
}

#[tokio::test]
async fn a_retry_waits_no_longer_than_its_delay() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let delivery = claim_one(&*worker).await;
    assert_eq!(worker.fail(&delivery, "no luck").await.expect("fails"), Failure::Retried);
    let redis = bench.redis();
    let shift = "for _, task in ipairs(redis.call('ZRANGE', 'ttg:tasks:retry', 0, -1)) do \
                 redis.call('ZINCRBY', 'ttg:tasks:retry', ARGV[1], task) end";
    redis.command(&["EVAL", shift, "0", HOUR_MS]);
    set_back(redis);
    assert_eq!(claim_one(&*worker).await.task.retry_count, 1);
}

#[tokio::test]
async fn leases_begin_anew() {
    let (mut bench, _) = Bench::start(Redis).with_sweep(1).await;
    let holder = bench.worker("worker-1").await;
    let _held = claim_one(&*holder).await;
    let redis = bench.redis();
    until("the lease has lasted for a while", async || idle_ms(redis) > 300).await;
    set_back(redis);
    let other = bench.worker("worker-2").await;
    assert_nothing_to_claim(&*other as &dyn Queue).await;
    let redis = bench.redis();
    assert!(idle_ms(redis) < 300, "{}", idle_ms(redis));
    // Once, and not at every look.
    until("it lasts", async || {
        assert_nothing_to_claim(&*other as &dyn Queue).await;
        idle_ms(redis) > 300
    })
    .await;
}
