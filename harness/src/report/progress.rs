//! The live view of a run: how far it is, and what happens to it.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::news::{beginning, news};
use super::state::State;
use crate::history::Record;
use crate::plan::Plan;
use crate::words::seconds;

/// Where there is no terminal, this much run time lies between two lines of progress.
const PLAIN_EVERY_S: f64 = 5.0;

/// And no more than this, whatever happens or does not: who reads a pipe has nothing else to tell
/// that the run is alive.
const SILENCE: Duration = Duration::from_secs(9);

/// How often to look whether that is over.
const LOOK: Duration = Duration::from_millis(500);

/// A bar moves no more often than this.
const BAR_EVERY_S: f64 = 0.05;

/// Shows a run while it goes on: a bar on a terminal, else a line now and then.
#[derive(Debug)]
pub struct Progress {
    shown: Arc<Mutex<Shown>>,
    /// What ends the one who breaks a silence, and himself.
    clock: Option<(Sender<()>, JoinHandle<()>)>,
}

/// What is shown of a run, and where.
struct Shown {
    state: State,
    view: View,
    began: Instant,
    /// When the run's own time began, once it has.
    run_began: Option<Instant>,
    last_line: Instant,
}

enum View {
    Bar { bar: ProgressBar, last_s: f64 },
    Plain { to: Box<dyn Write + Send>, last_s: f64 },
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.view {
            View::Bar { .. } => "Bar",
            View::Plain { .. } => "Plain",
        })
    }
}

impl Progress {
    /// On standard error.
    pub fn stderr(plan: &Plan) -> Self {
        if !io::stderr().is_terminal() {
            return Self::plain(plan, Box::new(io::stderr())).with_clock();
        }
        let draw = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(plan.sweep.params()), draw);
        // The message is cut off at the terminal's edge.
        let style = ProgressStyle::with_template("{spinner} {bar:20} {wide_msg}");
        bar.set_style(style.expect("the template is well formed").progress_chars("█▉▊▋▌▍▎▏ "));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.println(beginning(plan));
        Self::of(plan, View::Bar { bar, last_s: 0.0 }).with_clock()
    }

    fn plain(plan: &Plan, mut to: Box<dyn Write + Send>) -> Self {
        let _ = writeln!(to, "{}", beginning(plan));
        Self::of(plan, View::Plain { to, last_s: 0.0 })
    }

    fn of(plan: &Plan, view: View) -> Self {
        let (state, now) = (State::new(plan), Instant::now());
        let shown = Shown { state, view, began: now, run_began: None, last_line: now };
        Self { shown: Arc::new(Mutex::new(shown)), clock: None }
    }

    /// A thread of its own: whatever keeps the run busy, its silence has an end.
    fn with_clock(mut self) -> Self {
        let shown = Arc::clone(&self.shown);
        let (end, ended) = mpsc::channel();
        let clock = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                lock(&shown).breaks_silence(Instant::now());
            }
        });
        self.clock = clock.ok().map(|clock| (end, clock));
        self
    }

    /// Shows what this event changes.
    pub fn observe(&mut self, record: &Record) {
        lock(&self.shown).observe(record);
    }

    /// Takes the bar away, so that the report can follow.
    pub fn finish(mut self) {
        if let Some((end, clock)) = self.clock.take() {
            drop(end);
            let _ = clock.join();
        }
        if let View::Bar { bar, .. } = &lock(&self.shown).view {
            bar.finish_and_clear();
        }
    }
}

