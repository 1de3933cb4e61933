//! What only RabbitMQ has: a topology that others declare too, connections that deliveries belong
//! to, and a moment between a result and the acknowledgement of its task.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ExchangeKind};
use rustix::process::Signal;
use tokio::time::timeout;
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::rabbitmq::{QueueType, Queues};
use ttg_system::queue::{self, Address, Commit, QueueError, Settings};
use ttg_system::wire::{self, TaskResult};
use ttg_system::worker::{self, Status};

use support::bench::Backend::RabbitMq;
use support::bench::{Bench, PATIENCE, assert_nothing_to_claim, claim_one, commit, computed};
use support::kernels::Steady;
use support::process::{Process, until};
use support::rabbitmq_server::RabbitMqServer;

/// Declares a queue as a program does that has only read the wire contract.
async fn declare_as_foreigner(channel: &Channel, queue: &str, exchange: &str, retry_ms: i32) {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let none = FieldTable::default;
    let kind = ExchangeKind::Direct;
    channel.exchange_declare(exchange.into(), kind, durable, none()).await.expect("an exchange");
    let mut arguments = FieldTable::default();
    if queue == "ttg.tasks.retry" {
        let text = |text: &str| AMQPValue::LongString(text.into());
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(retry_ms));
        arguments.insert("x-dead-letter-exchange".into(), text("ttg.tasks.exchange"));
        arguments.insert("x-dead-letter-routing-key".into(), text("ttg.tasks"));
    }
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(queue.into(), durable, arguments).await.expect("a queue");
    let bind = QueueBindOptions::default();
    let bound = channel.queue_bind(queue.into(), exchange.into(), queue.into(), bind, none());
    bound.await.expect("a binding");
}

