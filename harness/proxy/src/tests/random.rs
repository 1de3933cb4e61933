//! Whatever of the toxics that break nothing is imposed and lifted, in whatever order: the bytes
//! that arrive are the bytes that were sent.

use proptest::prelude::*;

use super::*;
use crate::Imposed;

fn some_direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::ToBroker), Just(Direction::FromBroker), Just(Direction::Both)]
}

fn some_toxic() -> impl Strategy<Value = Toxic> {
    prop_oneof![
        (0_u32..4, 0_u32..4, any::<u64>(), some_direction()).prop_map(
            |(delay, jitter, seed, direction)| {
                Toxic::Latency { delay: delay * MS, jitter: jitter * MS, seed, direction }
            }
        ),
        (1_u64..20_000_000, some_direction()).prop_map(|(bytes_per_second, direction)| {
            Toxic::Bandwidth { bytes_per_second, direction }
        }),
        (1_usize..17, 0_u32..2, some_direction()).prop_map(|(bytes, pause, direction)| {
            Toxic::Slice { bytes, pause: pause * MS, direction }
        }),
        some_direction().prop_map(partition),
    ]
}

/// A toxic, which of those in force is lifted afterwards, if any, and how many turns each lasts.
fn some_meddling() -> impl Strategy<Value = Vec<(Toxic, Option<usize>, usize)>> {
    let step = (some_toxic(), prop::option::weighted(0.8, 0_usize..8), 0_usize..60);
    prop::collection::vec(step, 1..40)
}

async fn meddle(proxy: &Proxy, steps: &[(Toxic, Option<usize>, usize)]) {
    let mut in_force: Vec<Imposed> = Vec::new();
    for (toxic, lifted, lasts) in steps {
        in_force.push(proxy.impose(*toxic).await);
        turns(*lasts).await;
        if let Some(which) = lifted {
            in_force.swap_remove(which % in_force.len()).lift().await;
            turns(*lasts / 2).await;
        }
    }
}

/// Sends both ways at once over a connection, and returns what arrives: at the broker, at the
/// client.
async fn exchange(line: &Line, to: &[u8], from: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (client, broker) = line.connect().await;
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut broker_reads, mut broker_writes) = broker.into_split();
    let (mut at_broker, mut at_client) = (Vec::new(), Vec::new());
    let all = tokio::try_join!(
        async {
            client_writes.write_all(to).await?;
            client_writes.shutdown().await
        },
        async {
            broker_writes.write_all(from).await?;
            broker_writes.shutdown().await
        },
        broker_reads.read_to_end(&mut at_broker),
        client_reads.read_to_end(&mut at_client),
    );
    all.expect("no toxic of these breaks a connection");
    (at_broker, at_client)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_arrives_is_what_was_sent(
        seed in any::<u64>(),
        lengths in (0_usize..2_000_000, 0_usize..2_000_000),
        steps in some_meddling(),
    ) {
        let (to, from) = (random_bytes(seed, lengths.0), random_bytes(!seed, lengths.1));
        let (at_broker, at_client) = run(async {
            let line = Line::new().await;
            tokio::join!(exchange(&line, &to, &from), meddle(&line.proxy, &steps)).0
        });
        prop_assert_eq!((at_broker.len(), at_client.len()), (to.len(), from.len()));
        prop_assert!(at_broker == to && at_client == from, "other bytes arrived than were sent");
    }
}
