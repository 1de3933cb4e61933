//! AMQP over TLS. The client library's own support for it would bring a reader of PKCS#12 files and
//! thirty crates with it; but it asks a reactor for its connections, and this one encrypts them.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use async_compat::Compat;
use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::client::TlsStream;

use crate::queue::Tls;

/// A runtime whose connections to `host` are encrypted.
pub(super) fn runtime(tls: &Tls, host: &str) -> Runtime<RuntimeParts<Tokio, Encrypting>> {
    let reactor = Encrypting {
        tokio: Tokio::current(),
        handle: Handle::current(),
        tls: tls.clone(),
        host: host.to_owned(),
    };
    Runtime::new(RuntimeParts::new(Tokio::current(), reactor))
}

/// Tokio's, but for connections.
#[derive(Debug, Clone)]
pub(super) struct Encrypting {
    tokio: Tokio,
    handle: Handle,
    tls: Tls,
    host: String,
}

impl Reactor for Encrypting {
    type TcpStream = Compat<TlsStream<TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let (tls, host) = (self.tls.clone(), self.host.clone());
        let connecting = self.handle.spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            tls.encrypt(stream, &host).await
        });
        async move { Ok(Compat::new(connecting.await.map_err(io::Error::other)??)) }
    }
}
