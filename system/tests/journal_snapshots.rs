//! RabbitMQ: snapshots of the journal. One of the workers writes them, and another when that one dies;
//! whoever comes late reads the last and what follows, however much there was before; and whatever becomes
//! of them, what is known of the sweep is the same.

mod support;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::QueueDeleteOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, Consumer};
use rstest::rstest;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;
use ttg_system::chunk::Sweep;
use ttg_system::queue::{self, Address, Settings};
use ttg_system::wire;

use support::bench::Backend::RabbitMq;
use support::bench::{Bench, PATIENCE, claim_one, commit, computed};
use support::cable::Cable;
use support::detour::{Detour, Passage};
use support::graveyard::Letterbox;
use support::process::Process;

/// A stream, from its first message on.
struct Stream {
    _connection: Connection,
    consumer: Consumer,
}

impl Stream {
    /// The stream of the snapshots.
    async fn of(bench: &Bench) -> Self {
        Self::named(bench, &snapshots(bench)).await
    }

    async fn named(bench: &Bench, stream: &str) -> Self {
        let connection = bench.rabbitmq().connect().await;
        let channel = connection.create_channel().await.expect("a channel");
        channel.basic_qos(1000, Default::default()).await.expect("a limit");
        let mut place = FieldTable::default();
        place.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
        let options = Default::default();
        let consumer = channel.basic_consume(stream.into(), "".into(), options, place);
        let consumer = consumer.await.expect("a stream");
        Self { _connection: connection, consumer }
    }

    async fn message(&mut self) -> Delivery {
        let message = timeout(PATIENCE, self.consumer.next()).await.expect("there is one");
        message.expect("it is there").expect("it can be read")
    }

    /// The place of the first that there is.
    async fn first_place(&mut self) -> i64 {
        let message = self.message().await;
        let headers = message.properties.headers().as_ref().expect("it has a place");
        match headers.inner().get("x-stream-offset") {
            Some(AMQPValue::LongLongInt(place)) => *place,
            other => panic!("{other:?}"),
        }
    }

    /// The next one that says anything.
    async fn next(&mut self) -> Vec<u8> {
        loop {
            let message = self.message().await;
            if !message.data.is_empty() {
                return message.data;
            }
        }
    }
}

/// Where in the journal a snapshot stands: that follows its format, seven bits a byte, the lowest first.
fn place(snapshot: &[u8]) -> u64 {
    let length = 1 + snapshot[1..].iter().position(|byte| *byte < 0x80).expect("a number");
    snapshot[1..=length].iter().rev().fold(0, |place, byte| place << 7 | u64::from(byte & 0x7f))
}

fn snapshots(bench: &Bench) -> String {
    format!("{}.snapshots", bench.rabbitmq().queues().tasks)
}

async fn delete(bench: &Bench, queue: &str) {
    let connection = bench.rabbitmq().connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let options = QueueDeleteOptions::default();
    channel.queue_delete(queue.into(), options).await.expect("deletes");
}

#[tokio::test]
async fn one_worker_writes_them_and_when_it_is_killed_another_does() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(150).await;
    let mut first = Process::worker(&bench.settings, 1, 5.0);
    let mut there = Stream::of(&bench).await;
    there.next().await;
    let second = Process::worker(&bench.settings, 2, 5.0);
    first.kill();
    // One may be under way. Those after it are the other's.
    for _ in 0..3 {
        there.next().await;
    }
    let ended = second.end();
    assert!(ended.status.success(), "{ended}");
    bench.assert_exact(&sweep).await;
}

/// One that is frozen does not know that the server has elected another, and goes on when it wakes.
#[tokio::test]
async fn two_may_write_them_for_a_moment() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(300).await;
    let first = Process::worker(&bench.settings, 1, 5.0);
    let mut there = Stream::of(&bench).await;
    there.next().await;
    let second = Process::worker(&bench.settings, 2, 5.0);
    first.signal(Signal::STOP);
    delete(&bench, &format!("{}.keeper", bench.rabbitmq().queues().tasks)).await;
    // One may have been under way. Those after it are the other's.
    for _ in 0..2 {
        there.next().await;
    }
    first.signal(Signal::CONT);
    for ended in [first.end(), second.end()] {
        assert!(ended.status.success(), "{ended}");
    }
    bench.assert_exact(&sweep).await;
}