async fn foreigner(port: u16, retry_ms: i32) {
    let url = format!("amqp://127.0.0.1:{port}");
    let connection = Connection::connect(&url, Default::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    for (queue, exchange) in [
        ("ttg.tasks", "ttg.tasks.exchange"),
        ("ttg.tasks.retry", "ttg.retry.exchange"),
        ("ttg.tasks.dlq", "ttg.dlq.exchange"),
        ("ttg.results", "ttg.results.exchange"),
    ] {
        declare_as_foreigner(&channel, queue, exchange, retry_ms).await;
    }
}

#[tokio::test]
async fn a_foreign_program_may_declare_the_queues_before_us_or_after() {
    let server = RabbitMqServer::start_own();
    let retry_delay = Duration::from_millis(5000);
    let settings = Settings { retry_delay, ..Settings::new(server.address()) };
    foreigner(server.port, 5000).await;
    queue::connect(&settings, Some("worker-1")).await.expect("takes what is there");
    foreigner(server.port, 5000).await;
    // Another delay is another argument: that is said, not tried again and again.
    let other = Settings { retry_delay: Duration::from_millis(7), ..settings.clone() };
    let refused = queue::connect(&other, Some("worker-2")).await.map(drop);
    let Err(QueueError::Refused { cause, .. }) = refused else { panic!("{refused:?}") };
    assert!(cause.contains("PRECONDITION_FAILED") && cause.contains("x-message-ttl"), "{cause}");
    // Quorum queues stand beside the contract's.
    let Address::RabbitMq(mut quorum) = settings.address.clone() else { unreachable!() };
    quorum.queues = Queues::of(QueueType::Quorum);
    let quorum = Settings { address: Address::RabbitMq(quorum), ..settings };
    queue::connect(&quorum, Some("worker-3")).await.expect("has names of its own");
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_never_shown() {
    let server = RabbitMqServer::start();
    let Address::RabbitMq(mut wrong) = server.address() else { unreachable!() };
    wrong.password = queue::rabbitmq::Secret("hunter2".to_owned());
    let settings = Settings::new(Address::RabbitMq(wrong));
    let refused = queue::connect(&settings, None).await.map(drop).expect_err("is refused");
    assert!(refused.to_string().contains("ACCESS_REFUSED"), "{refused}");
    assert!(!format!("{refused} {refused:?} {settings:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_lock_that_somebody_keeps_is_not_waited_for_for_ever() {
    let (mut bench, sweep) = Bench::start(RabbitMq).with_sweep(1).await;
    bench.settings.patience = Duration::from_secs(2);
    let keeper = bench.rabbitmq().connect().await;
    let channel = keeper.create_channel().await.expect("a channel");
    let lock = format!("{}.lock", bench.rabbitmq().queues().tasks);
    let own = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare(lock.as_str().into(), own, FieldTable::default()).await.expect("is free");
    let onlooker = bench.onlooker().await;
    let locked_out = timeout(PATIENCE, coordinator::run(&*onlooker, &sweep, None)).await;
    let Ok(Err(QueueError::Unreachable { cause, .. })) = locked_out else {
        panic!("{locked_out:?}")
    };
    assert!(cause.contains(&format!("the lock {lock} for 2s")), "{cause}");
    keeper.close(200, "enough".into()).await.expect("closes");
    coordinator::run(&*onlooker, &sweep, None).await.expect("its turn has come");
}

/// Takes a task as a foreign worker does, and leaves without acknowledging it.
async fn take_and_leave(bench: &Bench, result: Option<&str>) {
    let server = bench.rabbitmq();
    let connection = server.connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let tasks = server.queues().tasks.as_str().into();
    channel.basic_get(tasks, Default::default()).await.expect("answers").expect("a task");
    if let Some(body) = result {
        let results = server.queues().results.clone();
        server.publish("ttg.results.exchange", &results, body.as_bytes()).await;
    }
    connection.close(200, "goodbye".into()).await.expect("closes");
}

#[tokio::test]
async fn what_is_settled_is_with_nobody_though_it_is_delivered_again() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(1).await;
    let onlooker = bench.onlooker().await;
    let stats = support::bench::stats(&sweep.chunk(0));
    let result = wire::TaskResult {
        chunk_index: 0,
        worker_id: "worker-1".to_owned(),
        duration_seconds: 0.1,
        completed_at: wire::now(),
        stats,
    };
    take_and_leave(&bench, Some(&wire::to_json(&result.to_fields()))).await;
    // One that came later has seen no result, only the journal.
    let late = bench.onlooker().await;
    let worker = bench.worker("worker-2").await;
    assert_nothing_to_claim(&*worker).await;
    for onlooker in [onlooker, late] {
        assert_eq!(onlooker.held().await.expect("reads"), []);
    }
}

#[tokio::test]
async fn a_worker_that_comes_back_holds_nothing_of_its_former_life() {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(1).await;
    let onlooker = bench.onlooker().await;
    let worker = bench.worker("worker-1").await;
    claim_one(&*worker).await;
    assert_eq!(onlooker.held().await.expect("reads").len(), 1);
    // Killed: nobody asks for tasks, so the one that it had goes to nobody.
    drop(worker);
    let _again = bench.worker("worker-1").await;
    until("its former life is over", async || onlooker.held().await.expect("reads").is_empty())
        .await;
}

#[tokio::test]
async fn what_comes_again_and_is_only_sent_ahead_is_not_begun() {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(3).await;
    let onlooker = bench.onlooker().await;
    for _ in 0..3 {
        take_and_leave(&bench, None).await;
    }
    let worker = bench.worker("worker-1").await;
    let first = claim_one(&*worker).await;
    let is_begun = async || {
        let held = onlooker.held().await.expect("reads");
        let of = |chunk| held.iter().any(|it| it.chunk_index == Some(chunk) && it.begun);
        (held.len(), of(first.task.chunk.index))
    };
    assert_eq!(is_begun().await, (1, true));
    commit(&*worker, &first, "worker-1").await;
    // More than one at a time is asked for: the server sends ahead, and one that came back twice is
    // attempted alone.
    let claimed = worker.claim(4, PATIENCE).await.expect("claims");
    until("both are there", async || onlooker.held().await.expect("reads").len() == 2).await;
    let held = onlooker.held().await.expect("reads");
    let begun: Vec<_> = held.iter().filter(|it| it.begun).map(|it| it.chunk_index).collect();
    let attempted: Vec<_> = claimed.iter().map(|it| Some(it.task.chunk.index)).collect();
    assert_eq!(begun, attempted);
}

#[tokio::test]
async fn of_what_a_foreign_worker_has_it_is_at_the_first() {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(2).await;
    let onlooker = bench.onlooker().await;
    let server = bench.rabbitmq();
    let connection = server.connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let tasks = server.queues().tasks.as_str();
    for _ in 0..2 {
        let got = channel.basic_get(tasks.into(), Default::default()).await;
        got.expect("answers").expect("a task");
    }
    // The server tells of a delivery once it has made it.
    until("both are there", async || onlooker.held().await.expect("reads").len() == 2).await;
    let held = onlooker.held().await.expect("reads");
    let begun: Vec<_> = held.iter().map(|it| (it.chunk_index, it.begun)).collect();
    assert_eq!(begun, [(Some(0), true), (Some(1), false)]);
}

#[tokio::test]
async fn a_result_whose_task_was_not_acknowledged_is_not_computed_again() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let delivery = claim_one(&*worker).await;
    let (_, result) = computed(&delivery, "worker-1");
    // Stored and confirmed, and then the worker dies.
    let body = wire::to_json(&result.to_fields());
    let results = bench.rabbitmq().queues().results.clone();
    bench.rabbitmq().publish("ttg.results.exchange", &results, body.as_bytes()).await;
    drop(worker);
    let other = bench.worker("worker-2").await;
    assert_nothing_to_claim(&*other).await;
    bench.assert_exact(&sweep).await;
}

#[tokio::test]
async fn a_result_that_is_stored_twice_counts_once_and_is_told() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(2).await;
    let worker = bench.worker("worker-1").await;
    let first = claim_one(&*worker).await;
    assert_eq!(commit(&*worker, &first, "worker-1").await, Commit::Committed);
    let (_, again) = computed(&first, "worker-2");
    let body = wire::to_json(&again.to_fields());
    let results = bench.rabbitmq().queues().results.clone();
    bench.rabbitmq().publish("ttg.results.exchange", &results, body.as_bytes()).await;
    let second = claim_one(&*worker).await;
    assert_eq!(commit(&*worker, &second, "worker-1").await, Commit::Committed);
    let report = bench.report().await;
    assert_eq!((report.complete, report.chunks, report.duplicates_removed), (true, 2, 1));
    assert_eq!(report.result, Some(support::bench::whole(&sweep)));
}

#[tokio::test]
async fn a_worker_that_is_frozen_for_longer_than_its_lease_loses_its_chunk_and_goes_on() {
    let (mut bench, sweep) = Bench::start(RabbitMq).with_sweep(4).await;
    bench.settings.lease = Duration::from_millis(2500);
    let onlooker = bench.onlooker().await;
    let frozen = Process::worker(&bench.settings, 1, 20.0);
    until("the worker has a chunk", async || !onlooker.held().await.expect("reads").is_empty())
        .await;
    frozen.signal(Signal::STOP);
    let other = Process::worker(&bench.settings, 2, 20.0);
    let ended = other.end();
    assert!(ended.status.success(), "{ended}");
    frozen.signal(Signal::CONT);
    let ended = frozen.end();
    assert!(ended.status.success(), "it goes on: {ended}");
    let report = bench.report().await;
    assert!(report.complete, "{report:?}");
    assert_eq!((report.chunks, report.result), (4, Some(support::bench::whole(&sweep))));
}

#[tokio::test]
async fn only_the_chunk_of_a_killed_worker_counts_as_delivered_again() {
    let (mut bench, sweep) = Bench::start(RabbitMq).with_sweep(12).await;
    bench.settings.takeover_interval = Duration::from_millis(50);
    let onlooker = bench.onlooker().await;
    let mut workers = [1, 2, 3].map(|number| Process::worker(&bench.settings, number, 30.0));
    until("all workers have a chunk", async || onlooker.held().await.expect("reads").len() == 3)
        .await;
    let held = onlooker.held().await.expect("reads");
    let its = held.iter().find(|held| held.worker == "worker-1").expect("it has one");
    let its = its.chunk_index.expect("the task can be read");
    workers[0].kill();
    let [_, second, third] = workers;
    for worker in [second, third] {
        let ended = worker.end();
        assert!(ended.status.success(), "{ended}");
    }
    bench.assert_exact(&sweep).await;
    // Others looked what it had left, and put back what was not its own.
    let redelivered = onlooker.redelivered().await.expect("reads");
    assert_eq!((redelivered.deliveries, redelivered.chunks), (1, [(its, 1)].into()));
}

#[tokio::test]
async fn a_task_that_is_published_again_is_a_delivery_more_of_its_chunk() {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(3).await;
    let onlooker = bench.onlooker().await;
    onlooker.held().await.expect("watches from now on");
    let server = bench.rabbitmq();
    let connection = server.connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let tasks: ShortString = server.queues().tasks.as_str().into();
    let take = async || {
        let got = channel.basic_get(tasks.clone(), BasicGetOptions { no_ack: true }).await;
        got.expect("answers").expect("a task").delivery
    };
    for kind in ["again", "maybe", "another"] {
        let task = take().await;
        let typed = BasicProperties::default().with_type(kind.into());
        let (to, options) = ("ttg.tasks.exchange".into(), Default::default());
        let sent = channel.basic_publish(to, tasks.clone(), options, &task.data, typed).await;
        sent.expect("publishes");
    }
    for _ in 0..3 {
        take().await;
    }
    let redelivered = onlooker.redelivered().await.expect("reads");
    assert_eq!(redelivered.chunks, [(0, 1), (1, 1), (2, 1)].into(), "whatever it calls itself");
    assert_eq!(redelivered.deliveries, 3);
}

#[tokio::test]
async fn what_goes_another_way_than_the_contracts_is_seen() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(2).await;
    let onlooker = bench.onlooker().await;
    onlooker.held().await.expect("watches from now on");
    let server = bench.rabbitmq();
    let connection = server.connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let named = |name: &str| ShortString::from(name);
    let (tasks, results) = (named(&server.queues().tasks), named(&server.queues().results));
    let take = async |from: &ShortString| {
        let got = channel.basic_get(from.clone(), BasicGetOptions { no_ack: true }).await;
        got.expect("answers").expect("a message").delivery
    };
    let first = take(&tasks).await;
    // Past the exchange, so that the journal does not have it.
    let (none, options) = (BasicProperties::default(), Default::default());
    let sent = channel.basic_publish("".into(), tasks.clone(), options, &first.data, none).await;
    sent.expect("publishes");
    // As a retry that has not waited where retries wait.
    let mut fields = wire::from_json(&String::from_utf8_lossy(&first.data));
    fields.push(("retry_count".to_owned(), "1".to_owned()));
    let (stray, none) = (wire::to_json(&fields), BasicProperties::default());
    let to = "ttg.tasks.exchange".into();
    let sent = channel.basic_publish(to, tasks.clone(), options, stray.as_bytes(), none).await;
    sent.expect("publishes");
    for _ in 0..3 {
        take(&tasks).await;
    }
    assert_eq!(onlooker.bypassed().await.expect("reads"), 1);
    let told = onlooker.tasks(&mut queue::Cursor::default(), 10).await.expect("reads");
    let told = told.iter().flat_map(|task| &task.what).map(|it| (it.chunk.index, it.retry_count));
    assert_eq!(told.collect::<Vec<_>>(), [(0, 0), (1, 0), (0, 1)]);
    let brought = TaskResult {
        chunk_index: 0,
        worker_id: "worker-1".to_owned(),
        duration_seconds: 0.1,
        completed_at: wire::now(),
        stats: support::bench::stats(&sweep.chunk(0)),
    };
    let said = wire::to_json(&brought.to_fields());
    let to = "ttg.results.exchange".into();
    let (options, none) = (Default::default(), BasicProperties::default());
    let sent = channel.basic_publish(to, results.clone(), options, said.as_bytes(), none).await;
    sent.expect("publishes");
    take(&results).await;
    let taken = onlooker.taken_results().await.expect("reads");
    let its_own = queue::TakenResult { chunk_index: 0, by_worker: true };
    assert_eq!(taken, [its_own], "who took it has brought it");
}

