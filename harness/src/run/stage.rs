//! What everything in a run shares: the plan, the processes, the broker as an onlooker sees it,
//! and where the sweep stands.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::Instant;
use ttg_system::queue::Broker;

use super::headway::Headway;
use super::links::Links;
use super::looks::Looks;
use super::programs::program;
use super::reports::{self, Reports};
use super::settled::Settled;
use super::strain::Strain;
use super::tap;
use crate::environment::{BrokerProcess, Exit, Fleet, Process, Server};
use crate::facts::AGGREGATOR;
use crate::history::{Event, Record};
use crate::plan::{Backend, Environment, Plan, PlannedFault, Trigger, percent_of};

/// Where the sweep stands, as seen from outside.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The first task is there.
    pub begun: bool,
    /// Parameters in the results so far.
    pub params: u64,
    /// Nothing is left to do.
    pub complete: bool,
    /// How often everything was read that there was.
    pub readings: u64,
    /// Faults that are being carried out.
    pub in_flight: usize,
    /// Faults that have struck, and healed where they heal.
    pub struck: BTreeSet<String>,
    /// Processes that were started, ever.
    pub starts: u64,
    /// Processes whose end is recorded.
    pub exits: u64,
    /// Their process ids.
    pub ended: BTreeSet<u32>,
    /// Static workers whose whole output is read.
    pub outputs_read: u64,
    /// Nothing more is to be done to anybody.
    pub over: bool,
    /// A part of the harness itself has crashed.
    pub crashed: bool,
}

impl Standing {
    /// Whether faults have to leave everybody alone from now on.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

/// Who is told what happens.
pub(super) type Listener = Box<dyn FnMut(&Record)>;

/// The shared state of one run, for the faults, the observers and the conductor.
pub struct Stage {
    /// What must happen.
    pub plan: Plan,
    /// The processes.
    pub fleet: Fleet,
    pub(super) broker: Option<Rc<dyn Broker>>,
    pub(super) broker_process: Option<BrokerProcess>,
    standing: watch::Sender<Standing>,
    pub(super) headway: Headway,
    pub(super) strain: Strain,
    began: Instant,
    began_ms: i64,
    listener: RefCell<Listener>,
    random: RefCell<fastrand::Rng>,
    pub(super) links: Links,
    /// What is in force until a fault heals, by the fault and its target.
    kept: RefCell<HashMap<(String, String), Box<dyn Any>>>,
    pub(super) looks: Looks,
    pub(super) settled: RefCell<Settled>,
    pub(super) reports: Reports,
    broker_turn: Mutex<()>,
    replacements: Mutex<()>,
    /// What has to be added to the broker's clock to have ours, in milliseconds.
    skew_ms: Cell<i64>,
}

impl Stage {
    pub(super) fn new(
        plan: Plan,
        fleet: Fleet,
        broker_process: Option<BrokerProcess>,
        broker: Option<Rc<dyn Broker>>,
        listener: Listener,
    ) -> Self {
        let (seed, looks) = (plan.seed, Looks::at(broker.clone()));
        let settled = RefCell::new(Settled::none_of(plan.sweep.chunks()));
        Self {
            plan,
            fleet,
            broker,
            broker_process,
            standing: watch::Sender::new(Standing::default()),
            headway: Headway::none(),
            strain: Strain::here(),
            began: Instant::now(),
            began_ms: jiff::Timestamp::now().as_millisecond(),
            listener: RefCell::new(listener),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            links: Links::default(),
            kept: RefCell::default(),
            looks,
            settled,
            reports: Reports::default(),
            broker_turn: Mutex::default(),
            replacements: Mutex::default(),
            skew_ms: Cell::new(0),
        }
    }

    /// Something happened just now.
    pub fn emit(&self, event: Event) {
        self.emit_at(Instant::now(), event);
    }

    /// Something happened at that moment.
    pub fn emit_at(&self, at: Instant, event: Event) {
        let t_s = at.saturating_duration_since(self.began).as_secs_f64();
        (self.listener.borrow_mut())(&Record { t_s: (t_s * 1e4).round() / 1e4, event });
    }

    /// Something happened at that moment of the broker's clock.
    pub(super) fn emit_at_ms(&self, at_ms: i64, event: Event) {
        let t_s = (at_ms + self.skew_ms.get() - self.began_ms).max(0) as f64 / 1000.0;
        (self.listener.borrow_mut())(&Record { t_s, event });
    }

