//! Ctrl-C, or its like, while no run goes on that would hear of it, or several do.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// One came.
pub(super) struct Interrupted;

/// Listens to them.
pub(super) struct Interrupts {
    runtime: Runtime,
    signals: [Signal; 2],
}

impl Interrupts {
    pub(super) fn listen() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the runtime: {error}"))?;
        let listen = |kind| {
            let _inside = runtime.enter();
            signal(kind).map_err(|error| format!("cannot listen to signals: {error}"))
        };
        let signals = [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?];
        Ok(Self { runtime, signals })
    }

    /// Whether one has come by now.
    pub(super) fn came(&mut self) -> bool {
        /// So that what has arrived is seen.
        const LOOK: Duration = Duration::from_millis(1);
        let [interrupt, terminate] = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
                () = tokio::time::sleep(LOOK) => false,
            }
        })
    }

    /// Waits for something, unless one comes first.
    pub(super) fn beside<T>(&mut self, other: impl Future<Output = T>) -> Result<T, Interrupted> {
        let [interrupt, terminate] = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => Err(Interrupted),
                _ = terminate.recv() => Err(Interrupted),
                value = other => Ok(value),
            }
        })
    }
}