#[tokio::test]
async fn a_broker_that_is_killed_twice_keeps_everything_and_nothing_counts_twice() {
    let mut server = RabbitMqServer::start_own();
    let settings = patient(server.address());
    let sweep = Sweep { start: 0, params: 1800, chunk_size: 10 };
    let broker = queue::connect(&settings, None).await.expect("connects");
    coordinator::run(&*broker, &sweep, None).await.expect("submits");
    // At once: what was confirmed is kept, and so is the journal, the server's first stream.
    server.kill();
    server.restart();
    let workers: Vec<_> = (1..=3).map(|number| Process::worker(&settings, number, 10.0)).collect();
    until("some chunks are committed", async || {
        broker.standing().await.is_ok_and(|progress| progress.committed >= 3)
    })
    .await;
    server.kill();
    server.restart();
    for worker in workers {
        let ended = worker.end();
        assert!(ended.status.success(), "{ended}");
    }
    assert_whole(&*broker, &sweep).await;
    // Those who read the contract's queue have all of it too, though not once each.
    let chunk = |it: &wire::Fields| TaskResult::from_fields(it).expect("a result").chunk_index;
    let stored: BTreeSet<u64> = server.take_all("ttg.results", chunk).await.into_iter().collect();
    assert_eq!(stored.len() as u64, sweep.chunks());
}

