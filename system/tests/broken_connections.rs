//! Connections that break at any moment: whatever a worker waits for then, it goes on.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use ttg_system::chunk::Sweep;
use ttg_system::coordinator;
use ttg_system::queue::{self, Address, Settings};

use support::bench::{PATIENCE, computed};
use support::rabbitmq_server::RabbitMqServer;

const CHUNKS: u64 = 16;

/// How long a worker may take to notice that a connection is gone, to make another and to look
/// what became of its chunk.
const RECOVERY: Duration = Duration::from_secs(4);

/// Connections that lead to a server, and can be broken.
struct Cable {
    port: u16,
    ways: Rc<RefCell<Vec<AbortHandle>>>,
}

impl Cable {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it has one").port();
        let ways = Rc::new(RefCell::new(Vec::new()));
        let cable = Self { port, ways: Rc::clone(&ways) };
        spawn_local(async move {
            loop {
                let (mut near, _) = listener.accept().await.expect("a connection");
                let way = spawn_local(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", server)).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
                ways.borrow_mut().push(way.abort_handle());
            }
        });
        cable
    }

    fn cut(&self) {
        self.ways.borrow_mut().drain(..).for_each(|way| way.abort());
    }
}

#[tokio::test]
async fn a_commit_comes_to_an_end_whenever_its_connection_breaks() {
    LocalSet::new().run_until(commits_over_breaking_connections()).await;
}

async fn commits_over_breaking_connections() {
    let server = RabbitMqServer::start();
    let Address::RabbitMq(mut address) = server.address() else { unreachable!() };
    let direct = Settings::new(server.address());
    let sweep = Sweep { start: 0, params: CHUNKS, chunk_size: 1 };
    let onlooker = queue::connect(&direct, None).await.expect("connects");
    coordinator::run(&*onlooker, &sweep, None).await.expect("submits");

    let cable = Cable::to(server.port).await;
    address.port = cable.port;
    // A chunk whose connection breaks again and again is no poison here.
    let settings = Settings { max_deliveries: 1000, ..Settings::new(Address::RabbitMq(address)) };
    let worker = queue::connect(&settings, Some("worker-1")).await.expect("connects");
    // From before the result is sent to after its task is acknowledged.
    let mut moments = fastrand::Rng::with_seed(1);
    while !onlooker.standing().await.expect("reads").is_complete() {
        let claimed = timeout(PATIENCE, worker.claim(1, Duration::from_millis(250))).await;
        for delivery in claimed.expect("a claim ends").expect("claims") {
            let moment = Duration::from_micros(moments.u64(0..4000));
            let done = [computed(&delivery, "worker-1")];
            let commit = timeout(RECOVERY, worker.commit(&done));
            let cut = async {
                sleep(moment).await;
                cable.cut();
            };
            let (committed, ()) = tokio::join!(commit, cut);
            let chunk = delivery.task.chunk.index;
            let committed = committed.unwrap_or_else(|_| {
                panic!("chunk {chunk}: the commit never ends where it is cut after {moment:?}")
            });
            committed.expect("commits");
        }
    }
}
