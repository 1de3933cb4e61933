//! Without a toxic a proxy cannot be told from a connection.

use super::*;

/// More than all buffers of the way hold together.
const MUCH: usize = 24 << 20;

#[test]
fn what_is_sent_arrives_both_ways_at_once() {
    run(async {
        let (_line, client, broker) = Line::connected().await;
        let (to, from) = (random_bytes(1, MUCH), random_bytes(2, MUCH));
        let (mut client_reads, mut client_writes) = client.into_split();
        let (mut broker_reads, mut broker_writes) = broker.into_split();
        let (mut at_broker, mut at_client) = (Vec::new(), Vec::new());
        let (sent, answered, arrived, returned) = tokio::join!(
            async {
                client_writes.write_all(&to).await?;
                client_writes.shutdown().await
            },
            async {
                broker_writes.write_all(&from).await?;
                broker_writes.shutdown().await
            },
            broker_reads.read_to_end(&mut at_broker),
            client_reads.read_to_end(&mut at_client),
        );
        assert_eq!((sent.unwrap(), answered.unwrap()), ((), ()));
        assert_eq!((arrived.unwrap(), returned.unwrap()), (MUCH, MUCH));
        assert!(at_broker == to && at_client == from, "other bytes arrived than were sent");
    });
}

#[test]
fn many_connections_do_not_mix() {
    run(async {
        let line = Line::new().await;
        let mut ends = Vec::new();
        for number in 0..50 {
            let (mut client, broker) = line.connect().await;
            send(&mut client, &random_bytes(number, 1000)).await;
            ends.push((client, broker));
        }
        assert_eq!(line.proxy.connections(), 50);
        for (number, (_, broker)) in ends.iter_mut().enumerate() {
            assert_eq!(receive(broker, 1000).await, random_bytes(number as u64, 1000));
        }
    });
}

#[test]
fn the_end_of_one_side_reaches_the_other_which_may_still_answer() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        assert_eq!(carry(&mut client, &mut broker, b"question").await, b"question");
        assert_eq!(carry(&mut broker, &mut client, b"answer").await, b"answer");
        while line.proxy.connections() > 0 {
            yield_now().await;
        }
    });
}

#[test]
fn a_side_that_breaks_breaks_the_other_after_its_last_byte() {
    run(async {
        let (_line, mut client, mut broker) = Line::connected().await;
        send(&mut client, b"last words").await;
        assert_eq!(receive(&mut broker, 10).await, b"last words");
        client.set_zero_linger().unwrap();
        drop(client);
        assert_reset(&mut broker).await;
    });
}

#[test]
fn a_client_that_leaves_while_the_broker_sends_ends_the_broker_s_side() {
    run(async {
        let (_line, mut client, mut broker) = Line::connected().await;
        assert_carries(&mut client, &mut broker).await;
        drop(client);
        let much = random_bytes(1, MUCH);
        assert!(broker.write_all(&much).await.is_err(), "somebody took what nobody reads");
    });
}

#[test]
fn a_broker_that_is_not_there_breaks_the_client_s_connection_until_it_is() {
    run(async {
        let Line { proxy, broker } = Line::new().await;
        let address = broker.local_addr().unwrap();
        drop(broker);
        let mut client = dial(proxy.address()).await.unwrap();
        assert_gone(&mut client).await;
        let broker = TcpListener::bind(address).await.unwrap();
        let line = Line { proxy, broker };
        let (mut client, mut broker) = line.connect().await;
        assert_carries(&mut client, &mut broker).await;
    });
}

#[test]
fn a_proxy_that_is_dropped_ends_everything() {
    run(async {
        let (line, mut client, mut broker) = Line::connected().await;
        assert_carries(&mut client, &mut broker).await;
        let cut = line.proxy.impose(partition(Direction::Both)).await;
        let mut hanging = line.dial().await;
        cut.until(|effect| effect.hanging == 1).await;
        let address = line.proxy.address();
        drop(line.proxy);
        assert_gone(&mut client).await;
        assert_gone(&mut broker).await;
        assert_gone(&mut hanging).await;
        assert!(dial(address).await.is_err(), "somebody still listens");
        assert_eq!(cut.lift().await.hanging, 1, "a toxic may outlive its proxy");
    });
}
