//! Says that something goes on, where nothing was said for long: whoever reads a pipe has nothing else to
//! tell that the program is alive. On a terminal they see it by its prompt.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::report::silent_for;

/// How long nothing may be said.
const SILENCE: Duration = Duration::from_secs(9);

/// How often to look whether that is over.
const LOOK: Duration = Duration::from_millis(500);

/// Breaks silences until it is dropped.
pub(super) struct Silence(Option<(Sender<()>, JoinHandle<()>)>);

impl Silence {
    /// Breaks them with what this says, to standard error.
    pub(super) fn broken_by(how_far: impl Fn() -> String + Send + 'static) -> Self {
        if io::stderr().is_terminal() {
            return Self(None);
        }
        let (end, ended) = mpsc::channel();
        let watch = move || {
            let mut told = Duration::ZERO;
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let silent = silent_for();
                if silent < told {
                    told = Duration::ZERO;
                }
                if silent >= told + SILENCE {
                    told = silent;
                    crate::report::tell(format_args!("{}", how_far()));
                }
            }
        };
        let thread = std::thread::Builder::new().name("silence".to_owned()).spawn(watch);
        Self(thread.ok().map(|thread| (end, thread)))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
