//! Connections that lead to a server, can be broken, and count what they carry.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, spawn_local};

pub(crate) struct Cable {
    pub(crate) port: u16,
    ways: Rc<RefCell<Vec<AbortHandle>>>,
    /// Bytes that came from the server.
    pub(crate) brought: Rc<Cell<u64>>,
}

impl Cable {
    /// To a server on loopback, from within a `LocalSet`.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        let ways = Rc::new(RefCell::new(Vec::new()));
        let brought = Rc::new(Cell::new(0));
        let cable = Self { port, ways: Rc::clone(&ways), brought: Rc::clone(&brought) };
        spawn_local(async move {
            loop {
                let (near, _) = listener.accept().await.expect("a connection");
                let brought = Rc::clone(&brought);
                let way = spawn_local(async move {
                    let far = TcpStream::connect(("127.0.0.1", server)).await?;
                    let (mut from_near, to_near) = near.into_split();
                    let (from_far, mut to_far) = far.into_split();
                    tokio::try_join!(
                        tokio::io::copy(&mut from_near, &mut to_far),
                        carry(from_far, to_near, &brought),
                    )
                });
                ways.borrow_mut().push(way.abort_handle());
            }
        });
        cable
    }

    pub(crate) fn cut(&self) {
        self.ways.borrow_mut().drain(..).for_each(|way| way.abort());
    }
}

/// Carries bytes, and counts them.
async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    count: &Cell<u64>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        count.set(count.get() + length as u64);
        to.write_all(&bytes[..length]).await?;
    }
}