    /// The first task is there, and was seen at once: of another machine's clock, that tells how wrong
    /// it is.
    pub(super) fn first_task_seen(&self, at_ms: i64) {
        if self.plan.environment != Environment::Kubernetes {
            return self.emit_at_ms(at_ms, Event::SweepStarted);
        }
        if self.plan.backend == Backend::Redis {
            // Its results have the server's time; those of RabbitMQ have ours.
            self.skew_ms.set(jiff::Timestamp::now().as_millisecond() - at_ms);
        }
        self.emit(Event::SweepStarted);
    }

    /// Changes where the sweep stands, and lets everybody look who waits.
    pub fn change(&self, change: impl FnOnce(&mut Standing)) {
        self.standing.send_modify(change);
    }

    /// Where the sweep stands.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until it stands so.
    pub async fn until(&self, so: impl FnMut(&Standing) -> bool) {
        // The sender is ours, so the wait cannot fail.
        let _ = self.standing.subscribe().wait_for(so).await;
    }

    /// Waits until every process has ended, and its end is recorded.
    pub(super) async fn until_all_left(&self) {
        self.until(|standing| standing.exits == standing.starts).await;
    }

    /// Whether this share of the sweep is committed.
    pub fn has_come_to(&self, percent: f64, now: &Standing) -> bool {
        now.params >= percent_of(self.plan.sweep.params(), percent)
    }

    /// A fault is being carried out from now on.
    pub fn fault_begins(&self) {
        self.change(|standing| standing.in_flight += 1);
    }

    /// A fault has struck, and healed where it heals. What it held up has all the time again.
    pub fn fault_is_over(&self, name: &str) {
        self.headway.waits_anew();
        self.change(|standing| {
            standing.in_flight -= 1;
            standing.struck.insert(name.to_owned());
        });
    }

    /// Whether a fault strikes still, although nothing is committed any more.
    pub(super) fn expects_fault(&self, now: &Standing) -> bool {
        self.plan.faults.iter().any(|fault| self.strikes_yet(fault, now))
    }

    fn strikes_yet(&self, fault: &PlannedFault, now: &Standing) -> bool {
        !now.struck.contains(&fault.name)
            && match &fault.trigger {
                Trigger::Start | Trigger::Time(_) => now.begun,
                Trigger::Submitted(_) => false,
                Trigger::Progress(percent) => self.has_come_to(*percent, now),
                Trigger::After(name) => {
                    now.struck.contains(name)
                        || self
                            .plan
                            .faults
                            .iter()
                            .any(|other| other.name == *name && self.strikes_yet(other, now))
                }
            }
    }

    /// One of several, by the seed.
    pub fn draw<T>(&self, of: Vec<T>) -> Option<T> {
        if of.is_empty() {
            return None;
        }
        let at = self.random.borrow_mut().usize(..of.len());
        of.into_iter().nth(at)
    }

    /// A number, by the seed.
    pub fn draw_number(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    /// A number below this, by the seed.
    pub fn draw_below(&self, end: u64) -> u64 {
        self.random.borrow_mut().u64(..end)
    }

    /// A number from 0 to below 1, by the seed.
    pub fn draw_share(&self) -> f64 {
        self.random.borrow_mut().f64()
    }

    /// Keeps what is in force until a fault heals.
    pub fn keep(&self, fault: &PlannedFault, target: &str, what: Box<dyn Any>) {
        self.kept.borrow_mut().insert((fault.name.clone(), target.to_owned()), what);
    }

    /// What was kept for a fault and its target.
    pub fn take_kept(&self, fault: &PlannedFault, target: &str) -> Option<Box<dyn Any>> {
        self.kept.borrow_mut().remove(&(fault.name.clone(), target.to_owned()))
    }

    /// What was kept is in force no more.
    pub(super) fn kept_is_dropped(&self) {
        self.kept.take();
    }

    /// The broker's server, where a fault can strike it.
    pub fn server(&self) -> Option<&dyn Server> {
        self.broker_process.as_ref().and_then(BrokerProcess::server)
    }

    /// Host and port by which a process in a container reaches the broker.
    pub fn broker_inside(&self) -> Option<(String, u16)> {
        self.broker_process.as_ref().and_then(BrokerProcess::inside)
    }

    /// Waits until nobody else strikes the server.
    pub async fn broker_turn(&self) -> MutexGuard<'_, ()> {
        self.broker_turn.lock().await
    }

