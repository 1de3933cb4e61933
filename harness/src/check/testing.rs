//! Histories written by hand: a correct one for a plan, and ways to spoil it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Check, Outcome};
use crate::facts::{AGGREGATOR, Facts, Formula};
use crate::history::{
    EndReason, Event, HeldChunk, Record, Recorder, Reread, SeenAggregate, SeenResult,
};
use crate::ideal::static_range;
use crate::plan::{
    Backend, BrokerSetup, ClusterChoice, Coverage, Environment, Expect, FaultKind, Kernel, Plan,
    PlannedFault, RoleProgram, SCHEMA_VERSION, Settings, Sweep, Target, Trigger, WorkersIn,
};
use crate::results::{Judge, Results};

/// 1,000 parameters in 100 chunks of one second on three workers, and no fault.
pub(crate) fn plan() -> Plan {
    Plan {
        schema_version: SCHEMA_VERSION,
        scenario: "m3-redis-fault".into(),
        description: "One of three workers is killed at 30 %; every parameter counts once.".into(),
        sweep: Sweep {
            start: 0,
            end: 1000,
            chunk_size: 10,
            kernel: Kernel::Reference { work_ms: 100.0 },
        },
        backend: Backend::Redis,
        environment: Environment::Process,
        environment_because: String::new(),
        workers_in: WorkersIn::Process,
        cluster: ClusterChoice::default(),
        broker: BrokerSetup::default(),
        workers: 3,
        seed: 42,
        env: BTreeMap::new(),
        foreign: None,
        coordinator: RoleProgram::Ours,
        aggregator: RoleProgram::Ours,
        defect: None,
        strict: false,
        faults: Vec::new(),
        // Histories have faults of every kind.
        fault_kinds: crate::fault::entries()
            .map(|entry| (entry.name.to_owned(), entry.consequences()))
            .collect(),
        afterwards: None,
        expect: Expect {
            coverage: Coverage::ExactlyOnce,
            dead_letters: 0,
            retries_min: 0,
            recompute: None,
            throughput_min: None,
            duration_max: None,
            efficiency_min: None,
            recovery_max: None,
            finish_max: None,
        },
        stall_after: Duration::from_secs(10),
        timeout: Duration::from_secs(120),
        stall_after_is_set: false,
        timeout_is_set: false,
    }
}

/// The same, with worker 1 killed at 30 %.
pub(crate) fn plan_with_kill() -> Plan {
    let mut plan = plan();
    plan.faults.push(PlannedFault {
        name: "kill-1".into(),
        trigger: Trigger::Progress(30.0),
        every: None,
        kind: FaultKind::Kill,
        target: Target::Worker(1),
        hold: None,
        settings: Settings::default(),
    });
    plan
}

/// The control: no broker, and worker 1 killed at 30 %.
pub(crate) fn static_plan() -> Plan {
    let mut plan = plan_with_kill();
    plan.backend = Backend::Static;
    plan.expect.coverage = Coverage::LostWithWorker;
    plan
}

/// A history, with the plan that it is of.
pub(crate) struct History {
    pub(crate) plan: Plan,
    pub(crate) records: Vec<Record>,
}

/// When the fault of [`plan_with_kill`] strikes.
pub(crate) const STRUCK_S: f64 = 10.8;

impl History {
    /// A correct history: the sweep starts at 0.5 s, each worker commits a chunk a second, and a
    /// planned kill strikes worker 1 at [`STRUCK_S`], whose chunk another takes over.
    pub(crate) fn of(plan: Plan) -> Self {
        let mut history = Self { plan, records: Vec::new() };
        let processes = history.processes();
        history.add(0.0, Event::RunStarted { at: "2026-01-02T03:04:05Z".into() });
        history
            .add(0.1, Event::BrokerReady { broker: "redis-server 8.2 at 127.0.0.1:6379".into() });
        for (n, process) in processes.iter().enumerate() {
            history
                .add(0.2, Event::ProcessStarted { process: process.clone(), pid: 100 + n as u32 });
        }
        history.add(0.5, Event::SweepStarted);
        if history.plan.backend == Backend::Static {
            history.compute_static();
        } else {
            history.compute_queued();
        }
        history.end(&processes);
        // What is told of at once is in the order of time.
        history.records.sort_by(|one, other| one.t_s.total_cmp(&other.t_s));
        history
    }

    fn processes(&self) -> Vec<String> {
        let mut processes: Vec<_> = (0..self.plan.workers).map(|n| format!("worker-{n}")).collect();
        let roles =
            [("coordinator", &self.plan.coordinator), ("aggregator", &self.plan.aggregator)];
        for (name, by) in roles {
            if self.plan.backend != Backend::Static && !by.is_none() {
                processes.push(name.to_owned());
            }
        }
        processes
    }

