//! What is true of every history that was written as things happened, however the system behaves: it
//! begins with the start of the run and ends with its end, times do not go back, every process that
//! was started has ended, and no number is out of its range.

use std::collections::BTreeSet;

use crate::history::{Event, Record};
use crate::plan::{Backend, Environment, FaultKind, Plan, PlannedFault, WorkersIn};
use crate::words::{FirstLines, quoted};

/// How far the clock that results are stamped by may be from the one that the rest is: a clock that
/// is being put right runs up to 0.05 % too fast or too slow.
fn leeway_s(t_s: f64) -> f64 {
    1.0 + t_s / 1000.0
}

/// The greatest process id that Linux knows.
const LAST_PID: u32 = 1 << 22;

/// The greatest signal number that Linux knows.
const LAST_SIGNAL: i32 = 64;

/// Looks at a history, event by event.
#[derive(Debug, Clone)]
pub(super) struct Consistency {
    faults: Vec<PlannedFault>,
    fault_kinds: BTreeSet<String>,
    /// Results are stamped by a clock of this machine.
    is_one_clock: bool,
    /// Processes have ids of this machine.
    is_one_machine: bool,
    begun: bool,
    ended: bool,
    sweep_started: bool,
    /// The last moment that was told of at once.
    now_s: f64,
    /// The latest moment since then that has a time of its own.
    ahead_s: f64,
    living: Vec<(String, u32)>,
    contradictions: FirstLines,
}

impl Consistency {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            faults: plan.faults.clone(),
            fault_kinds: plan.fault_kinds.keys().cloned().collect(),
            is_one_clock: plan.environment == Environment::Process
                || matches!(plan.backend, Backend::Embedded | Backend::Static),
            is_one_machine: plan.environment == Environment::Process
                && plan.workers_in == WorkersIn::Process,
            begun: false,
            ended: false,
            sweep_started: false,
            now_s: 0.0,
            ahead_s: 0.0,
            living: Vec::new(),
            contradictions: FirstLines::default(),
        }
    }

    /// What contradicts itself: nothing, in a history that is as it was written.
    pub(super) fn contradictions(&self) -> Vec<String> {
        self.contradictions.lines()
    }

    /// Takes one event in.
    pub(super) fn observe(&mut self, record: &Record) {
        self.look_at_order(&record.event);
        self.look_at_time(record);
        match &record.event {
            Event::ProcessStarted { process, pid } => self.started(process, *pid),
            Event::ProcessExited { process, pid, code, signal, .. } => {
                self.exited(process, *pid, *code, *signal);
            }
            Event::Stopped { signal, .. } if !is_signal(*signal) => {
                self.note(|| format!("a process was stopped with signal {signal}"));
            }
            Event::SweepStarted if std::mem::replace(&mut self.sweep_started, true) => {
                self.note(|| "the sweep started twice".into());
            }
            Event::FaultInjected { fault, kind, .. } => {
                if FaultKind::named(kind).is_none() {
                    self.note(|| format!("a fault of the kind {:?}, which is none", quoted(kind)));
                } else if !self.fault_kinds.contains(kind) {
                    self.note(|| format!("a fault of the kind {kind}, of which the plan has none"));
                }
                self.is_planned(fault);
            }
            Event::FaultHealed { fault, .. } => self.is_planned(fault),
            Event::TakenOver { fault, after_ms, .. } => {
                self.is_planned(fault);
                if !(0.0..f64::INFINITY).contains(after_ms) {
                    self.note(|| format!("a chunk was taken over after {after_ms} ms"));
                }
            }
            Event::Redelivered { deliveries, chunks, .. } => {
                let sum = chunks.values().fold(0_u64, |sum, times| sum.saturating_add(*times));
                if !chunks.is_empty() && sum != *deliveries {
                    self.note(|| format!("{deliveries} deliveries of which {sum} are named"));
                }
            }
            Event::Result(_) if !self.sweep_started => {
                // Told once: every further result would say the same.
                self.sweep_started = true;
                self.note(|| "there is a result before the sweep started".into());
            }
            Event::RunEnded { .. } => self.ended(),
            _ => {}
        }
    }

    fn note(&mut self, contradiction: impl FnOnce() -> String) {
        self.contradictions.push(contradiction);
    }

    fn look_at_order(&mut self, event: &Event) {
        if self.ended {
            self.note(|| "something was recorded after the end of the run".into());
        }
        let begins = matches!(event, Event::RunStarted { .. });
        if begins == self.begun {
            let twice = self.begun;
            self.note(|| {
                let how = if twice { "starts twice" } else { "does not begin with its start" };
                format!("the run {how}")
            });
        }
        self.begun = true;
    }

    /// What has a time of its own is recorded after it, and so before what is told of at once later.
    fn look_at_time(&mut self, &Record { t_s, ref event }: &Record) {
        if !(0.0..f64::INFINITY).contains(&t_s) {
            return self.note(|| format!("something was recorded at {t_s} s"));
        }
        if event.has_time_of_its_own() {
            self.ahead_s = self.ahead_s.max(t_s);
            return;
        }
        let (now_s, ahead_s) = (self.now_s, self.ahead_s);
        if t_s < now_s {
            self.note(|| format!("the time goes back from {now_s} s to {t_s} s"));
        }
        if self.is_one_clock && ahead_s > t_s + leeway_s(t_s) {
            self.note(|| {
                format!(
                    "what happened at {ahead_s} s was recorded before {t_s} s: a clock was set, or \
                     the history was changed"
                )
            });
        }
        (self.now_s, self.ahead_s) = (now_s.max(t_s), 0.0);
    }

    fn started(&mut self, process: &str, pid: u32) {
        if self.is_one_machine && !(1..=LAST_PID).contains(&pid) {
            self.note(|| format!("{} was started as process {pid}", quoted(process)));
        }
        if self.is_one_machine && self.living.iter().any(|(_, other)| *other == pid) {
            self.note(|| format!("process {pid} was started twice and ended less often"));
        }
        self.living.push((process.to_owned(), pid));
    }

    fn exited(&mut self, process: &str, pid: u32, code: Option<i32>, signal: Option<i32>) {
        let one = self.living.iter().position(|(name, id)| name == process && *id == pid);
        match one {
            Some(at) => drop(self.living.swap_remove(at)),
            None => self
                .note(|| format!("{} (process {pid}) ended, and was not started", quoted(process))),
        }
        let is_code = code.is_none_or(|code| (0..=255).contains(&code));
        let is_one = code.is_none() || signal.is_none();
        if !is_code || !is_one || !signal.is_none_or(is_signal) {
            let how = |what: Option<i32>| what.map_or("none".into(), |it| it.to_string());
            self.note(|| {
                let (code, signal) = (how(code), how(signal));
                format!("{} ended with exit code {code} and signal {signal}", quoted(process))
            });
        }
    }

    fn is_planned(&mut self, strike: &str) {
        if !self.faults.iter().any(|fault| fault.owns(strike)) {
            self.note(|| format!("a fault {:?}, which is not planned", quoted(strike)));
        }
    }

    fn ended(&mut self) {
        self.ended = true;
        for (process, pid) in std::mem::take(&mut self.living) {
            self.note(|| {
                format!("{} (process {pid}) was started, and its end is missing", quoted(&process))
            });
        }
    }
}

