//! RabbitMQ: a journal may be long, and may hold anything. What reads it takes as much longer, and no
//! connection dies of that; what discards it does not read it; and whoever waits adds nothing to it.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Consumer};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, timeout};
use ttg_system::aggregator::{self, Until};
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::{self, Address, Broker, Decision};

use support::bench::Backend::RabbitMq;
use support::bench::{Bench, claim_one, commit};
use support::graveyard::{Letterbox, graveyard};
use support::process::{Ended, Process, broker_environment, ttg, worked};

/// The shortest heartbeat that there is.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Letters of a long journal, and of one that is a tenth of it.
const LETTERS: (u64, u64) = (15_000, 1_500);

/// With so many letters, of which each second one is replayed, and a heartbeat that is soon missed.
async fn half_replayed(letters: u64) -> (Bench, Sweep) {
    let (mut bench, sweep) = graveyard(RabbitMq, letters).await;
    let Address::RabbitMq(server) = &mut bench.settings.address else { unreachable!() };
    server.heartbeat = Some(1);
    let mut count = 0;
    let mut decide = |_: &_| {
        count += 1;
        if count % 2 == 0 { Decision::Replay } else { Decision::Keep }
    };
    let broker = queue::connect(&bench.settings, None).await.expect("connects");
    broker.sift(&mut decide).await.expect("sifts");
    assert_eq!(count, letters);
    (bench, sweep)
}

/// How much work it is for a coordinator to find what it has submitted, how long that takes, and how often
/// others have their turn meanwhile.
async fn reading(bench: &Bench, sweep: &Sweep) -> (Duration, Duration, u32) {
    let broker = queue::connect(&bench.settings, None).await.expect("connects");
    let turns = Rc::new(Cell::new(0));
    let count = Rc::clone(&turns);
    let others = spawn_local(async move {
        let mut ticks = interval(Duration::from_millis(5));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            count.set(count.get() + 1);
        }
    });
    let (begun, before) = (Instant::now(), worked());
    let found = coordinator::run(&*broker, sweep, None).await.expect("finds it");
    let (work, taken) = (worked() - before, begun.elapsed());
    others.abort();
    assert_eq!((found.chunks_found, found.chunks_submitted), (sweep.chunks(), 0));
    (work, taken, turns.get())
}

fn role(bench: &Bench, arguments: &[&str]) -> Ended {
    let mut command = ttg(arguments);
    command.envs(broker_environment(&bench.settings)).env("RABBITMQ_HEARTBEAT_SECONDS", "1");
    Process::start(&mut command).end()
}

#[tokio::test]
async fn a_long_journal_is_read_in_step_with_its_length_and_costs_no_connection() {
    LocalSet::new().run_until(reads_a_long_journal()).await;
}

async fn reads_a_long_journal() {
    let (short, sweep) = half_replayed(LETTERS.1).await;
    let (short_work, ..) = reading(&short, &sweep).await;
    let (long, sweep) = half_replayed(LETTERS.0).await;
    let (long_work, taken, turns) = reading(&long, &sweep).await;
    // Ten times as much. Were each letter held against each other, it would be a hundred times.
    assert!(long_work < 30 * short_work, "{long_work:?}, and {short_work:?} for a tenth");
    assert!(HEARTBEAT / 4 * turns > taken, "others had {turns} turns in {taken:?}");

    let report = role(&long, &["aggregate", "--now", "--json"]);
    assert_eq!(report.status.code(), Some(1), "{report}");
    assert_eq!(report.summary()["dead_lettered"], LETTERS.0 / 2, "{report}");
    let reset = ["coordinator", "--reset", "--chunk-size", "10", "--total-parameters", "20"];
    let anew = role(&long, &reset);
    assert_eq!(anew.summary()["chunks_submitted"], 2, "{anew}");
}

