//! The live view of a run: how far it is, and what happens to it.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::facts::Facts;
use crate::history::{Event, HeldChunk, Record};
use crate::plan::Plan;
use crate::words::{counted, millis, quoted, quoted_to, seconds};

/// Where there is no terminal, this much run time lies between two lines of progress.
const PLAIN_EVERY_S: f64 = 5.0;

/// A bar moves no more often than this.
const BAR_EVERY_S: f64 = 0.05;

/// Shows a run while it goes on: a bar on a terminal, else a line now and then.
#[derive(Debug)]
pub struct Progress {
    state: State,
    view: View,
}

enum View {
    Bar { bar: ProgressBar, last_s: f64 },
    Plain { to: Box<dyn Write + Send>, last_s: f64 },
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bar { .. } => "Bar",
            Self::Plain { .. } => "Plain",
        })
    }
}

impl Progress {
    /// On standard error.
    pub fn stderr(plan: &Plan) -> Self {
        if !io::stderr().is_terminal() {
            return Self::plain(plan, Box::new(io::stderr()));
        }
        let draw = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(plan.sweep.params()), draw);
        let style = ProgressStyle::with_template("{spinner} {bar:20} {msg}");
        bar.set_style(style.expect("the template is well formed").progress_chars("█▉▊▋▌▍▎▏ "));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.println(beginning(plan));
        Self { state: State::new(plan), view: View::Bar { bar, last_s: 0.0 } }
    }

    fn plain(plan: &Plan, mut to: Box<dyn Write + Send>) -> Self {
        let _ = writeln!(to, "{}", beginning(plan));
        Self { state: State::new(plan), view: View::Plain { to, last_s: 0.0 } }
    }

    /// Shows what this event changes.
    pub fn observe(&mut self, record: &Record) {
        self.state.observe(record);
        let news = news(record, &self.state.facts);
        match &mut self.view {
            View::Bar { bar, last_s } => {
                if let Some(line) = news {
                    bar.println(line);
                }
                if self.state.now_s < *last_s + BAR_EVERY_S {
                    return;
                }
                *last_s = self.state.now_s;
                bar.set_position(self.state.facts.ledger.committed().len());
                bar.set_message(self.state.line());
            }
            View::Plain { to, last_s } => {
                // A terminal that is gone is no reason to end a run.
                if let Some(line) = news {
                    let _ = writeln!(to, "{line}");
                }
                if self.state.now_s >= *last_s + PLAIN_EVERY_S {
                    *last_s = self.state.now_s;
                    let _ = writeln!(to, "{:>8}  {}", seconds(*last_s), self.state.line());
                }
            }
        }
    }

    /// Takes the bar away, so that the report can follow.
    pub fn finish(self) {
        if let View::Bar { bar, .. } = self.view {
            bar.finish_and_clear();
        }
    }
}

/// What is known of a run that goes on.
#[derive(Debug)]
struct State {
    plan: Plan,
    facts: Facts,
    alive: BTreeSet<(String, u32)>,
    now_s: f64,
}

impl State {
    fn new(plan: &Plan) -> Self {
        let (plan, facts) = (plan.clone(), Facts::new(plan));
        Self { plan, facts, alive: BTreeSet::new(), now_s: 0.0 }
    }

    fn observe(&mut self, record: &Record) {
        self.facts.observe(record);
        self.now_s = self.now_s.max(record.t_s);
        match &record.event {
            Event::ProcessStarted { process, pid } if process.starts_with("worker-") => {
                self.alive.insert((process.clone(), *pid));
            }
            Event::ProcessExited { process, pid, .. } => {
                self.alive.remove(&(process.clone(), *pid));
            }
            _ => {}
        }
    }

    fn line(&self) -> String {
        let ledger = &self.facts.ledger;
        let (chunks, of) = (ledger.chunks_committed(), self.plan.sweep.chunks());
        let alive = counted(self.alive.len() as u64, "worker");
        let mut line = format!("{chunks} of {}", counted(of, "chunk"));
        if let Some(rate) = self.rate() {
            let left = self.plan.sweep.params().saturating_sub(ledger.committed().len());
            line += &format!(", {rate:.0} params/s, {:.0} s left", left as f64 / rate);
        }
        format!("{line}, {alive}")
    }

    fn rate(&self) -> Option<f64> {
        let elapsed = self.now_s - self.facts.sweep_started_s?;
        let committed = self.facts.ledger.committed().len();
        (committed > 0 && elapsed > 0.0).then(|| committed as f64 / elapsed)
    }
}

/// What a run begins with: enough to repeat it.
fn beginning(plan: &Plan) -> String {
    let workers = counted(u64::from(plan.workers), "worker");
    format!("{}: {} backend, {workers}, seed {}", plan.scenario, plan.backend, plan.seed)
}

/// What is told of an event the moment it happens, if anything.
fn news(record: &Record, facts: &Facts) -> Option<String> {
    let line = match &record.event {
        Event::FaultInjected { fault, kind, target, bit, proof, held } => {
            let (fault, target, proof) = (quoted(fault), quoted(target), quoted(proof));
            if *bit {
                format!("{fault}: {} {target}{}", quoted(kind), holding(held))
            } else {
                format!("{fault}: did not bite {target} ({proof})")
            }
        }
        Event::FaultHealed { fault, target, seen } => {
            let seen = seen.as_ref().map(|seen| format!(" ({})", quoted(seen)));
            let (fault, target) = (quoted(fault), quoted(target));
            format!("{fault}: over, {target} goes on{}", seen.unwrap_or_default())
        }
        Event::TakenOver { fault, chunk_id, to, after_ms, .. } => {
            let strikes = facts.strikes.iter().filter(|strike| strike.fault == *fault);
            let held: usize = strikes.map(|strike| strike.held.len()).sum();
            let taken = facts.takeovers.iter().filter(|taken| taken.fault == *fault).count();
            let (fault, after) = (quoted(fault), millis(*after_ms));
            match held {
                0 | 1 => {
                    let (id, to) = (quoted(chunk_id), quoted(to));
                    format!("{fault}: chunk {id} is with {to} after {after}")
                }
                // One line for many chunks, once the last of them is safe.
                _ if taken < held => return None,
                _ => format!("{fault}: {held} chunks are with others after {after}"),
            }
        }
        Event::Waits { why: Some(why) } => quoted_to(why, 400),
        Event::Waits { why: None } => "nothing is waited for any more".to_owned(),
        _ => return None,
    };
    Some(format!("{:>8}  {line}", seconds(record.t_s)))
}

fn holding(held: &[HeldChunk]) -> String {
    match held {
        [] => String::new(),
        [one] => format!(", which held chunk {}", quoted(&one.chunk_id)),
        many => format!(", which held {}", counted(many.len() as u64, "chunk")),
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