fn is_signal(signal: i32) -> bool {
    (1..=LAST_SIGNAL).contains(&signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, plan, plan_with_kill, static_plan};
    use crate::history::EndReason;

    /// What contradicts itself in a history, in one text.
    fn found(history: &History) -> String {
        let mut consistency = Consistency::new(&history.plan);
        history.records.iter().for_each(|record| consistency.observe(record));
        consistency.contradictions().join("\n")
    }

    fn exited(pid: u32, code: Option<i32>, signal: Option<i32>) -> Event {
        Event::ProcessExited { process: "worker-0".into(), pid, code, signal, said: None }
    }

    /// A correct history in which worker 0 ends like this.
    fn ending(code: Option<i32>, signal: Option<i32>) -> String {
        found(&History::of(plan()).spoil(|record| {
            if matches!(&record.event, Event::ProcessExited { process, .. } if process == "worker-0")
            {
                record.event = exited(100, code, signal);
            }
        }))
    }

    #[test]
    fn a_correct_history_does_not_contradict_itself() {
        for plan in [plan(), plan_with_kill(), static_plan()] {
            assert_eq!(found(&History::of(plan)), "");
        }
    }

    #[test]
    fn nothing_comes_before_the_start_or_after_the_end() {
        let mut history = History::of(plan());
        let start = history.records.remove(0);
        insta::assert_snapshot!(found(&history), @"the run does not begin with its start");
        history.records.insert(0, start.clone());
        history.records.insert(1, start);
        insta::assert_snapshot!(found(&history), @"the run starts twice");
        history.records.remove(1);
        let t_s = history.records.last().unwrap().t_s;
        history.records.push(Record {
            t_s,
            event: Event::Retried { attempts: 0, chunks: Default::default() },
        });
        insta::assert_snapshot!(found(&history), @"something was recorded after the end of the run");
    }

    #[test]
    fn a_sweep_starts_once() {
        let history = History::of(plan()).with(40.0, Event::SweepStarted);
        insta::assert_snapshot!(found(&history), @"the sweep started twice");
    }

    #[test]
    fn times_do_not_go_back_and_are_numbers() {
        let retried = || Event::Retried { attempts: 0, chunks: Default::default() };
        let end_s = History::of(plan()).records.last().unwrap().t_s;
        let back = History::of(plan()).put_last(end_s - 1.0, retried());
        insta::assert_snapshot!(found(&back), @"the time goes back from 34.6 s to 33.7 s");
        let before = History::of(plan()).put_last(-1.0, retried());
        insta::assert_snapshot!(found(&before), @"something was recorded at -1 s");
        let never = History::of(plan()).put_last(f64::NAN, retried());
        insta::assert_snapshot!(found(&never), @"something was recorded at NaN s");
    }

    #[test]
    fn a_result_may_be_told_of_late_but_not_before_it_was_there() {
        let result = History::of(plan()).result_of("00003");
        let late = History::of(plan()).put_last(1.5, result.clone());
        assert_eq!(found(&late), "");
        let early = History::of(plan()).put_last(50.0, result.clone());
        assert!(found(&early).starts_with("what happened at 50 s was recorded before 34."));
        let mut elsewhere = plan();
        (elsewhere.environment, elsewhere.backend) = (Environment::External, Backend::Redis);
        assert_eq!(found(&History::of(elsewhere).put_last(50.0, result)), "", "another's clock");
    }

    #[test]
    fn every_start_has_its_end_and_every_end_its_start() {
        let is_of_worker_2 = |event: &Event| matches!(event, Event::ProcessExited { process, .. } if process == "worker-2");
        let endless = History::of(plan()).without(is_of_worker_2);
        insta::assert_snapshot!(found(&endless), @"worker-2 (process 102) was started, and its end is missing");
        let unborn = History::of(plan()).with(40.0, exited(7, Some(0), None));
        insta::assert_snapshot!(found(&unborn), @"worker-0 (process 7) ended, and was not started");
        let twice = Event::ProcessStarted { process: "worker-0".into(), pid: 102 };
        let twice = History::of(plan()).with(20.0, twice);
        insta::assert_snapshot!(found(&twice), @r"
        process 102 was started twice and ended less often
        worker-0 (process 102) was started, and its end is missing
        ");
    }

    #[test]
    fn a_process_ends_in_one_way_that_there_is() {
        for (code, signal) in [(Some(0), None), (Some(255), None), (None, Some(9)), (None, None)] {
            assert_eq!(ending(code, signal), "");
        }
        for (code, signal) in
            [(Some(256), None), (Some(-1), None), (None, Some(0)), (Some(0), Some(9))]
        {
            assert!(ending(code, signal).contains("worker-0 ended with exit code"));
        }
        let stopped = Event::Stopped { process: "worker-0".into(), signal: 65 };
        let stopped = History::of(plan()).with(34.0, stopped);
        insta::assert_snapshot!(found(&stopped), @"a process was stopped with signal 65");
    }

    #[test]
    fn a_strike_is_of_a_planned_fault_and_of_a_kind_that_there_is() {
        let of_another = History::of(plan_with_kill()).spoil(|record| match &mut record.event {
            Event::FaultInjected { kind, .. } => *kind = "hex".into(),
            Event::TakenOver { fault, after_ms, .. } => {
                (*fault, *after_ms) = ("kill-10".into(), -1.0);
            }
            _ => {}
        });
        insta::assert_snapshot!(found(&of_another), @r#"
        a fault of the kind "hex", which is none
        a fault "kill-10", which is not planned
        a chunk was taken over after -1 ms
        "#);
        let numbered = History::of(plan_with_kill()).spoil(|record| {
            if let Event::FaultInjected { fault, .. } = &mut record.event {
                *fault = "kill-1.7".into();
            }
        });
        assert_eq!(found(&numbered), "");
        let mut unlisted = History::of(plan_with_kill());
        unlisted.plan.fault_kinds.clear();
        insta::assert_snapshot!(found(&unlisted), @"a fault of the kind kill, of which the plan has none");
    }

    #[test]
    fn deliveries_are_as_many_as_are_named() {
        let history = History::of(plan_with_kill()).spoil(|record| {
            if let Event::Redelivered { deliveries, .. } = &mut record.event {
                *deliveries += 1;
            }
        });
        insta::assert_snapshot!(found(&history), @"2 deliveries of which 1 are named");
    }

    #[test]
    fn a_run_that_was_ended_in_any_way_is_as_consistent() {
        assert_eq!(found(&History::of(plan()).ended(EndReason::Interrupted)), "");
    }
}
