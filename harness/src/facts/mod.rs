//! The history, condensed: all that checks and reports look at. What it keeps grows with faults
//! and processes, and by a few bytes with each chunk.

mod consistency;
mod failures;
mod final_reading;
mod intervals;
mod ledger;
mod letters;
mod oracle;
mod paces;
mod submitted;
mod unexplained_retries;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::{
    EndReason, Event, HeldChunk, PartialAggregate, Record, Reread, SeenAggregate,
};
use crate::plan::{BROKER, Consequences, Ends, FaultKind, Plan};

use consistency::Consistency;
pub use failures::{Failures, StillHeld};
pub use final_reading::{ChangedResult, OpenTask};
pub use intervals::IntervalSet;
pub use ledger::{Duplicates, Ledger, Ranges, Tally, first_ranges};
pub use oracle::{Formula, Reported, Yield};
pub use paces::{Paces, Slowed};
pub use submitted::Submitted;
pub use unexplained_retries::UnexplainedRetries;

/// How far two moments may seem to be the wrong way round: a broker's stamp is of its millisecond, and
/// the run began somewhere within one.
const RESOLUTION_S: f64 = 0.002;

/// The time between two moments. The history tells them to a ten-thousandth of a second; what the
/// subtraction makes of that beyond is no measurement.
pub(crate) fn span_s(from_s: f64, to_s: f64) -> f64 {
    ((to_s - from_s) * 1e4).round() / 1e4
}

/// A fault, as it was carried out on one target.
#[derive(Debug, Clone)]
pub struct Strike {
    /// Its name in the plan.
    pub fault: String,
    /// Its kind.
    pub kind: String,
    /// What that may leave behind, if the plan has any of its kind.
    pub consequences: Option<Consequences>,
    /// The process, or what was looked for where there was none.
    pub target: String,
    /// When.
    pub t_s: f64,
    /// Whether it was proved to have taken effect.
    pub bit: bool,
    /// The proof, or why there is none.
    pub proof: String,
    /// What the target held uncommitted.
    pub held: Vec<HeldChunk>,
    /// When it was healed.
    pub healed_s: Option<f64>,
}

impl Strike {
    /// Whether it ended its target's process.
    pub fn ends_process(&self) -> bool {
        self.bit && self.ends() != Ends::No
    }

    /// Whether it ended the broker, or moved it to another node: then what it had not written yet is gone.
    pub fn ends_broker(&self) -> bool {
        let ends = [FaultKind::Kill, FaultKind::Restart, FaultKind::Wipe];
        let ends = FaultKind::named(&self.kind).is_some_and(|kind| ends.contains(&kind));
        self.is_on_broker() && (ends || self.target != BROKER)
    }

    /// What it does to a process.
    pub fn ends(&self) -> Ends {
        self.consequences.as_ref().map_or(Ends::No, |it| it.ends)
    }

    /// Whether it struck the broker, or a node that may have had it.
    pub fn is_on_broker(&self) -> bool {
        self.bit && (self.target == BROKER || self.is_on_node())
    }

    /// Whether it is one of a node, with all that runs there.
    pub fn is_on_node(&self) -> bool {
        self.consequences.as_ref().is_some_and(|it| it.on_nodes)
    }

    /// Whether it is one of what is between a process and the broker.
    pub fn is_of_network(&self) -> bool {
        FaultKind::named(&self.kind).is_some_and(FaultKind::is_of_network)
    }

    /// Whether it kept this process from its broker at some time from `since` to `until`.
    pub fn cuts_off(&self, process: &str, since: f64, until: f64) -> bool {
        let Some(consequences) = &self.consequences else { return false };
        let is_on_its_way = self.is_of_network() && self.target == process;
        let is_on_broker = self.target == BROKER || self.is_on_node();
        // What need not last is over at once; but a broker that was ended comes back, which is told.
        let lasts = is_on_broker || consequences.goes_on;
        let unhealed_s = if lasts { f64::INFINITY } else { self.t_s };
        let healed_s = self.healed_s.unwrap_or(unhealed_s);
        self.bit && (is_on_its_way || is_on_broker) && self.t_s <= until && since <= healed_s
    }

    /// What it did to its target, as in `which was killed at 3.1 s`.
    pub fn did(&self) -> &str {
        self.consequences.as_ref().map_or(&*self.kind, |it| &*it.did)
    }
}

