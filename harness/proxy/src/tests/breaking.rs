//! Toxics that break connections: reset, drop, half open.

use super::*;

const DROP: Toxic = Toxic::Drop { direction: Direction::ToBroker };

#[test]
fn a_reset_breaks_every_open_connection_on_both_sides() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let (mut other_client, mut other_broker) = line.connect().await;
        assert_carries(&mut client, &mut broker).await;
        assert_carries(&mut other_client, &mut other_broker).await;
        let reset = line.proxy.impose(Toxic::Reset).await;
        assert_eq!((reset.effect().reset, line.proxy.connections()), (2, 0));
        for mut end in [client, broker, other_client, other_broker] {
            assert_reset(&mut end).await;
        }
        reset.lift().await;
        let (mut client, mut broker) = line.connect().await;
        assert_carries(&mut client, &mut broker).await;
    });
}

#[test]
fn a_reset_that_lasts_breaks_new_connections() {
    run(async {
        let line = Line::new().await;
        let reset = line.proxy.impose(Toxic::Reset).await;
        // It may be broken before its client learns that it was made.
        if let Ok(mut client) = dial(line.proxy.address()).await {
            assert_reset(&mut client).await;
        }
        let effect = reset.until(|effect| effect.reset == 1).await;
        assert_eq!((effect.connections, line.proxy.connections()), (1, 0));
        let accepted = timeout(Duration::ZERO, line.broker.accept()).await;
        assert!(accepted.is_err(), "it was carried through");
    });
}

#[test]
fn a_reset_breaks_a_connection_that_a_partition_holds() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let cut = line.proxy.impose(partition(Direction::Both)).await;
        send(&mut client, b"held").await;
        cut.until(|effect| effect.held == 4).await;
        line.proxy.impose(Toxic::Reset).await.lift().await;
        assert_reset(&mut client).await;
        assert_reset(&mut broker).await;
    });
}

#[test]
fn what_is_dropped_never_arrives_and_the_connection_ends_with_the_toxic() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let (mut other_client, mut other_broker) = line.connect().await;
        assert_carries(&mut client, &mut broker).await;
        let dropping = line.proxy.impose(DROP).await;
        send(&mut client, b"vanishes").await;
        dropping.until(|effect| effect.vanished == 8).await;
        // It stays open, and the other way is not touched.
        send(&mut broker, b"arrives").await;
        assert_eq!(receive(&mut client, 7).await, b"arrives");
        assert!(is_silent(&broker).await);
        let effect = dropping.lift().await;
        assert_eq!((effect.vanished, effect.reset, effect.connections), (8, 1, 1));
        assert_reset(&mut client).await;
        assert_reset(&mut broker).await;
        assert_carries(&mut other_client, &mut other_broker).await;
    });
}

#[test]
fn nothing_follows_what_was_dropped() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let dropping = line.proxy.impose(DROP).await;
        send(&mut client, b"vanishes").await;
        dropping.until(|effect| effect.vanished == 8).await;
        // Lifted and sent without a turn for the proxy between.
        drop(dropping);
        client.try_write(b"must not follow").unwrap();
        assert_reset(&mut broker).await;
    });
}

#[test]
fn an_end_vanishes_like_bytes() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let dropping = line.proxy.impose(DROP).await;
        client.shutdown().await.unwrap();
        dropping.until(|effect| effect.connections == 1).await;
        assert!(is_silent(&broker).await);
        assert_eq!(dropping.lift().await.reset, 1);
        assert_reset(&mut broker).await;
    });
}

#[test]
fn dropping_needs_no_room() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        let cut = line.proxy.impose(partition(Direction::Both)).await;
        let much = vec![1; 128 << 10];
        let sending = send(&mut client, &much);
        tokio::join!(sending, cut.until(|effect| effect.held == 64 << 10));
        let dropping = line.proxy.impose(DROP).await;
        dropping.until(|effect| effect.vanished == 64 << 10).await;
        cut.lift().await;
        // What had arrived before arrives.
        assert_eq!(receive(&mut broker, 64 << 10).await, &much[..64 << 10]);
        dropping.lift().await;
        assert_reset(&mut broker).await;
    });
}

#[test]
fn half_open_ends_the_broker_s_side_only() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        assert_carries(&mut client, &mut broker).await;
        let half = line.proxy.impose(Toxic::HalfOpen).await;
        assert_eq!(half.effect().silenced, 1);
        assert_eq!(receive_all(&mut broker).await, b"");
        send(&mut client, b"is anybody there").await;
        half.until(|effect| effect.vanished == 16).await;
        assert!(is_silent(&client).await);
        let effect = half.lift().await;
        assert_eq!((effect.reset, effect.connections), (1, 1));
        assert_reset(&mut client).await;
        let (mut client, mut broker) = line.connect().await;
        assert_carries(&mut client, &mut broker).await;
    });
}

#[test]
fn half_open_leaves_new_connections_hanging_and_resets_them_when_lifted() {
    run(async {
        let line = Line::new().await;
        let half = line.proxy.impose(Toxic::HalfOpen).await;
        let mut client = line.dial().await;
        send(&mut client, b"hello").await;
        let effect = half.until(|effect| effect.vanished == 5).await;
        assert_eq!((effect.hanging, effect.silenced), (1, 0));
        let accepted = timeout(Duration::ZERO, line.broker.accept()).await;
        assert!(accepted.is_err(), "it was carried through");
        assert_eq!(half.lift().await.reset, 1);
        assert_reset(&mut client).await;
    });
}

#[test]
fn half_open_that_is_given_up_at_once_leaves_nobody_hanging() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        assert_carries(&mut client, &mut broker).await;
        tokio::select! {
            biased;
            _ = line.proxy.impose(Toxic::HalfOpen) => panic!("done before anybody had a turn"),
            // Lifted before the connection had one.
            () = std::future::ready(()) => {}
        }
        assert_reset(&mut client).await;
    });
}

#[test]
fn a_reset_breaks_what_is_half_open() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        assert_carries(&mut client, &mut broker).await;
        let half = line.proxy.impose(Toxic::HalfOpen).await;
        let again = line.proxy.impose(Toxic::HalfOpen).await;
        let reset = line.proxy.impose(Toxic::Reset).await;
        assert_eq!(reset.effect().reset, 1);
        assert_reset(&mut client).await;
        assert_eq!((half.lift().await.reset, again.lift().await.reset), (0, 0));
    });
}
