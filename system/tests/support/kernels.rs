//! Kernels that do what a test needs.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use ttg_system::chunk::Chunk;
use ttg_system::kernel::{Kernel, KernelError};
use ttg_system::stats::Stats;

use super::bench::stats;

/// The reference values, after a time, with failures where they are asked for.
pub(crate) struct Steady {
    work: Duration,
    begun: watch::Sender<u64>,
    failing: Rc<RefCell<HashSet<u64>>>,
    stuck_at: Option<u64>,
    until: Option<watch::Receiver<bool>>,
}

impl Steady {
    pub(crate) fn new(work: Duration) -> Self {
        Self {
            work,
            begun: watch::channel(0).0,
            failing: Rc::default(),
            stuck_at: None,
            until: None,
        }
    }

    /// The first attempt of these chunks fails.
    pub(crate) fn failing_once(self, chunks: impl IntoIterator<Item = u64>) -> Self {
        self.failing.borrow_mut().extend(chunks);
        self
    }

    /// The attempt of this number, counted from 1, never ends.
    pub(crate) fn stuck_at(mut self, attempt: u64) -> Self {
        self.stuck_at = Some(attempt);
        self
    }

    /// Each attempt goes on until then.
    pub(crate) fn until(mut self, then: watch::Receiver<bool>) -> Self {
        self.until = Some(then);
        self
    }

    /// How many chunks were begun.
    pub(crate) fn begun(&self) -> watch::Receiver<u64> {
        self.begun.subscribe()
    }
}

#[async_trait(?Send)]
impl Kernel for Steady {
    async fn run(&mut self, chunk: &Chunk) -> Result<Stats, KernelError> {
        self.begun.send_modify(|begun| *begun += 1);
        if self.stuck_at == Some(*self.begun.borrow()) {
            std::future::pending::<()>().await;
        }
        if let Some(then) = &mut self.until {
            then.wait_for(|is_then| *is_then).await.expect("somebody says when");
        }
        if !self.work.is_zero() {
            tokio::time::sleep(self.work).await;
        }
        if self.failing.borrow_mut().remove(&chunk.index) {
            return Err("the first attempt fails".to_owned().into());
        }
        Ok(stats(chunk))
    }
}