/// How much is in each queue, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depths {
    /// Tasks that nobody has settled.
    pub tasks: u64,
    /// Results.
    pub results: u64,
    /// Tasks that wait for their next attempt.
    pub retry: u64,
    /// Dead letters.
    pub letters: u64,
}

/// A chunk that came from a struck worker to another.
#[derive(Debug, Clone)]
pub struct TakeOver {
    /// Name of the fault.
    pub fault: String,
    /// The chunk's id.
    pub chunk_id: String,
    /// The worker that was struck.
    pub from: String,
    /// The worker that has it now.
    pub to: String,
    /// Milliseconds from the strike.
    pub after_ms: f64,
}

/// The end of a process.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Whose.
    pub process: String,
    /// When.
    pub t_s: f64,
    /// Exit code, where it exited.
    pub code: Option<i32>,
    /// Signal, where one ended it.
    pub signal: Option<i32>,
    /// What it said last.
    pub said: Option<String>,
}

impl Exit {
    /// Whether the process ended as one that is done.
    pub fn is_clean(&self) -> bool {
        self.code == Some(0)
    }
}

/// A report of the aggregator.
#[derive(Debug, Clone)]
pub struct Report {
    /// When it was seen.
    pub t_s: f64,
    /// How many aggregators had been started by then: whose report it is.
    pub life: usize,
    /// What it says.
    pub says: SeenAggregate,
}

/// The process that combines results.
pub const AGGREGATOR: &str = "aggregator";

/// The history, condensed.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When the first task was seen.
    pub sweep_started_s: Option<f64>,
    /// When the last result was committed.
    pub last_result_s: Option<f64>,
    /// When the last chunk was committed, or told to be dead.
    pub last_settled_s: Option<f64>,
    /// How many dead letters were replayed, where that was tried.
    pub replayed: Option<u64>,
    /// When and why the harness stopped watching.
    pub ended: Option<(f64, EndReason)>,
    /// The cluster on which everything ran, and its broker there: for people.
    pub cluster: Option<(String, Option<String>)>,
    /// Why the history cannot be relied on, if it cannot.
    pub flaw: Option<String>,
    /// Why the history does not prove itself, where it was read back and does not. What it shows to
    /// be wrong is wrong all the same.
    pub unsealed: Option<String>,
    fault_kinds: BTreeMap<String, Consequences>,
    consistency: Consistency,
    /// What the machine lacked, if it did.
    pub lack: Option<String>,
    /// What of the harness itself crashed, if something did.
    pub crash: Option<String>,
    /// Why attempts failed.
    pub failures: Failures,
    /// Who had what when the watching of an open sweep ended.
    pub still_held: Option<StillHeld>,
    /// What became of every parameter.
    pub ledger: Ledger,
    /// How long chunks took that were to take longer.
    pub paces: Paces,
    /// What was waited for last before the first task was there.
    pub waited_for: Option<String>,
    /// Faults, as they were carried out.
    pub strikes: Vec<Strike>,
    /// Chunks that found another worker.
    pub takeovers: Vec<TakeOver>,
    /// When a process of which name was started.
    pub starts: Vec<(String, f64)>,
    /// How processes ended, up to the end of the run: what is ended after it, the harness ended.
    pub exits: Vec<Exit>,
    /// Processes that the harness told to end because the run was over, and when.
    pub stops: Vec<(String, f64)>,
    /// Every report of the aggregator.
    pub reports: Vec<Report>,
    /// The last of them.
    pub aggregate: Option<SeenAggregate>,
    /// What a foreign aggregator reported with some of it left out: all that it called complete, and the
    /// last.
    pub partial_aggregates: Vec<PartialAggregate>,
    /// Why the first of them cannot be read that cannot.
    pub unreadable_report: Option<String>,
    /// How much was in each queue when the sweep was over.
    pub depths: Option<Depths>,
    /// Attempts that failed and were made again.
    pub retried: Option<u64>,
    /// Deliveries beyond the first of each chunk.
    pub redelivered: Option<u64>,
    /// How many of which chunk, by its index, where that can excuse a second result.
    pub redelivered_chunks: BTreeMap<u64, u64>,
    /// How many of them because the connection before was seen to be gone.
    pub lost_deliveries: BTreeMap<u64, u64>,
    /// The tasks that are at the broker at the end.
    pub submitted: Submitted,
    /// Attempts that no failure explains.
    pub unexplained_retries: UnexplainedRetries,
    /// Tasks that were open at the end, as far as they are named.
    pub open_tasks: Vec<OpenTask>,
    /// Who was seen last with a chunk that has neither a result nor a dead letter, by its id.
    pub last_seen: BTreeMap<String, String>,
    /// Stored results that were not seen so, as far as they are named.
    pub changed: Vec<ChangedResult>,
    /// What is stored at the end.
    pub reread: Option<Reread>,
}

