//! Requests to stop. Whoever is asked ends within a second, whatever it waits for: its work is given up,
//! and where even that takes too long, a blocked thread, say, the process is ended. A second request is
//! not waited for at all.
//!
//! Signals are heard on a thread of their own, which nothing holds up.

use std::future::pending;
use std::process::exit;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::failed::Failed;

/// How long the end may take, beyond the grace for a chunk in hand.
const LAST: Duration = Duration::from_millis(970);

/// Tells of requests to stop.
pub(super) struct Signals {
    /// Becomes true with the first.
    pub(super) stop: watch::Receiver<bool>,
    number: watch::Receiver<u8>,
}

impl Signals {
    /// Listens from now on. What is in hand has this grace.
    pub(super) fn listen(grace: Duration) -> Result<Self, Failed> {
        Self::start(grace)
            .map_err(|error| Failed::Other(format!("cannot listen for signals: {error}")))
    }

    fn start(grace: Duration) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut requests = {
            let _entered = runtime.enter();
            Requests {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            }
        };
        let (asked, stop) = watch::channel(false);
        let (name, number) = watch::channel(0);
        let listen = async move {
            let first = requests.next().await;
            let _ = name.send(first);
            let _ = asked.send(true);
            tokio::select! {
                _ = requests.next() => {}
                () = tokio::time::sleep(grace + LAST) => {}
            }
            exit(128 + i32::from(first));
        };
        let listener = std::thread::Builder::new().name("signals".to_owned());
        listener.spawn(move || runtime.block_on(listen))?;
        Ok(Self { stop, number })
    }

    /// The number of the first; 0 while there is none.
    pub(super) fn number(&self) -> u8 {
        *self.number.borrow()
    }

    /// Waits for the first.
    pub(super) async fn asked(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Does what may be given up at any moment.
    pub(super) async fn unless_asked<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failed>
    where
        Failed: From<E>,
    {
        tokio::select! {
            done = work => Ok(done?),
            () = self.asked() => Err(Failed::Interrupted(self.number())),
        }
    }
}

struct Requests {
    terminate: Signal,
    interrupt: Signal,
}

impl Requests {
    async fn next(&mut self) -> u8 {
        tokio::select! {
            Some(()) = self.terminate.recv() => 15,
            Some(()) = self.interrupt.recv() => 2,
            else => pending().await,
        }
    }
}