    fn compute_queued(&mut self) {
        let mut open: VecDeque<u64> = (0..self.plan.sweep.chunks()).collect();
        let mut alive: Vec<u32> = (0..self.plan.workers).collect();
        let kills = !self.plan.faults.is_empty();
        let mut t_s = 0.5;
        while !open.is_empty() {
            let strikes = kills && t_s < STRUCK_S && STRUCK_S < t_s + 1.0;
            let mut again = None;
            for &n in &alive {
                let Some(index) = open.pop_front() else { break };
                if strikes && n == 1 {
                    self.strike(index);
                    again = Some(index);
                } else {
                    self.add(t_s + 1.0 + f64::from(n) / 100.0, self.result(index, n));
                }
            }
            if let Some(index) = again {
                open.push_front(index);
                alive.retain(|n| *n != 1);
            }
            t_s += 1.0;
        }
    }

    fn strike(&mut self, index: u64) {
        let held = HeldChunk { chunk_id: format!("{index:05}"), delivery: 1 };
        self.add(
            STRUCK_S,
            Event::FaultInjected {
                fault: "kill-1".into(),
                kind: "kill".into(),
                target: "worker-1".into(),
                bit: true,
                proof: "process 101 ended by signal 9".into(),
                held: vec![held],
            },
        );
        self.add(
            STRUCK_S + 0.001,
            Event::ProcessExited {
                process: "worker-1".into(),
                pid: 101,
                code: None,
                signal: Some(9),
                said: None,
            },
        );
        self.add(
            STRUCK_S + 0.04,
            Event::TakenOver {
                fault: "kill-1".into(),
                chunk_id: format!("{index:05}"),
                from: "worker-1".into(),
                to: "worker-0".into(),
                after_ms: 40.0,
            },
        );
    }

    fn compute_static(&mut self) {
        let struck = !self.plan.faults.is_empty();
        for n in 0..self.plan.workers {
            let (mut start, end) = static_range(&self.plan, n.into());
            let mut t_s = 0.5;
            while start < end && !(struck && n == 1 && t_s + 1.0 > STRUCK_S) {
                let next = end.min(start + self.plan.sweep.chunk_size);
                t_s += 1.0;
                self.add(t_s, Event::Result(seen(&format!("{n}-{start}"), start, next, n)));
                start = next;
            }
        }
        if struck {
            self.strike(0);
            self.records.retain(|record| !matches!(record.event, Event::TakenOver { .. }));
        }
    }

    fn end(&mut self, processes: &[String]) {
        let facts = self.facts();
        let t_s = facts.last_result_s.unwrap_or(0.5) + 0.1;
        if self.plan.backend != Backend::Static {
            let sum = facts.ledger.implied();
            self.add(
                t_s,
                Event::Aggregate(SeenAggregate {
                    chunks: facts.ledger.chunks_committed(),
                    duplicates_removed: 0,
                    dead_lettered: None,
                    complete: true,
                    count: sum.count,
                    sum: sum.sum,
                    min: sum.min,
                    max: sum.max,
                    avg: sum.avg,
                }),
            );
            let deliveries = facts.takeovers.len() as u64;
            let chunks = facts.takeovers.iter().map(|it| (it.chunk_id.clone(), 1)).collect();
            let lost = BTreeMap::new();
            self.add(t_s, Event::Redelivered { deliveries, chunks, lost });
            self.read_at_the_end(t_s, &facts);
        }
        for (n, process) in processes.iter().enumerate() {
            if facts.exits.iter().all(|exit| exit.process != *process) {
                self.add(
                    t_s,
                    Event::ProcessExited {
                        process: process.clone(),
                        pid: 100 + n as u32,
                        code: Some(0),
                        signal: None,
                        said: None,
                    },
                );
            }
        }
        let lost = !facts.ledger.missing().is_empty();
        let why = if lost { EndReason::WorkersGone } else { EndReason::Complete };
        self.add(t_s + 0.1, Event::RunEnded { why });
    }

    fn read_at_the_end(&mut self, t_s: f64, facts: &Facts) {
        let (chunks, results) = (self.plan.sweep.chunks(), facts.ledger.chunks_committed());
        self.add(t_s, Event::Submitted { chunks, wrong: 0, unreadable: 0, again: 0, bypassed: 0 });
        self.add(t_s, Event::Depths { tasks: 0, results, retry: 0, letters: 0 });
        self.add(
            t_s,
            Event::Reread(Reread {
                place: "the stream ttg:results".into(),
                seen: results,
                stored: results,
                lost: 0,
                taken: 0,
                taken_by_others: 0,
                changed: 0,
                unreadable: 0,
                chunks: Vec::new(),
            }),
        );
    }

    fn result(&self, index: u64, worker: u32) -> Event {
        let (start, end) = self.plan.sweep.chunk(index);
        Event::Result(SeenResult {
            range: None,
            ..seen(&format!("{index:05}"), start, end, worker)
        })
    }

    fn add(&mut self, t_s: f64, event: Event) {
        self.records.push(Record { t_s, event });
    }

