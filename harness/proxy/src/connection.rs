//! One connection from its acceptance to its end.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::consume_budget;
use tokio::time::timeout;

use crate::direction::Direction;
use crate::hooks::Disruption;
use crate::pump::{Finish, Pump};
use crate::rule::{Newcomer, Rule};
use crate::shared::{ConnectionSlot, Shared};

/// How long the broker may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How carrying a connection through came to its end.
enum End {
    /// Both sides have said all they had to say.
    Whole,
    /// One side is broken, or the broker cannot be reached.
    Broken,
    /// A rule wants it so.
    Struck(Disruption, Rc<Rule>),
}

/// Carries a client's connection to the broker, until either ends or a toxic ends it.
pub(crate) async fn carry(mut slot: ConnectionSlot, mut client: TcpStream) {
    let mut broker = None;
    let (id, shared) = (slot.id, Rc::clone(&slot.shared));
    // The order is kept until the sockets are dealt with: its receipt says when that is.
    let mut order = None;
    let end = tokio::select! {
        // A connection that is to be broken carries not one byte more.
        biased;
        given = slot.order() => {
            let end = End::Struck(given.disruption, Rc::clone(&given.rule));
            order = Some(given);
            end
        }
        end = through(&shared, id, &mut client, &mut broker) => end,
    };
    match end {
        End::Whole => {}
        End::Broken => reset_both(client, broker),
        End::Struck(Disruption::Reset, rule) => {
            reset_both(client, broker);
            rule.tally.count(id, |effect| effect.reset += 1);
        }
        End::Struck(Disruption::Silence, rule) => {
            let was_carried = broker.is_some();
            drop(broker);
            rule.tally.count(id, |effect| {
                effect.silenced += u64::from(was_carried);
                effect.hanging += u64::from(!was_carried);
            });
            drop(order);
            silent(&mut slot, client, &rule).await;
        }
    }
}

fn reset_both(client: TcpStream, broker: Option<TcpStream>) {
    reset(client);
    if let Some(broker) = broker {
        reset(broker);
    }
}

/// The sockets are the caller's, who may have to break them.
async fn through(
    shared: &Shared,
    id: u64,
    client: &mut TcpStream,
    broker: &mut Option<TcpStream>,
) -> End {
    if let Some((disruption, rule)) = admission(shared, id).await {
        return End::Struck(disruption, rule);
    }
    let Ok(Ok(connected)) = timeout(CONNECT, TcpStream::connect(shared.upstream)).await else {
        return End::Broken;
    };
    // What was cut into pieces, or came in small ones, must not be put together again.
    let direct = [&*client, &connected].map(|stream| stream.set_nodelay(true));
    if direct.iter().any(Result::is_err) {
        return End::Broken;
    }
    let (from_client, to_client) = client.split();
    let (from_broker, to_broker) = broker.insert(connected).split();
    let to = Pump::new(id, Direction::ToBroker, shared.rules()).run(from_client, to_broker);
    let from = Pump::new(id, Direction::FromBroker, shared.rules()).run(from_broker, to_client);
    match tokio::try_join!(to, from) {
        Ok((Finish::Passed, Finish::Passed)) => End::Whole,
        _ => End::Broken,
    }
}

/// Waits until a new connection may be carried. What happens to it instead, and why, otherwise.
async fn admission(shared: &Shared, id: u64) -> Option<(Disruption, Rc<Rule>)> {
    let mut rules = shared.rules();
    loop {
        let newcomer = Newcomer::under(&rules.borrow_and_update());
        match newcomer {
            Newcomer::Carried => return None,
            Newcomer::Silenced(rule) => return Some((Disruption::Silence, rule)),
            Newcomer::Reset(rule) => return Some((Disruption::Reset, rule)),
            Newcomer::Waits(rule) if !rule.tally.has_touched(id) => {
                rule.tally.count(id, |effect| effect.hanging += 1);
            }
            Newcomer::Waits(_) => {}
        }
        // It fails when the proxy has ended, and this with it.
        let _ = rules.changed().await;
    }
}

/// Tells the client nothing, until it breaks or is broken.
async fn silent(slot: &mut ConnectionSlot, client: TcpStream, rule: &Rc<Rule>) {
    let id = slot.id;
    let breaks = |client, rule: &Rule| {
        reset(client);
        rule.tally.count(id, |effect| effect.reset += 1);
    };
    // It may be lifted already: then nobody is left to end this.
    if !slot.shared.is_in_force(rule) {
        return breaks(client, rule);
    }
    loop {
        let order = tokio::select! {
            biased;
            order = slot.order() => order,
            () = swallow(&client, id, rule) => return,
        };
        match order.disruption {
            Disruption::Reset => return breaks(client, &order.rule),
            // It is silent already.
            Disruption::Silence => {}
        }
    }
}

/// Takes what the client sends, until it breaks. That it sends no more goes unnoticed.
async fn swallow(client: &TcpStream, id: u64, rule: &Rule) {
    let mut scratch = vec![0; 4096];
    loop {
        consume_budget().await;
        if client.readable().await.is_err() {
            return;
        }
        match client.try_read(&mut scratch) {
            Ok(0) => std::future::pending().await,
            Ok(bytes) => rule.tally.count(id, |effect| effect.vanished += bytes as u64),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Makes the other side see a broken connection (RST), and not an end (FIN).
fn reset(stream: TcpStream) {
    // It fails only for what is no socket any more.
    let _ = stream.set_zero_linger();
    drop(stream);
}