/// A message goes to its queue and to the journal. Of a server that is killed before it has confirmed
/// it, one may be left without the other.
#[tokio::test]
async fn a_broker_that_is_killed_while_chunks_are_submitted_has_all_of_them_in_the_end() {
    let mut server = RabbitMqServer::start_own();
    let settings = patient(server.address());
    let sweep = Sweep { start: 0, params: 40_000, chunk_size: 1 };
    let coordinator = queue::connect(&settings, None).await.expect("connects");
    let onlooker = queue::connect(&settings, None).await.expect("connects");
    let killing = async {
        // Each time at another moment of a step.
        for submitted in [1_999, 14_250, 32_333] {
            until("some more chunks are submitted", async || {
                let standing = onlooker.standing().await;
                standing.is_ok_and(|it| it.submitted >= submitted)
            })
            .await;
            server.kill();
            server.restart();
        }
    };
    let (submitted, ()) = tokio::join!(coordinator::run(&*coordinator, &sweep, None), killing);
    submitted.expect("submits");
    let chunk = |task: &wire::Fields| wire::Task::from_fields(task).expect("a task").chunk.index;
    let waiting = server.take_all("ttg.tasks", chunk).await;
    let chunks: BTreeSet<u64> = waiting.iter().copied().collect();
    assert_eq!(chunks.len() as u64, sweep.chunks(), "of {} tasks", waiting.len());
    // Each counts as submitted once, however often it was sent.
    let mut cursor = queue::Cursor::default();
    let mut times = vec![0; sweep.chunks() as usize];
    loop {
        let page = onlooker.tasks(&mut cursor, 1000).await.expect("reads");
        if page.is_empty() {
            break;
        }
        for task in page {
            times[task.what.expect("a task").chunk.index as usize] += 1;
        }
    }
    assert!(times.iter().all(|times| *times == 1));
}