#[tokio::test]
async fn a_journal_is_discarded_whatever_it_holds_and_its_name_is_kept() {
    let (bench, _) = Bench::start(RabbitMq).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let held = claim_one(&*worker).await;
    commit(&*worker, &held, "worker-1").await;
    let journal = format!("{}.journal", bench.rabbitmq().queues().tasks);
    let mut letterbox = Letterbox::open(&bench).await;
    let ours = ["sweep", "submitted", "gone", "refused", "returned", "store", "mark", "another"];
    for kind in ours {
        letterbox.properties = BasicProperties::default().with_type(kind.into());
        for body in ["", "18446744073709551615", "134217727", "{\"start_param\":1", "\u{0}\u{fffd}"]
        {
            letterbox.put("", &journal, body.to_owned());
        }
    }
    letterbox.properties = BasicProperties::default();
    let nested = "[".repeat(1 << 20);
    for exchange in ["ttg.tasks", "ttg.results", "ttg.dlq"] {
        let (exchange, queues) = (format!("{exchange}.exchange"), bench.rabbitmq().queues());
        for body in ["", "{", "null", &nested] {
            for key in [&queues.tasks, &queues.results, &queues.letters] {
                letterbox.put(&exchange, key, body.to_owned());
            }
        }
    }
    letterbox.send().await;
    let sweep = Sweep { start: 0, params: 20, chunk_size: 10 };
    let onlooker = bench.onlooker().await;
    onlooker.reset().await.expect("resets");
    coordinator::run(&*onlooker, &sweep, None).await.expect("submits");
    // Whoever has worked for the sweep before goes on with this one.
    for _ in 0..2 {
        let next = claim_one(&*worker).await;
        commit(&*worker, &next, "worker-1").await;
    }
    bench.assert_exact(&sweep).await;
}

/// Whatever comes into the journal from now on.
async fn watch_journal(bench: &Bench) -> (lapin::Connection, Consumer) {
    let server = bench.rabbitmq();
    let connection = server.connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(100, Default::default()).await.expect("a limit");
    let mut place = FieldTable::default();
    place.insert("x-stream-offset".into(), AMQPValue::LongString("next".into()));
    let journal = format!("{}.journal", server.queues().tasks);
    let (queue, options) = (journal.as_str().into(), Default::default());
    let told = channel.basic_consume(queue, "".into(), options, place).await;
    (connection, told.expect("a stream"))
}

/// Reads until nothing has come for a second: how much there was.
async fn until_silent(journal: &mut Consumer) -> usize {
    let mut count = 0;
    while let Ok(message) = timeout(Duration::from_secs(1), journal.next()).await {
        message.expect("it is there").expect("it can be read");
        count += 1;
        assert!(count < 20, "whoever waits writes, and goes on with it");
    }
    count
}

/// Lets an aggregator wait for so long, and somebody who watches how many chunks are dead.
async fn wait(broker: &Rc<dyn Broker>, how_long: Duration) {
    let (_keep, stop) = watch::channel(false);
    let collected = aggregator::collect(&**broker, Some(&**broker), Until::Complete, &stop);
    let limit = "50%".parse::<ttg_system::limit::DeadLetterLimit>().expect("a limit");
    let ended = timeout(how_long, async {
        tokio::select! {
            report = collected => drop(report.expect("reads")),
            reason = limit.exceeded(&**broker) => drop(reason.expect("reads")),
        }
    });
    assert!(ended.await.is_err(), "nothing was to end");
}

#[tokio::test]
async fn whoever_waits_adds_nothing_to_the_journal_and_sees_the_end() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(3).await;
    let worker = bench.worker("worker-1").await;
    let held = claim_one(&*worker).await;
    let broker = bench.onlooker().await;
    let (_connection, mut journal) = watch_journal(&bench).await;
    // Whoever begins asks where the end is. A wait outlasts the silence.
    tokio::join!(wait(&broker, Duration::from_secs(4)), until_silent(&mut journal));
    let (_keep, stop) = watch::channel(false);
    let collected = aggregator::collect(&*broker, Some(&*broker), Until::Complete, &stop);
    let working = async {
        commit(&*worker, &held, "worker-1").await;
        for _ in 0..2 {
            let next = claim_one(&*worker).await;
            commit(&*worker, &next, "worker-1").await;
        }
        // What is written is seen.
        assert!(until_silent(&mut journal).await >= 3);
    };
    let (report, ()) = tokio::join!(collected, working);
    assert!(report.expect("reads").complete);
    bench.assert_exact(&sweep).await;
}
