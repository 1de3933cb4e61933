//! What of the harness itself crashes while a run goes on: the run then ends at once, and has no
//! verdict, instead of waiting for somebody who will never come.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::Stage;
use crate::check::panic_message;
use crate::history::Event;
use crate::words::quoted;

/// How long a server that is stopped may take to go on.
const LET_GO: Duration = Duration::from_millis(150);

impl Stage {
    /// Does something besides; should it crash, the run ends.
    pub fn spawn(
        self: &Rc<Self>,
        what: String,
        task: impl Future<Output = ()> + 'static,
    ) -> JoinHandle<()> {
        let stage = Rc::clone(self);
        spawn_local(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                stage.has_crashed(&what, panic_message(&*panic));
            }
        })
    }

    /// A part of the harness has crashed.
    pub(super) fn has_crashed(&self, what: &str, said: &str) {
        let what = format!("{what} crashed: {}", quoted(said));
        self.emit(Event::HarnessCrashed { what });
        self.change(|standing| standing.crashed = true);
    }

    /// Undoes what may be in force, since nobody is left to heal it.
    pub(super) async fn let_all_go(&self) {
        self.kept_is_dropped();
        if let Some(server) = self.server() {
            let _ = timeout(LET_GO, server.resume()).await;
        }
    }
}

/// The outcome of what is done, or what it said when it crashed.
pub(super) async fn caught<T>(done: impl Future<Output = T>) -> Result<T, String> {
    let done = AssertUnwindSafe(done).catch_unwind().await;
    done.map_err(|panic| panic_message(&*panic).to_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::task::LocalSet;

    use super::*;
    use crate::check::testing::plan;
    use crate::environment::Fleet;
    use crate::history::Record;

    #[tokio::test]
    async fn a_task_that_panics_ends_the_run_with_what_it_said() {
        let logs = tempfile::tempdir().unwrap();
        let told = Rc::new(RefCell::new(Vec::new()));
        let listener = Rc::clone(&told);
        let listener = move |record: &Record| listener.borrow_mut().push(record.event.clone());
        LocalSet::new()
            .run_until(async {
                let fleet = Fleet::new(logs.path(), None).unwrap();
                let stage = Rc::new(Stage::new(plan(), fleet, None, None, Box::new(listener)));
                let task = async { panic!("at the disco") };
                stage.spawn("fault kill-1".to_owned(), task).await.unwrap();
                stage.until(|now| now.crashed).await;
            })
            .await;
        let what = "fault kill-1 crashed: at the disco".to_owned();
        assert_eq!(*told.borrow(), [Event::HarnessCrashed { what }]);
    }
}
