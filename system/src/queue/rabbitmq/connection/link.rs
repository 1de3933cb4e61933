//! Waits that end with the connection. The client library leaves some of what is asked while a connection breaks
//! without any answer (seen with lapin 4.12: an acknowledgement), and all that is asked between the moment in which
//! it tells those who wait that the connection broke, and the one in which its status says so (a goodbye).

use std::time::Duration;

use lapin::Connection;
use tokio::time::timeout;

use crate::queue::rabbitmq::error::{BrokerError, Outcome};

/// How often it is looked whether the connection is still there.
const CONNECTION_POLL: Duration = Duration::from_millis(20);

/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Waits for an answer for as long as the connection is there.
pub(super) async fn while_there<T>(
    connection: &Connection,
    answer: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    until(answer, || !connection.status().connected()).await
}

/// Closes a connection. What is on it goes back to the server when the server learns of it.
pub(super) async fn close(connection: &Connection) {
    let status = connection.status();
    if status.connected() {
        let closing = async { Ok(connection.close(200, "goodbye".into()).await?) };
        let is_closed = || status.closed() || status.errored();
        let _ = timeout(GOODBYE, until(closing, is_closed)).await;
    }
}

async fn until<T>(
    answer: impl Future<Output = Outcome<T>>,
    is_gone: impl Fn() -> bool,
) -> Outcome<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        match timeout(CONNECTION_POLL, &mut answer).await {
            Ok(outcome) => return outcome,
            Err(_) if is_gone() => return Err(BrokerError::new("the connection is gone")),
            Err(_) => {}
        }
    }
}
