//! Whether a server that has ended was meant to.

use tokio::sync::watch;

/// The times at which a server is down because a fault says so. Whoever watches for an end that
/// nobody meant waits for them to be over.
#[derive(Debug)]
pub(crate) struct Downtime(watch::Sender<bool>);

impl Default for Downtime {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Downtime {
    /// It is about to be ended, or may end of what is done to it.
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }

    /// It runs again, or could not be started: who watches for its end learns of that.
    pub(crate) fn end(&self) {
        self.0.send_replace(false);
    }

    /// Whether it is down because a fault says so.
    pub(crate) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for an end of the server that nobody meant. `ended` waits for the next one, and says
    /// nothing where that turns out to be of a process that was replaced.
    pub(crate) async fn unmeant<T>(&self, ended: impl AsyncFn() -> Option<T>) -> T {
        loop {
            // The sender is ours, so the wait cannot fail.
            let _ = self.0.subscribe().wait_for(|down| !down).await;
            let end = ended().await;
            if let Some(end) = end.filter(|_| !self.is_on()) {
                return end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn an_end_counts_only_outside_of_a_downtime_and_of_who_is_there() {
        let (ends, heard) = mpsc::unbounded_channel();
        let (down, heard) = (Downtime::default(), RefCell::new(heard));
        let end = || heard.borrow_mut().try_recv();
        let mut watched = Box::pin(down.unmeant(async || {
            std::future::poll_fn(|context| heard.borrow_mut().poll_recv(context)).await.flatten()
        }));
        assert_eq!(watched.as_mut().now_or_never(), None, "it lives");
        down.begin();
        ends.send(Some("killed")).unwrap();
        assert_eq!(watched.as_mut().now_or_never(), None, "it was meant to");
        ends.send(Some("killed again")).unwrap();
        assert_eq!(watched.as_mut().now_or_never(), None, "nobody looks while it is down");
        assert_eq!(end(), Ok(Some("killed again")));
        down.end();
        ends.send(None).unwrap();
        assert_eq!(watched.as_mut().now_or_never(), None, "that was another's");
        ends.send(Some("crashed")).unwrap();
        assert_eq!(watched.as_mut().now_or_never(), Some("crashed"));
    }
}
