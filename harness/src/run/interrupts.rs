//! What ends a run before its time.

use tokio::signal::unix::{SignalKind, signal};

use super::{RunError, Stage};
use crate::history::EndReason;

/// Ctrl-C, or its like.
pub(super) struct Interrupts([tokio::signal::unix::Signal; 2]);

impl Interrupts {
    /// Listens from now on.
    pub(super) fn listen() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(|error| RunError::Internal(error.to_string()));
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?]))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        let Self([interrupt, terminate]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Why a step is not waited for any longer: somebody has had enough, or a part of the harness has crashed.
pub(super) async fn cut_short(stage: &Stage, interrupts: &mut Interrupts) -> EndReason {
    tokio::select! {
        () = interrupts.next() => EndReason::Interrupted,
        () = stage.until(|now| now.crashed) => EndReason::Crashed,
    }
}
