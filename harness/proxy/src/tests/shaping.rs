//! Toxics that hold bytes back: latency, bandwidth, slice, partition. All of them arrive.

use tokio::time::Instant;

use super::*;

#[test]
fn latency_delays_each_way() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let slow = line.proxy.impose(latency(50 * MS)).await;
        let start = Instant::now();
        assert_carries(&mut client, &mut broker).await;
        assert!(start.elapsed() >= 100 * MS, "{:?}", start.elapsed());
        let effect = slow.lift().await;
        assert_eq!((effect.delayed, effect.connections), (8, 1));
        assert_carries(&mut client, &mut broker).await;
    });
}

#[test]
fn latency_may_be_for_one_way_only() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let (delay, direction) = (50 * MS, Direction::FromBroker);
        let toxic = Toxic::Latency { delay, jitter: Duration::ZERO, seed: 1, direction };
        let slow = line.proxy.impose(toxic).await;
        let start = Instant::now();
        assert_carries(&mut client, &mut broker).await;
        assert!(start.elapsed() >= 50 * MS);
        assert_eq!(slow.effect().delayed, 4);
    });
}

#[test]
fn jitter_keeps_the_order() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let (delay, jitter) = (5 * MS, 5 * MS);
        let toxic = Toxic::Latency { delay, jitter, seed: 3, direction: Direction::Both };
        let slow = line.proxy.impose(toxic).await;
        let bytes = random_bytes(3, 100);
        for (count, byte) in (1..).zip(&bytes) {
            send(&mut client, &[*byte]).await;
            // Else the kernel hands over several as one piece.
            slow.until(|effect| effect.delayed == count).await;
        }
        assert_eq!(receive(&mut broker, 100).await, bytes);
    });
}

#[test]
fn the_end_of_a_stream_is_delayed_as_well_and_comes_last() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let _slow = line.proxy.impose(latency(50 * MS)).await;
        let start = Instant::now();
        assert_eq!(carry(&mut client, &mut broker, b"bytes").await, b"bytes");
        assert!(start.elapsed() >= 50 * MS);
    });
}

#[test]
fn a_latency_that_is_lifted_lets_go_of_what_it_held() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        // The delays of several add up: the hour ends with its own.
        let short = line.proxy.impose(latency(30 * MS)).await;
        let hour = line.proxy.impose(latency(Duration::from_secs(3600))).await;
        let start = Instant::now();
        send(&mut client, b"held").await;
        hour.until(|effect| effect.delayed == 4).await;
        hour.lift().await;
        assert_eq!(receive(&mut broker, 4).await, b"held");
        assert!(start.elapsed() >= 30 * MS);
        assert_eq!(short.effect().delayed, 4);
    });
}

#[test]
fn a_latency_without_end_holds_no_more_than_its_room() {
    run(async {
        let (line, mut client, _broker) = Line::connected().await;
        let slow = line.proxy.impose(latency(Duration::MAX)).await;
        let much = vec![0; 64 << 20];
        tokio::select! {
            sent = client.write_all(&much) => panic!("it took all of it: {sent:?}"),
            effect = slow.until(|effect| effect.delayed >= 1 << 20) => {
                assert_eq!(effect.delayed, 1 << 20);
            }
        }
        turns(200).await;
        assert_eq!(slow.effect().delayed, 1 << 20);
    });
}

#[test]
fn bandwidth_holds_to_its_rate() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let bytes = random_bytes(4, 50_000);
        let narrow = line.proxy.impose(bandwidth(250_000)).await;
        let start = Instant::now();
        assert_eq!(carry(&mut client, &mut broker, &bytes).await, bytes);
        // 200 ms without the last piece, the 50th part of a second, and what timers may be late.
        assert!(start.elapsed() >= 150 * MS, "{:?}", start.elapsed());
        let effect = narrow.lift().await;
        assert!((40_000..=50_000).contains(&effect.throttled), "{effect:?}");
    });
}

#[test]
fn bandwidth_is_shared_by_connections() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let (mut other_client, mut other_broker) = line.connect().await;
        let bytes = random_bytes(4, 25_000);
        let narrow = line.proxy.impose(bandwidth(250_000)).await;
        let start = Instant::now();
        let (one, other) = tokio::join!(
            carry(&mut client, &mut broker, &bytes),
            carry(&mut other_client, &mut other_broker, &bytes),
        );
        assert!(one == bytes && other == bytes);
        assert!(start.elapsed() >= 100 * MS, "{:?}", start.elapsed());
        assert_eq!(narrow.effect().connections, 2);
    });
}

