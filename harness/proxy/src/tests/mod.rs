//! Real connections through a proxy. A test has both ends in its hands.

mod breaking;
mod plain;
mod random;
mod shaping;
mod together;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::task::{LocalSet, yield_now};
use tokio::time::timeout;

use super::{Direction, Proxy, Toxic};

const MS: Duration = Duration::from_millis(1);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A test that takes longer hangs.
const HANGS: Duration = Duration::from_secs(120);

/// Runs a test as the harness runs its proxies.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { timeout(HANGS, test).await.expect("the test hangs") };
    LocalSet::new().block_on(&runtime, test)
}

/// A proxy, and the place where its connections come out.
struct Line {
    proxy: Proxy,
    broker: TcpListener,
}

impl Line {
    async fn new() -> Self {
        let broker = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let proxy = Proxy::listen(LOOPBACK, broker.local_addr().unwrap()).unwrap();
        Self { proxy, broker }
    }

    async fn dial(&self) -> TcpStream {
        dial(self.proxy.address()).await.unwrap()
    }

    /// A connection's two ends: the client's, the broker's.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = self.dial().await;
        let (broker, _) = self.broker.accept().await.unwrap();
        (client, broker)
    }

    /// A line, and a connection over it.
    async fn connected() -> (Self, TcpStream, TcpStream) {
        let line = Self::new().await;
        let (client, broker) = line.connect().await;
        (line, client, broker)
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
}

async fn receive(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut received = vec![0; bytes];
    stream.read_exact(&mut received).await.unwrap();
    received
}

/// All that comes until the end.
async fn receive_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    received
}

/// Sends there and back, so that it is known that the connection carries.
async fn assert_carries(client: &mut TcpStream, broker: &mut TcpStream) {
    send(client, b"ping").await;
    assert_eq!(receive(broker, 4).await, b"ping");
    send(broker, b"pong").await;
    assert_eq!(receive(client, 4).await, b"pong");
}

/// Waits for an RST, and for nothing else.
async fn assert_reset(stream: &mut TcpStream) {
    let read = stream.read(&mut [0; 16]).await;
    assert_eq!(read.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
}

/// Waits until nobody is there any more, however that is said.
async fn assert_gone(stream: &mut TcpStream) {
    let read = stream.read(&mut [0; 16]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

/// Whether there is nothing to be read, after everybody else has had several turns.
async fn is_silent(stream: &TcpStream) -> bool {
    turns(50).await;
    let read = stream.try_read(&mut [0; 16]);
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Lets everybody else have so many turns.
async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Sends all of it and the end, while the other side receives until the end.
async fn carry(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    let sending = async {
        send(from, bytes).await;
        from.shutdown().await.unwrap();
    };
    tokio::join!(sending, receive_all(to)).1
}

fn latency(delay: Duration) -> Toxic {
    Toxic::Latency { delay, jitter: Duration::ZERO, seed: 1, direction: Direction::Both }
}

fn bandwidth(bytes_per_second: u64) -> Toxic {
    Toxic::Bandwidth { bytes_per_second, direction: Direction::Both }
}

fn slice(bytes: usize, pause: Duration) -> Toxic {
    Toxic::Slice { bytes, pause, direction: Direction::Both }
}

fn partition(direction: Direction) -> Toxic {
    Toxic::Partition { direction }
}