    /// Chunks that are submitted, where that can be known just now.
    pub async fn submitted(&self) -> Option<u64> {
        let standing = self.broker.as_ref()?.standing().await;
        standing.ok().map(|standing| standing.submitted)
    }

    /// Starts the process of this name, with everything that watches it.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub async fn start(self: &Rc<Self>, name: &str) -> io::Result<Process> {
        self.start_with(name, &BTreeMap::new()).await
    }

    /// Starts another process in the place of one that has ended; nobody where another fault has done
    /// so: two of one name would be more than the scenario has.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub async fn replace(self: &Rc<Self>, ended: &Process) -> io::Result<Option<Process>> {
        let _turn = self.replacements.lock().await;
        let is_replaced = self.fleet.get(&ended.name).is_some_and(|now| now.pid != ended.pid);
        if is_replaced { Ok(None) } else { self.start(&ended.name).await.map(Some) }
    }

    /// The same with these environment variables besides.
    pub(super) async fn start_with(
        self: &Rc<Self>,
        name: &str,
        env: &BTreeMap<String, String>,
    ) -> io::Result<Process> {
        if let Some(before) = self.fleet.get(name).filter(|before| before.exit().is_some()) {
            // The history tells of an end before it tells of what comes after it.
            self.until(|standing| standing.ended.contains(&before.pid)).await;
        }
        let way = self.way(name)?;
        let program = program(&self.plan, self.broker_process.as_ref(), way, name, env)?;
        let (process, stdout) = self.fleet.start(&program).await?;
        self.emit(Event::ProcessStarted { process: name.to_owned(), pid: process.pid });
        self.change(|standing| standing.starts += 1);
        if let Some(stdout) = stdout {
            let reading = tap::printed_results(Rc::clone(self), stdout);
            self.spawn(format!("the reading of {name}"), reading);
        }
        if name == AGGREGATOR {
            self.spawn(
                "the reading of the aggregator".to_owned(),
                reports::follow(Rc::clone(self), process.clone()),
            );
        }
        self.spawn(
            format!("the watch over {name}"),
            Self::watch_exit(Rc::clone(self), process.clone()),
        );
        Ok(process)
    }

    async fn watch_exit(self: Rc<Self>, process: Process) {
        let Exit { code, signal } = process.ended().await;
        if process.name == AGGREGATOR {
            self.reports.tell_last(&self);
        }
        let said = if code == Some(0) { None } else { self.fleet.said(&process.name) };
        if process.name == AGGREGATOR {
            // What it said last comes before its end, and before the next one says anything.
            self.reports.tell_new(&self);
        }
        self.emit(Event::ProcessExited {
            process: process.name.clone(),
            pid: process.pid,
            code,
            signal,
            said,
        });
        self.change(|standing| {
            standing.exits += 1;
            standing.ended.insert(process.pid);
        });
    }

    /// Takes note of a result.
    pub(super) fn note_result(&self, chunk_index: Option<u64>, worker: &str, params: u64) {
        let is_new = match chunk_index {
            Some(index) => self.settled.borrow_mut().commit(index),
            // Static results have ranges of their own.
            None => self.standing.borrow().params < self.plan.sweep.params(),
        };
        if is_new {
            self.headway.comes_on();
        }
        // What is reported again, or of a size that it has not, brings no sweep further.
        let sweep = &self.plan.sweep;
        let params = match chunk_index {
            Some(index) if is_new => {
                let (start, end) = sweep.chunk(index);
                end - start
            }
            Some(_) => 0,
            None => params.min(sweep.params()),
        };
        if let Some(index) = chunk_index {
            self.looks.note_result(index, worker);
        }
        self.change(|standing| standing.params = standing.params.saturating_add(params));
    }

    /// Takes note of a dead letter: that chunk is settled too.
    pub(super) fn note_letter(&self, chunk_index: u64) {
        if self.settled.borrow_mut().bury(chunk_index) {
            self.headway.comes_on();
        }
    }

    /// How long nothing may be committed. What nobody has set is longer on a machine under load.
    pub(super) fn stall_after(&self) -> Duration {
        let said = self.plan.stall_after;
        if self.plan.stall_after_is_set { said } else { self.strain.allows(said) }
    }

    /// Whether the broker waits for this process, in the middle of a commit, say.
    pub fn waits_for(&self, process: &Process) -> bool {
        self.broker_process.as_ref().is_some_and(|broker| broker.waits_for(process))
    }
}