/// The server moves a retry from its queue to that of the tasks by itself, and unconfirmed.
#[tokio::test]
async fn a_broker_that_is_killed_while_it_moves_retries_costs_none_of_them() {
    let mut server = RabbitMqServer::start_own();
    let settings = Settings { lease: Duration::from_secs(1), ..patient(server.address()) };
    let sweep = Sweep { start: 0, params: 1000, chunk_size: 1 };
    let broker = queue::connect(&settings, None).await.expect("connects");
    coordinator::run(&*broker, &sweep, None).await.expect("submits");
    let failing = queue::connect(&settings, Some("worker-1")).await.expect("connects");
    for _ in 0..sweep.chunks() {
        let delivery = claim_one(&*failing).await;
        failing.fail(&delivery, "not today").await.expect("is retried");
    }
    // Some have been moved by now, and some not.
    server.kill();
    server.restart();
    let kernel = Box::new(Steady::new(Duration::ZERO));
    let options = Bench::start(RabbitMq).options("worker-1");
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let (summary, ended) = worker::run(failing, kernel, options, stop).await;
    ended.expect("it ends well");
    assert_eq!(summary.status, Status::Completed);
    assert_whole(&*broker, &sweep).await;
}

/// A server that comes back gives a chunk to somebody else, while the first worker goes on with it.
#[tokio::test]
async fn a_broker_that_is_killed_twice_is_no_death_of_workers_that_live_on() {
    let mut server = RabbitMqServer::start_own();
    let settings = Settings { max_deliveries: 2, ..patient(server.address()) };
    let sweep = Sweep { start: 0, params: 10, chunk_size: 10 };
    let broker = queue::connect(&settings, None).await.expect("connects");
    coordinator::run(&*broker, &sweep, None).await.expect("submits");
    let mut holder = queue::connect(&settings, Some("worker-1")).await.expect("connects");
    let mut delivery = claim_one(&*holder).await;
    for next in ["worker-2", "worker-3"] {
        server.kill();
        server.restart();
        let token = std::slice::from_ref(&delivery.token);
        until("it notices that the connection is gone", async || {
            holder.renew(token).await.expect("answers") == token
        })
        .await;
        holder = queue::connect(&settings, Some(next)).await.expect("connects");
        delivery = claim_one(&*holder).await;
    }
    assert_eq!(commit(&*holder, &delivery, "worker-3").await, Commit::Committed);
    assert_whole(&*broker, &sweep).await;
}

