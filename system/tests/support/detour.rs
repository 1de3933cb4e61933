//! A way to a RabbitMQ server on which a test stands and reads along.

use tokio::net::{TcpListener, TcpStream};
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

    /// The next connection: to the client, and to the server.
    pub(crate) async fn next(&self) -> (TcpStream, TcpStream) {
        let (near, _) = self.listener.accept().await.expect("a connection");
        let far = TcpStream::connect(("127.0.0.1", self.server)).await;
        (near, far.expect("the server answers"))
    }
}