/// Where a keeper dies, of what it does from its election to its first snapshot.
#[derive(Clone, Copy)]
enum Death {
    /// The server has elected it, and it does not know yet.
    Elected,
    /// Its mark is in the journal.
    Asked,
    /// The server has half of its snapshot.
    Writing,
}

/// Leads to the server of a bench until somebody on the way has come to where it is to die: then nothing comes
/// back any more. The text of his mark, where there is one.
async fn way_to_a_death(bench: &Bench, death: Death) -> (Settings, mpsc::Receiver<Vec<u8>>) {
    let (settings, detour) = Detour::to(bench).await;
    let tasks = bench.rabbitmq().queues().tasks.clone();
    let (come, mark) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::spawn(carry(detour.next().await, death, tasks.clone(), come.clone()));
        }
    });
    (settings, mark)
}

async fn carry(mut passage: Passage, death: Death, tasks: String, come: mpsc::Sender<Vec<u8>>) {
    let (mut said, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
    while let Ok(length @ 1..) = passage.client.read(&mut bytes).await {
        said.extend_from_slice(&bytes[..length]);
        let mark = keepers_mark(&said, &format!("{tasks}.journal"));
        let (has_come, kept_back) = match death {
            Death::Elected => (published(&said, &format!("{tasks}.keeper"), "token").is_some(), 0),
            Death::Asked => (mark.is_some(), 0),
            Death::Writing => {
                let text = published(&said, &format!("{tasks}.snapshots"), "snapshot");
                (text.is_some(), text.map_or(0, <[u8]>::len))
            }
        };
        if has_come {
            // Before the server has the whole of it: what it answers is never read.
            passage.withhold_answers();
        }
        if passage.server.write_all(&bytes[..length - kept_back]).await.is_err() {
            break;
        }
        if has_come {
            let _ = come.try_send(mark.unwrap_or_default());
        }
        if has_come && matches!(death, Death::Writing) {
            // Until it is dead.
            while let Ok(1..) = passage.client.read(&mut bytes).await {}
        }
    }
}

/// The mark that a keeper has written to the journal, once all of it is among the bytes of a connection.
fn keepers_mark(said: &[u8], journal: &str) -> Option<Vec<u8>> {
    // The head of its frame goes before it.
    published(said, journal, "mark")?.get(7..7 + 32).map(<[u8]>::to_vec)
}

/// What follows the properties of a message to this queue, of this type, once they are among the bytes of a
/// connection. Of those who write marks only a keeper does not ask to be told where there is no such queue.
fn published<'a>(said: &'a [u8], queue: &str, kind: &str) -> Option<&'a [u8]> {
    const PUBLISH: [u8; 7] = [0, 60, 0, 40, 0, 0, 0];
    let short = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    // Neither mandatory nor immediate; the end of its frame.
    let method = [&PUBLISH, &short(queue)[..], &[0, 0xce]].concat();
    let kind = [&short(kind)[..], &[0xce]].concat();
    let mut rest = said;
    while let Some(at) = place_of(&method, rest) {
        rest = &rest[at + method.len()..];
        // The frame of the properties: how it is kept, and the type.
        let header = &rest[..rest.len().min(7 + 14 + 1 + kind.len())];
        if header.ends_with(&kind) {
            return Some(&rest[header.len()..]);
        }
    }
    None
}

fn place_of(what: &[u8], among: &[u8]) -> Option<usize> {
    among.windows(what.len()).position(|window| window == what)
}

fn journal(bench: &Bench) -> String {
    format!("{}.journal", bench.rabbitmq().queues().tasks)
}