#[tokio::test]
async fn a_worker_whose_channel_the_server_closes_goes_on_and_its_chunk_counts_once() {
    // It takes back what is not acknowledged for half a second.
    let server = RabbitMqServer::start_impatient();
    let settings = patient(server.address());
    let sweep = Sweep { start: 0, params: 40, chunk_size: 10 };
    let broker = queue::connect(&settings, None).await.expect("connects");
    coordinator::run(&*broker, &sweep, None).await.expect("submits");
    // Two seconds for a chunk.
    let workers = [1, 2].map(|number| Process::worker(&settings, number, 200.0));
    for worker in workers {
        let ended = worker.end();
        assert!(ended.status.success(), "{ended}");
    }
    assert!(
        broker.redelivered().await.expect("reads").deliveries > 0,
        "the server was not impatient"
    );
    assert_whole(&*broker, &sweep).await;
}

#[tokio::test]
async fn a_sweep_on_quorum_queues_survives_a_killed_worker() {
    let server = RabbitMqServer::start_own();
    let Address::RabbitMq(mut quorum) = server.address() else { unreachable!() };
    quorum.queues = Queues::of(QueueType::Quorum);
    let settings = patient(Address::RabbitMq(quorum));
    let sweep = Sweep { start: 0, params: 200, chunk_size: 10 };
    let broker = queue::connect(&settings, None).await.expect("connects");
    coordinator::run(&*broker, &sweep, None).await.expect("submits");
    let [mut victim, other] = [1, 2].map(|number| Process::worker(&settings, number, 10.0));
    until("a few chunks are committed", async || {
        broker.standing().await.is_ok_and(|progress| progress.committed >= 4)
    })
    .await;
    victim.kill();
    let ended = other.end();
    assert!(ended.status.success(), "{ended}");
    assert_whole(&*broker, &sweep).await;
}

