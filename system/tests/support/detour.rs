//! A way to a RabbitMQ server on which a test stands and reads along.

use std::sync::Arc;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use ttg_system::queue::{Address, Settings};

use super::bench::Bench;

/// Takes the connections that are meant for a server.
pub(crate) struct Detour {
    listener: TcpListener,
    server: u16,
}

impl Detour {
    /// One to the server of a bench, and the settings of whoever is to go this way.
    pub(crate) async fn to(bench: &Bench) -> (Settings, Self) {
        let Address::RabbitMq(mut address) = bench.settings.address.clone() else { unreachable!() };
        let server = address.port;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        address.port = listener.local_addr().expect("it has one").port();
        let settings = Settings { address: Address::RabbitMq(address), ..bench.settings.clone() };
        (settings, Self { listener, server })
    }

    /// The next connection.
    pub(crate) async fn next(&self) -> Passage {
        let (near, _) = self.listener.accept().await.expect("a connection");
        let far = TcpStream::connect(("127.0.0.1", self.server)).await;
        let (client, mut to_client) = near.into_split();
        let (mut from_server, server) = far.expect("the server answers").into_split();
        let withheld = Arc::new(Notify::new());
        let is_withheld = Arc::clone(&withheld);
        let answers = tokio::spawn(async move {
            tokio::select! {
                _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                // Both ends stay: an end would be an answer.
                () = is_withheld.notified() => std::future::pending().await,
            }
        });
        Passage { client, server, answers, withheld }
    }
}

/// A connection on its way. The server's answers pass by themselves; what the client says is for the test to pass on.
pub(crate) struct Passage {
    pub(crate) client: OwnedReadHalf,
    pub(crate) server: OwnedWriteHalf,
    answers: JoinHandle<()>,
    withheld: Arc<Notify>,
}

impl Passage {
    /// From now on nothing comes back, not even an end.
    pub(crate) fn withhold_answers(&self) {
        self.withheld.notify_one();
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.answers.abort();
    }
}