    /// Inserts an event where it belongs by its time; before the end of the run, which waits for it.
    pub(crate) fn with(mut self, t_s: f64, event: Event) -> Self {
        if matches!(event, Event::DeadLettered { .. }) {
            // What is seen is there at the end.
            for record in &mut self.records {
                if let Event::Depths { letters, .. } = &mut record.event {
                    *letters += 1;
                }
            }
        }
        let end = self.records.len() - 1;
        let at = self.records[..end].partition_point(|record| record.t_s <= t_s);
        self.records.insert(at, Record { t_s, event });
        let ended_s = &mut self.records[end + 1].t_s;
        *ended_s = ended_s.max(t_s);
        self
    }

    /// Inserts an event before the end of the run, whatever its time.
    pub(crate) fn put_last(mut self, t_s: f64, event: Event) -> Self {
        let end = self.records.len() - 1;
        self.records.insert(end, Record { t_s, event });
        self
    }

    /// Writes it into a new run directory, as a run does, with the plan and the results.
    pub(crate) fn written(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let plan = serde_json::to_vec_pretty(&self.plan).unwrap();
        std::fs::write(dir.path().join(Plan::FILE_NAME), plan).unwrap();
        let mut recorder = Recorder::create(dir.path()).unwrap();
        self.records.iter().for_each(|record| recorder.record(record).unwrap());
        let results = crate::report::json::render(&judged(self));
        std::fs::write(dir.path().join("results.json"), results).unwrap();
        dir
    }

    /// The first result of this chunk.
    pub(crate) fn result_of(&self, id: &str) -> Event {
        let same = |event: &&Event| matches!(event, Event::Result(result) if result.chunk_id == id);
        self.records.iter().map(|record| &record.event).find(same).unwrap().clone()
    }

    /// Leaves out every event that this is true of.
    pub(crate) fn without(mut self, of: impl Fn(&Event) -> bool) -> Self {
        self.records.retain(|record| !of(&record.event));
        self
    }

    /// Leaves out the result of this chunk, and all that says that it was taken over.
    pub(crate) fn without_chunk(self, id: &str) -> Self {
        self.without(|event| match event {
            Event::Result(result) => result.chunk_id == id,
            Event::TakenOver { chunk_id, .. } => chunk_id == id,
            _ => false,
        })
    }

    /// Changes every event.
    pub(crate) fn spoil(mut self, mut change: impl FnMut(&mut Record)) -> Self {
        self.records.iter_mut().for_each(&mut change);
        self
    }

    /// Changes the result of this chunk.
    pub(crate) fn spoil_result(self, id: &str, change: impl Fn(&mut SeenResult)) -> Self {
        self.spoil(|record| match &mut record.event {
            Event::Result(result) if result.chunk_id == id => change(result),
            _ => {}
        })
    }

    /// Changes the aggregate, and with it the exit code of who reported it.
    pub(crate) fn spoil_aggregate(self, change: impl Fn(&mut SeenAggregate)) -> Self {
        let mut is_complete = true;
        self.spoil(|record| match &mut record.event {
            Event::Aggregate(aggregate) => {
                change(aggregate);
                is_complete = aggregate.complete;
            }
            Event::ProcessExited { process, code, .. } if process == AGGREGATOR => {
                *code = Some(i32::from(!is_complete));
            }
            _ => {}
        })
    }

    /// Ends the run for this reason.
    pub(crate) fn ended(self, reason: EndReason) -> Self {
        self.spoil(|record| {
            if let Event::RunEnded { why } = &mut record.event {
                *why = reason;
            }
        })
    }

    /// The history, condensed.
    pub(crate) fn facts(&self) -> Facts {
        let mut facts = Facts::new(&self.plan);
        self.records.iter().for_each(|record| facts.observe(record));
        facts
    }

    /// What this check makes of it.
    pub(crate) fn judged_by(&self, check: Check) -> Outcome {
        check(&self.plan, &self.facts())
    }
}

/// A right result over `[start, end)`.
fn seen(id: &str, start: u64, end: u64, worker: u32) -> SeenResult {
    let right = Formula::Reference.over(start, end).figures();
    SeenResult {
        chunk_id: id.into(),
        range: Some((start, end)),
        worker: format!("worker-{worker}"),
        duration_s: 1.0,
        sum: right.sum,
        count: right.count,
        min: right.min,
        max: right.max,
        avg: right.avg,
    }
}

/// The results of a history.
pub(crate) fn judged(history: &History) -> Results {
    let mut judge = Judge::new(&history.plan);
    history.records.iter().for_each(|record| judge.observe(record));
    judge.conclude()
}

/// An outcome as text: the verdict, the summary, the evidence.
pub(crate) fn told(outcome: &Outcome) -> String {
    let mut text = format!("{}: {}", outcome.verdict, outcome.summary);
    for line in &outcome.evidence {
        text.push_str("\n- ");
        text.push_str(line);
    }
    text
}