/// By the index of a chunk what is said by its id.
fn by_index(ledger: &Ledger, by_id: &BTreeMap<String, u64>) -> Vec<(u64, u64)> {
    by_id.iter().filter_map(|(id, times)| Some((ledger.index(id)?, *times))).collect()
}

impl Facts {
    /// Nothing is known yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            sweep_started_s: None,
            last_result_s: None,
            last_settled_s: None,
            replayed: None,
            ended: None,
            cluster: None,
            flaw: None,
            unsealed: None,
            fault_kinds: plan.fault_kinds.clone(),
            consistency: Consistency::new(plan),
            lack: None,
            crash: None,
            failures: Failures::default(),
            still_held: None,
            ledger: Ledger::new(plan),
            paces: Paces::new(plan),
            waited_for: None,
            strikes: Vec::new(),
            takeovers: Vec::new(),
            starts: Vec::new(),
            exits: Vec::new(),
            stops: Vec::new(),
            reports: Vec::new(),
            aggregate: None,
            partial_aggregates: Vec::new(),
            unreadable_report: None,
            depths: None,
            retried: None,
            redelivered: None,
            redelivered_chunks: BTreeMap::new(),
            lost_deliveries: BTreeMap::new(),
            submitted: Submitted::default(),
            unexplained_retries: UnexplainedRetries::new(plan),
            open_tasks: Vec::new(),
            last_seen: BTreeMap::new(),
            changed: Vec::new(),
            reread: None,
        }
    }

    /// Takes one event in.
    pub fn observe(&mut self, record: &Record) {
        let t_s = record.t_s;
        self.consistency.observe(record);
        match &record.event {
            Event::Waits { why: Some(why) } if self.sweep_started_s.is_none() => {
                self.waited_for = Some(why.clone());
            }
            Event::RunStarted { .. } | Event::Waits { .. } => {}
            Event::ClusterReady { cluster } => self.cluster = Some((cluster.clone(), None)),
            Event::BrokerReady { broker } => {
                if let Some((_, of)) = &mut self.cluster {
                    *of = Some(broker.clone());
                }
            }
            Event::ProcessStarted { process, .. } => self.starts.push((process.clone(), t_s)),
            Event::ProcessExited { process, code, signal, said, .. } if self.ended.is_none() => {
                self.exits.push(Exit {
                    process: process.clone(),
                    t_s,
                    code: *code,
                    signal: *signal,
                    said: said.clone(),
                });
            }
            Event::ProcessExited { .. } => {}
            Event::SweepStarted => self.sweep_started_s = Some(t_s),
            Event::Result(result) => {
                self.last_result_s = Some(self.last_result_s.map_or(t_s, |last| last.max(t_s)));
                self.settled(t_s);
                if let Some(index) = self.ledger.index(&result.chunk_id) {
                    self.paces.add(index, result);
                }
                self.ledger.result(t_s, result);
            }
            Event::Recomputed(result) => self.ledger.recomputed(result),
            Event::NotRecomputed { chunk_id, range, reason } => {
                self.ledger.not_recomputed(chunk_id, *range, reason);
            }
            Event::UnreadableResult { reason } => self.ledger.unreadable(t_s, reason),
            Event::Attempts { failed, reason, .. } => {
                self.failures.attempts(*failed, reason.as_deref());
            }
            Event::StillHeld { workers, chunks } => {
                self.still_held = Some(StillHeld { workers: workers.clone(), chunks: *chunks });
            }
            Event::MachineLacks { what } => {
                self.lack.get_or_insert_with(|| what.clone());
            }
            Event::HarnessCrashed { what } => {
                self.crash.get_or_insert_with(|| what.clone());
            }
            Event::DeadLettered { chunk_id, range, reason, .. } => {
                self.settled(t_s);
                self.failures.letter(reason);
                self.ledger.dead_letter(chunk_id.as_deref(), *range, reason);
            }
            Event::Replayed { letters } => {
                self.replayed = Some(self.replayed.unwrap_or(0) + letters);
                self.ledger.replayed();
                self.failures.replayed();
            }
            Event::FaultInjected { fault, kind, target, bit, proof, held } => {
                self.strikes.push(Strike {
                    fault: fault.clone(),
                    kind: kind.clone(),
                    consequences: self.fault_kinds.get(kind).cloned(),
                    target: target.clone(),
                    t_s,
                    bit: *bit,
                    proof: proof.clone(),
                    held: held.clone(),
                    healed_s: None,
                });
            }
            Event::FaultHealed { fault, target, seen } => {
                self.heal(fault, target, seen.as_deref(), t_s);
            }
            Event::TakenOver { fault, chunk_id, from, to, after_ms } => {
                self.takeovers.push(TakeOver {
                    fault: fault.clone(),
                    chunk_id: chunk_id.clone(),
                    from: from.clone(),
                    to: to.clone(),
                    after_ms: *after_ms,
                });
            }
            Event::UnreadableReport { reason } => {
                self.unreadable_report.get_or_insert_with(|| reason.clone());
            }
            Event::PartialAggregate(report) => {
                // How far one had come is nothing that it stands by once it has said more.
                self.partial_aggregates
                    .pop_if(|last| last.complete != Some(true) || last == report);
                self.partial_aggregates.push(report.clone());
            }
            Event::Aggregate(says) => {
                let life = self.starts.iter().filter(|(name, _)| name == AGGREGATOR).count();
                self.reports.push(Report { t_s, life, says: says.clone() });
                self.aggregate = Some(says.clone());
            }
            &Event::Depths { tasks, results, retry, letters } => {
                self.depths = Some(Depths { tasks, results, retry, letters });
            }
            Event::Retried { attempts, chunks } => {
                self.retried = Some(self.retried.unwrap_or(0) + attempts);
                for (id, failures) in chunks {
                    self.unexplained_retries.observe(self.ledger.index(id), id, *failures);
                }
            }
            Event::Redelivered { deliveries, chunks, lost } => {
                self.redelivered = Some(self.redelivered.unwrap_or(0) + deliveries);
                self.redelivered_chunks.extend(by_index(&self.ledger, chunks));
                self.lost_deliveries.extend(by_index(&self.ledger, lost));
            }
            Event::Submitted { .. } | Event::UnreadableTask { .. } => {
                self.submitted.observe(self.ledger.sweep(), None, &record.event);
            }
            Event::WrongTask { chunk_id, .. } | Event::Resubmitted { chunk_id, .. } => {
                let index = self.ledger.index(chunk_id);
                self.submitted.observe(self.ledger.sweep(), index, &record.event);
            }
            Event::OpenTask { chunk_id, holder } => {
                let (chunk_id, holder) = (chunk_id.clone(), holder.clone());
                self.open_tasks.push(OpenTask { chunk_id, holder });
            }
            Event::LastSeen { chunk_id, holder } => {
                self.last_seen.insert(chunk_id.clone(), holder.clone());
            }
            Event::Reread(reread) => self.reread = Some(reread.clone()),
            Event::Changed { chunk_id, was, is, worker } => self.changed.push(ChangedResult {
                chunk_id: chunk_id.clone(),
                was: *was,
                is: *is,
                worker: worker.clone(),
            }),
            Event::Stopped { process, .. } => self.stops.push((process.clone(), t_s)),
            Event::BrokerLost { reason } => self.flaw = Some(reason.clone()),
            Event::RunEnded { why } => self.ended = Some((t_s, *why)),
        }
    }

    fn settled(&mut self, t_s: f64) {
        self.last_settled_s = Some(self.last_settled_s.map_or(t_s, |last| last.max(t_s)));
    }

    fn heal(&mut self, fault: &str, target: &str, seen: Option<&str>, t_s: f64) {
        let struck = |strike: &&mut Strike| {
            strike.fault == fault && strike.target == target && strike.healed_s.is_none()
        };
        if let Some(strike) = self.strikes.iter_mut().find(struck) {
            strike.healed_s = Some(t_s);
            if let Some(seen) = seen {
                strike.proof += &format!(", {seen}");
            }
        }
    }

    /// How the aggregators ended, the first that was started first.
    pub fn aggregator_exits(&self) -> impl Iterator<Item = &Exit> {
        self.exits.iter().filter(|exit| exit.process == AGGREGATOR)
    }

    /// What the aggregator that ended so had reported, in the order of its reports.
    pub fn reports_before(&self, exit: &Exit) -> impl Iterator<Item = &Report> {
        let before = self.aggregator_exits().position(|it| std::ptr::eq(it, exit));
        let life = before.map_or(usize::MAX, |before| before + 1);
        self.reports.iter().filter(move |report| report.life == life)
    }

    /// Whether the harness itself had told the process to end by then.
    pub fn was_stopped(&self, exit: &Exit) -> bool {
        self.stops.iter().any(|(name, t_s)| *name == exit.process && *t_s <= exit.t_s)
    }

    /// Where the history contradicts itself.
    pub fn contradictions(&self) -> Vec<String> {
        self.consistency.contradictions()
    }

    /// Whether the run was watched to its end: what is missing then will not come. A run that a time
    /// limit ended might have gone on.
    pub fn is_final(&self) -> bool {
        let cut_off = matches!(
            self.ended,
            None | Some((_, EndReason::Interrupted | EndReason::Crashed | EndReason::TimedOut))
        );
        self.flaw.is_none() && !cut_off && self.left_before_the_sweep().is_empty()
    }

    /// Workers that left in good order before the first task was there, where nobody committed anything
    /// afterwards: then nothing was asked of those who might have.
    pub fn left_before_the_sweep(&self) -> Vec<&str> {
        if !self.ledger.committed().is_empty() {
            return Vec::new();
        }
        let begun_s = self.sweep_started_s.unwrap_or(f64::INFINITY);
        let early = self.exits.iter().filter(|exit| {
            let struck = |it: &Strike| it.target == exit.process && it.t_s <= exit.t_s;
            exit.process.starts_with("worker-")
                && exit.is_clean()
                && exit.t_s < begun_s
                && !self.was_stopped(exit)
                && !self.strikes.iter().any(struck)
        });
        early.map(|exit| &*exit.process).collect()
    }

    /// Seconds from the first task submitted to the last result committed, where that can be measured.
    pub fn wall_s(&self) -> Option<f64> {
        let wall_s = span_s(self.sweep_started_s?, self.last_result_s?);
        Some(wall_s).filter(|wall_s| *wall_s > 0.0)
    }

    /// Whether all this took less time than can be measured.
    pub fn took_no_time(&self) -> bool {
        let span = self.sweep_started_s.zip(self.last_result_s);
        span.is_some_and(|(from, to)| (-RESOLUTION_S..=0.0).contains(&span_s(from, to)))
    }

    /// Whether a strike came when nothing was left to be done: that tests nothing.
    pub fn came_too_late(&self, strike: &Strike) -> bool {
        let is_later = |last_s| span_s(last_s, strike.t_s) > RESOLUTION_S;
        self.last_settled_s.is_some_and(is_later) && self.ledger.missing().is_empty()
    }

    /// Whether a process of this name was there just before that moment.
    pub fn was_there(&self, process: &str, t_s: f64) -> bool {
        let starts = self.starts.iter().filter(|(name, at_s)| name == process && *at_s < t_s);
        let ends = self.exits.iter().filter(|exit| exit.process == process && exit.t_s < t_s);
        starts.count() > ends.count()
    }

    /// Whether nothing was left to do for anybody at the end, as far as the queues tell.
    pub fn nothing_is_open(&self) -> bool {
        self.depths.is_some_and(|depths| depths.tasks + depths.retry == 0)
    }

    /// What became of a process, as in `was killed at 3.1 s`, if something did.
    pub fn fate(&self, process: &str) -> Option<String> {
        let at = crate::words::seconds;
        let strike = self.strikes.iter().rfind(|strike| strike.bit && strike.target == process);
        if let Some(strike) = strike {
            return Some(format!("was {} at {}", strike.did(), at(strike.t_s)));
        }
        let exit = self.exits.iter().rfind(|exit| exit.process == process)?;
        Some(match (exit.code, exit.signal) {
            (Some(0), _) => format!("left at {}", at(exit.t_s)),
            (Some(code), _) => format!("exited with code {code} at {}", at(exit.t_s)),
            (None, Some(signal)) => format!("was ended by signal {signal} at {}", at(exit.t_s)),
            (None, None) => format!("ended at {}", at(exit.t_s)),
        })
    }
}