#[test]
fn a_bandwidth_that_is_lifted_lets_the_rest_through() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let bytes = random_bytes(5, 5 << 20);
        // It would take two months.
        let narrow = line.proxy.impose(bandwidth(1)).await;
        let lifting = async {
            narrow.until(|effect| effect.throttled > 0).await;
            narrow.lift().await
        };
        let (received, effect) = tokio::join!(carry(&mut client, &mut broker, &bytes), lifting);
        assert!(received == bytes);
        assert!(effect.took_effect());
    });
}

#[test]
fn slices_are_small_and_apart() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let bytes = random_bytes(6, 50);
        let cut = line.proxy.impose(slice(4, 5 * MS)).await;
        let start = Instant::now();
        send(&mut client, &bytes).await;
        assert!(broker.read(&mut [0; 64]).await.unwrap() >= 4);
        let effect = cut.until(|effect| effect.cuts == 12).await;
        assert!(start.elapsed() >= 55 * MS, "{:?}", start.elapsed());
        assert_eq!(effect.connections, 1);
    });
}

#[test]
fn what_was_sliced_is_whole_in_the_end() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let bytes = random_bytes(7, 20_000);
        let cut = line.proxy.impose(slice(1, Duration::ZERO)).await;
        assert!(carry(&mut client, &mut broker, &bytes).await == bytes);
        // Each read has a last byte that nothing was cut off from.
        let cuts = cut.lift().await.cuts;
        assert!((10_000..20_000).contains(&cuts), "{cuts}");
    });
}

#[test]
fn a_slice_that_is_lifted_in_its_pause_pauses_no_more() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let cut = line.proxy.impose(slice(3, Duration::MAX)).await;
        send(&mut client, b"abcdef").await;
        assert_eq!(receive(&mut broker, 3).await, b"abc");
        assert!(is_silent(&broker).await);
        cut.lift().await;
        assert_eq!(receive(&mut broker, 3).await, b"def");
    });
}

#[test]
fn a_partition_holds_everything_and_loses_nothing() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        assert_carries(&mut client, &mut broker).await;
        let cut = line.proxy.impose(partition(Direction::Both)).await;
        assert!(!cut.effect().took_effect());
        send(&mut client, b"to the broker").await;
        send(&mut broker, b"from the broker").await;
        client.shutdown().await.unwrap();
        cut.until(|effect| effect.held == 28).await;
        assert!(is_silent(&client).await && is_silent(&broker).await);
        assert_eq!(cut.lift().await.held, 28);
        assert_eq!(receive_all(&mut broker).await, b"to the broker");
        assert_eq!(receive(&mut client, 15).await, b"from the broker");
    });
}

#[test]
fn a_partition_of_one_way_leaves_the_other() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let cut = line.proxy.impose(partition(Direction::FromBroker)).await;
        send(&mut broker, b"held").await;
        cut.until(|effect| effect.held == 4).await;
        send(&mut client, b"passes").await;
        assert_eq!(receive(&mut broker, 6).await, b"passes");
        assert!(is_silent(&client).await);
        cut.lift().await;
        assert_eq!(receive(&mut client, 4).await, b"held");
    });
}

#[test]
fn a_partition_holds_no_more_than_there_is_room_for() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let bytes = random_bytes(8, 32 << 20);
        let cut = line.proxy.impose(partition(Direction::Both)).await;
        let lifting = async {
            cut.until(|effect| effect.held >= 64 << 10).await;
            turns(200).await;
            cut.lift().await
        };
        let (received, effect) = tokio::join!(carry(&mut client, &mut broker, &bytes), lifting);
        assert_eq!(effect.held, 64 << 10);
        assert!(received == bytes);
    });
}

#[test]
fn a_new_connection_waits_for_a_partition_to_be_lifted() {
    run(async {
        let line = Line::new().await;
        let cut = line.proxy.impose(partition(Direction::ToBroker)).await;
        let mut client = line.dial().await;
        send(&mut client, b"hello").await;
        cut.until(|effect| effect.hanging == 1).await;
        let accepted = timeout(Duration::ZERO, line.broker.accept()).await;
        assert!(accepted.is_err(), "it was carried through");
        assert_eq!(cut.lift().await.connections, 1);
        let (mut broker, _) = line.broker.accept().await.unwrap();
        assert_eq!(receive(&mut broker, 5).await, b"hello");
        assert_carries(&mut client, &mut broker).await;
    });
}

#[test]
fn a_toxic_that_is_dropped_is_lifted() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let cut = line.proxy.impose(partition(Direction::Both)).await;
        send(&mut client, b"held").await;
        cut.until(|effect| effect.held == 4).await;
        drop(cut);
        assert_eq!(receive(&mut broker, 4).await, b"held");
    });
}