/// Whoever panicked over it, the others go on.
fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shown {
    fn observe(&mut self, record: &Record) {
        if self.run_began.is_none() {
            self.run_began = Some(Instant::now());
        }
        self.state.observe(record);
        let news = news(record, &self.state);
        match &mut self.view {
            View::Bar { bar, last_s } => {
                let told = !news.is_empty();
                news.into_iter().for_each(|line| bar.println(line));
                if !told && self.state.now_s < *last_s + BAR_EVERY_S {
                    return;
                }
                *last_s = self.state.now_s;
                bar.set_position(self.state.facts.ledger.committed().len());
                bar.set_message(self.state.line());
            }
            View::Plain { to, last_s } => {
                // A terminal that is gone is no reason to end a run.
                for line in news {
                    let _ = writeln!(to, "{line}");
                    self.last_line = Instant::now();
                }
                if self.state.now_s >= *last_s + PLAIN_EVERY_S {
                    *last_s = self.state.now_s;
                    self.last_line = Instant::now();
                    let _ = writeln!(to, "{:>8}  {}", seconds(*last_s), self.state.line());
                }
            }
        }
    }

    /// Says how far the run is, where nothing was said for too long.
    fn breaks_silence(&mut self, now: Instant) {
        let silent = now.saturating_duration_since(self.last_line) >= SILENCE;
        let t_s = now.saturating_duration_since(self.run_began.unwrap_or(self.began)).as_secs_f64();
        match &mut self.view {
            View::Bar { bar, .. } => bar.set_message(self.state.line()),
            View::Plain { to, last_s } if silent => {
                self.last_line = now;
                *last_s = last_s.max(t_s);
                let _ = writeln!(to, "{:>8}  {}", seconds(t_s), self.state.line());
            }
            View::Plain { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::check::testing::{History, plan_with_kill};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn without_a_terminal_there_is_a_line_every_five_seconds_and_one_for_each_fault() {
        let history = History::of(plan_with_kill());
        let written = Shared::default();
        let mut progress = Progress::plain(&history.plan, Box::new(written.clone()));
        history.records.iter().for_each(|record| progress.observe(record));
        progress.finish();
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        insta::assert_snapshot!(text, @r"
        m3-redis-fault: redis backend, 3 workers, seed 42
           5.5 s  13 of 100 chunks, 26 params/s, 33 s left, 3 workers
          10.5 s  28 of 100 chunks, 28 params/s, 26 s left, 3 workers
          10.8 s  kill-1: kill worker-1, which held chunk 00031
          10.8 s  kill-1: chunk 00031 is with worker-0 after 40 ms
          15.5 s  39 of 100 chunks, 26 params/s, 23 s left, 2 workers
          20.5 s  49 of 100 chunks, 24 params/s, 21 s left, 2 workers
          25.5 s  59 of 100 chunks, 24 params/s, 17 s left, 2 workers
          30.5 s  69 of 100 chunks, 23 params/s, 13 s left, 2 workers
          35.5 s  79 of 100 chunks, 23 params/s, 9 s left, 2 workers
          40.5 s  89 of 100 chunks, 22 params/s, 5 s left, 2 workers
          45.5 s  99 of 100 chunks, 22 params/s, 0 s left, 2 workers
        ");
    }

    #[test]
    fn a_silence_has_an_end_whatever_goes_on() {
        let written = Shared::default();
        let progress = Progress::plain(&plan_with_kill(), Box::new(written.clone()));
        let began = lock(&progress.shown).began;
        for s in 1..=27 {
            lock(&progress.shown).breaks_silence(began + Duration::from_secs(s));
        }
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        insta::assert_snapshot!(text, @r"
        m3-redis-fault: redis backend, 3 workers, seed 42
           9.0 s  the redis broker starts
          18.0 s  the redis broker starts
          27.0 s  the redis broker starts
        ");
    }

    #[test]
    fn a_clock_ends_with_its_progress() {
        let progress = Progress::plain(&plan_with_kill(), Box::new(Shared::default()));
        let shown = Arc::downgrade(&progress.shown);
        progress.with_clock().finish();
        assert!(shown.upgrade().is_none(), "nobody holds it any more");
    }

    #[test]
    fn a_reader_that_is_gone_does_not_end_the_run() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let history = History::of(plan_with_kill());
        let mut progress = Progress::plain(&history.plan, Box::new(Gone));
        history.records.iter().for_each(|record| progress.observe(record));
    }
}