#[rstest]
#[tokio::test]
async fn a_keeper_may_die_before_its_mark_before_its_snapshot_and_within_it(
    #[values(Death::Elected, Death::Asked, Death::Writing)] death: Death,
) {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(20).await;
    let (settings, mut come) = way_to_a_death(&bench, death).await;
    // It has something to do until it is killed.
    let mut first = Process::worker(&settings, 1, 60_000.0);
    let mark = timeout(PATIENCE, come.recv()).await.expect("soon").expect("it comes there");
    if let Death::Asked = death {
        let mut written = Stream::named(&bench, &journal(&bench)).await;
        while written.next().await != mark {}
    }
    first.kill();
    // What comes after it among the snapshots is another keeper's.
    let mut letterbox = Letterbox::open(&bench).await;
    letterbox.put("", &snapshots(&bench), "dead");
    letterbox.send().await;
    let mut there = Stream::of(&bench).await;
    assert_eq!(there.next().await, b"dead", "the first one has written none");

    let second = bench.worker("worker-2").await;
    there.next().await;
    let standing = bench.onlooker().await.standing().await.expect("reads");
    assert_eq!((standing.submitted, standing.committed, standing.dead), (20, 0, 0));
    second.leave().await.expect("leaves");
    finish(&bench, &sweep).await;
}

/// A sweep of 20 chunks, half of them done, by a worker that has left; and two snapshots of it.
async fn half_done(bench: Bench) -> (Bench, Sweep, Vec<Vec<u8>>) {
    let (bench, sweep) = bench.with_sweep(20).await;
    let worker = bench.worker("worker-1").await;
    let mut there = Stream::of(&bench).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        for _ in 0..5 {
            let held = claim_one(&*worker).await;
            commit(&*worker, &held, "worker-1").await;
        }
        told.push(there.next().await);
    }
    worker.leave().await.expect("leaves");
    (bench, sweep, told)
}

/// What stands last among the snapshots.
enum Last {
    Nothing,
    Format,
    Noise,
    Cut,
    /// The keeper died, or another was slow.
    Older,
    /// As if the journal had been deleted and the snapshots not.
    OfAnother,
}

#[rstest]
#[tokio::test]
async fn one_that_does_not_fit_costs_no_truth(
    #[values(Last::Nothing, Last::Format, Last::Noise, Last::Cut, Last::Older, Last::OfAnother)]
    last: Last,
) {
    let (bench, sweep, told) = half_done(Bench::start(RabbitMq)).await;
    let newest = told.last().expect("there are two");
    let last = match last {
        Last::Nothing => Vec::new(),
        Last::Format => [&[0], &newest[1..]].concat(),
        Last::Noise => (0..10_000).map(|_| fastrand::u8(..)).collect(),
        Last::Cut => newest[..newest.len() / 2].to_vec(),
        Last::Older => told[0].clone(),
        Last::OfAnother => half_done(Bench::start(RabbitMq)).await.2.remove(1),
    };
    let mut letterbox = Letterbox::open(&bench).await;
    letterbox.put("", &snapshots(&bench), last);
    letterbox.send().await;
    let standing = bench.onlooker().await.standing().await.expect("reads");
    assert_eq!((standing.submitted, standing.committed, standing.dead), (20, 10, 0));
    finish(&bench, &sweep).await;
}

#[tokio::test]
async fn where_earlier_ones_are_trimmed_away_the_last_is_read() {
    let bench = Bench::start_own(RabbitMq);
    let limit = r#"{"max-length-bytes": 6000, "stream-max-segment-size-bytes": 1000}"#;
    let cut = ["set_policy", "cut", "snapshots", limit];
    assert!(bench.rabbitmq().control(&cut).expect("runs").success());
    let (bench, sweep, told) = half_done(bench).await;
    let mut letterbox = Letterbox::open(&bench).await;
    // What is sent at once is kept or trimmed away as one.
    for earlier in vec![vec![0; 500]; 20].into_iter().chain([told[1].clone()]) {
        letterbox.put("", &snapshots(&bench), earlier);
        letterbox.send().await;
    }
    assert!(Stream::of(&bench).await.first_place().await > 0, "none was trimmed away");
    let standing = bench.onlooker().await.standing().await.expect("reads");
    assert_eq!((standing.submitted, standing.committed, standing.dead), (20, 10, 0));
    finish(&bench, &sweep).await;
}

async fn finish(bench: &Bench, sweep: &Sweep) {
    let ended = Process::worker(&bench.settings, 2, 0.0).end();
    assert!(ended.status.success(), "{ended}");
    bench.assert_exact(sweep).await;
}

