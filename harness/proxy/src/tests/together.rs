//! Several toxics at once, and one after another, in the middle of a transfer.

use tokio::time::Instant;

use super::*;

#[test]
fn several_in_force_do_not_spoil_each_other() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let bytes = random_bytes(1, 20_000);
        let slow = line.proxy.impose(latency(30 * MS)).await;
        let narrow = line.proxy.impose(bandwidth(200_000)).await;
        let cut = line.proxy.impose(slice(777, Duration::ZERO)).await;
        let apart = line.proxy.impose(partition(Direction::Both)).await;
        let start = Instant::now();
        let lifting = async {
            apart.until(|effect| effect.held == 20_000).await;
            apart.lift().await
        };
        let (received, held) = tokio::join!(carry(&mut client, &mut broker, &bytes), lifting);
        assert!(received == bytes);
        assert!(start.elapsed() >= 80 * MS, "{:?}", start.elapsed());
        assert_eq!(held.held, 20_000);
        assert_eq!(slow.effect().delayed, 20_000);
        assert!(narrow.effect().throttled > 10_000, "{}", narrow.effect());
        assert!(cut.effect().cuts > 20, "{}", cut.effect());
    });
}

#[test]
fn two_partitions_hold_until_the_second_is_lifted() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let one = line.proxy.impose(partition(Direction::ToBroker)).await;
        let other = line.proxy.impose(partition(Direction::Both)).await;
        send(&mut client, b"held").await;
        other.until(|effect| effect.held == 4).await;
        one.lift().await;
        assert!(is_silent(&broker).await);
        other.lift().await;
        assert_eq!(receive(&mut broker, 4).await, b"held");
    });
}

#[test]
fn a_partition_that_comes_and_goes_loses_nothing_of_a_transfer() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let bytes = random_bytes(2, 16 << 20);
        let meddling = async {
            for _ in 0..20 {
                let cut = line.proxy.impose(partition(Direction::ToBroker)).await;
                cut.until(|effect| effect.held > 0).await;
                cut.lift().await;
                turns(3).await;
            }
        };
        tokio::select! {
            biased;
            // The transfer may end first: then nothing is held any more.
            received = carry(&mut client, &mut broker, &bytes) => assert!(received == bytes),
            () = async { meddling.await; std::future::pending().await } => {}
        }
    });
}

#[test]
fn a_toxic_acts_on_connections_that_come_after_it() {
    run(async {
        let line = Line::new().await;
        let slow = line.proxy.impose(latency(20 * MS)).await;
        let (mut client, mut broker) = line.connect().await;
        assert_carries(&mut client, &mut broker).await;
        assert_eq!(slow.effect().delayed, 8);
    });
}

#[test]
fn an_effect_says_only_what_happened() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let slow = line.proxy.impose(latency(MS)).await;
        assert_eq!(slow.effect().to_string(), "connections touched: 0");
        assert_carries(&mut client, &mut broker).await;
        assert_eq!(slow.effect().to_string(), "connections touched: 1, bytes delayed: 8");
    });
}
