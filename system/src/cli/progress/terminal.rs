//! The line on a terminal, and what is written above it.

use std::io::{self, IsTerminal};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line that is shown, so that a log can be written above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A line on standard error. It is gone when this is dropped.
pub(super) struct Terminal(ProgressBar);

impl Terminal {
    /// None where standard error is no terminal that can take a line back.
    pub(super) fn find() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|it| it == "dumb");
        if is_dumb || !io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The message is cut off at the terminal's edge.
        let style = ProgressStyle::with_template("{wide_msg}");
        bar.set_style(style.expect("the template is well formed"));
        set(Some(bar.clone()));
        Some(Self(bar))
    }

    pub(super) fn show(&self, line: &str) {
        self.0.set_message(line.to_owned());
        self.0.tick();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        set(None);
        self.0.finish_and_clear();
    }
}

fn set(bar: Option<ProgressBar>) {
    if let Ok(mut shown) = SHOWN.lock() {
        *shown = bar;
    }
}

/// Writes to standard error with the line taken away meanwhile.
pub(crate) fn above_the_line<T>(write: impl FnOnce() -> T) -> T {
    let bar = SHOWN.lock().ok().and_then(|shown| shown.clone());
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}