#[tokio::test]
async fn without_their_stream_the_sweep_goes_on_and_whoever_connects_brings_it_back() {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(20).await;
    let worker = bench.worker("worker-1").await;
    let held = claim_one(&*worker).await;
    Stream::of(&bench).await.next().await;
    delete(&bench, &snapshots(&bench)).await;
    delete(&bench, &format!("{}.keeper", bench.rabbitmq().queues().tasks)).await;
    commit(&*worker, &held, "worker-1").await;
    let next = claim_one(&*worker).await;
    // He connects, and finds what there is without any.
    let standing = bench.onlooker().await.standing().await.expect("reads");
    assert_eq!((standing.submitted, standing.committed), (20, 1));
    let mut there = Stream::of(&bench).await;
    commit(&*worker, &next, "worker-1").await;
    // Somebody is elected again, and tells of it.
    let waiting = async { claim_one(&*worker).await };
    let (held, told) = tokio::join!(waiting, there.next());
    assert!(!told.is_empty());
    commit(&*worker, &held, "worker-1").await;
    worker.leave().await.expect("leaves");
    finish(&bench, &sweep).await;
}

/// Leads to the server of a bench. Whoever asks for the end of the journal there is overtaken by so many other
/// records, each time.
async fn way_through_a_flood(bench: &Bench, records: usize) -> Settings {
    let (settings, detour) = Detour::to(bench).await;
    let journal = journal(bench);
    let mut letterbox = Letterbox::open(bench).await;
    spawn_local(async move {
        loop {
            let mut passage = detour.next().await;
            let (mut said, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(length @ 1..) = passage.client.read(&mut bytes).await {
                said.extend_from_slice(&bytes[..length]);
                if keepers_mark(&said, &journal).is_some() {
                    said.clear();
                    (0..records).for_each(|_| letterbox.put("", &journal, "noise"));
                    letterbox.send().await;
                }
                if passage.server.write_all(&bytes[..length]).await.is_err() {
                    break;
                }
            }
        }
    });
    settings
}

#[tokio::test]
async fn the_end_of_a_journal_is_found_however_much_comes_meanwhile() {
    LocalSet::new().run_until(finds_the_end()).await;
}

async fn finds_the_end() {
    // Enough for its coordinator to have written a snapshot.
    let (bench, _) = Bench::start(RabbitMq).with_sweep(1_500).await;
    Stream::of(&bench).await.next().await;
    let way = way_through_a_flood(&bench, 500).await;
    let onlooker = queue::connect(&way, None).await.expect("connects");
    let standing = timeout(PATIENCE, onlooker.standing()).await.expect("in time");
    assert_eq!(standing.expect("reads").submitted, 1_500);
}

/// How many bytes tell where a sweep of so many chunks stands, which others have done.
async fn told_to_whoever_comes_late(chunks: u64) -> u64 {
    let (bench, sweep) = Bench::start(RabbitMq).with_sweep(chunks).await;
    let worker = bench.worker("worker-1").await;
    let held = claim_one(&*worker).await;
    let mut letterbox = Letterbox::open(&bench).await;
    for index in 0..chunks {
        let delivery = ttg_system::queue::Delivery {
            task: wire::Task::first(&sweep, index, ""),
            ..held.clone()
        };
        let (_, result) = computed(&delivery, "a stranger");
        let results = &bench.rabbitmq().queues().results;
        letterbox.put("ttg.results.exchange", results, wire::to_json(&result.to_fields()));
    }
    letterbox.send().await;
    // The worker's keeper tells of everything: each task and each result is a record.
    let mut there = Stream::of(&bench).await;
    while place(&there.next().await) < 2 * chunks {}
    let Address::RabbitMq(mut address) = bench.settings.address.clone() else { unreachable!() };
    let cable = Cable::to(address.port).await;
    address.port = cable.port;
    let way = Settings { address: Address::RabbitMq(address), ..bench.settings.clone() };
    let late = queue::connect(&way, None).await.expect("connects");
    assert!(late.standing().await.expect("reads").is_complete());
    cable.brought.get()
}

#[tokio::test]
async fn whoever_comes_late_reads_no_more_in_a_sweep_of_many_chunks() {
    LocalSet::new().run_until(comes_late()).await;
}

async fn comes_late() {
    let few = told_to_whoever_comes_late(500).await;
    let many = told_to_whoever_comes_late(10_000).await;
    assert!(many < 2 * few, "{many} bytes, and {few} where there are a twentieth");
}