#[tokio::test]
async fn failures_are_counted_from_the_first_task_on_and_in_the_headers_of_a_dead_letter() {
    let server = RabbitMqServer::start();
    let settings = Settings { max_retries: 0, ..patient(server.address()) };
    let broker = queue::connect(&settings, Some("worker-1")).await.expect("connects");
    let sweep = Sweep { start: 0, params: 10, chunk_size: 10 };
    coordinator::run(&*broker, &sweep, None).await.expect("submits");
    let connection = server.connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let first = async |queue: &str| {
        let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await;
        got.expect("gets").expect("there is a message").delivery
    };
    let task = first(&server.queues().tasks).await;
    let fields: serde_json::Value = serde_json::from_slice(&task.data).expect("JSON");
    assert_eq!(fields["retry_count"], 0, "{fields}");
    task.nack(lapin::options::BasicNackOptions { requeue: true, multiple: false })
        .await
        .expect("gives it back");
    let delivery = claim_one(&*broker).await;
    broker.fail(&delivery, "out of cheese").await.expect("fails");
    let letter = first(&server.queues().letters).await;
    let headers = letter.properties.headers().clone().expect("headers");
    let header = |name: &str| headers.inner().get(name).cloned();
    assert_eq!(header("retry_count"), Some(AMQPValue::LongLongInt(1)));
    assert_eq!(header("final_error"), Some(AMQPValue::LongString("out of cheese".into())));
    let fields: serde_json::Value = serde_json::from_slice(&letter.data).expect("JSON");
    assert_eq!(
        (&fields["retry_count"], &fields["last_error"]),
        (&1.into(), &"out of cheese".into())
    );
}

/// Waits for a server that starts again.
fn patient(address: Address) -> Settings {
    Settings {
        retry_delay: Duration::from_millis(30),
        patience: Duration::from_secs(60),
        ..Settings::new(address)
    }
}

async fn assert_whole(broker: &dyn queue::Broker, sweep: &Sweep) {
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let until = ttg_system::aggregator::Until::Read;
    let report = ttg_system::aggregator::collect(broker, None, until, &stop).await.expect("reads");
    assert!(report.complete, "{report:?}");
    assert_eq!(report.chunks, sweep.chunks());
    assert_eq!(report.result, Some(support::bench::whole(sweep)));
}

/// What was sent over one subscription counts no more towards the next.
#[tokio::test]
async fn a_worker_whose_batches_go_up_and_down_holds_no_more_for_it() {
    const CHUNKS: u64 = 400;
    let (bench, _) = Bench::start(RabbitMq).with_sweep(CHUNKS).await;
    let worker = bench.worker("worker-1").await;
    let mut settled = 0;
    for turn in 0..30 {
        // A batch of eight is sent sixteen ahead, and one of nine thirty-two.
        let max = 8 + turn % 2;
        let ahead = worker.claim_ahead(max).await.expect("claims");
        let claimed = match ahead.is_empty() {
            true => worker.claim(max, PATIENCE).await.expect("claims"),
            false => ahead,
        };
        for delivery in &claimed {
            assert_eq!(commit(&*worker, delivery, "worker-1").await, Commit::Committed);
        }
        settled += claimed.len() as u64;
    }
    let waiting = bench.rabbitmq().depth(&bench.rabbitmq().queues().tasks).await;
    let held = CHUNKS - settled - waiting;
    assert!(held <= 64, "{held} are held, after {settled}");
}
