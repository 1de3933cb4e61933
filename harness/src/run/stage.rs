//! What everything in a run shares: the plan, the processes, the broker as an onlooker sees it,
//! and where the sweep stands.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::{Instant, sleep, sleep_until};
use ttg_system::chunk::ChunkId;
use ttg_system::queue::{Broker, Held};

use super::programs::program;
use super::tap;
use crate::environment::{BrokerProcess, Exit, Fleet, Host, Process, Server};
use crate::history::{Event, HeldChunk, Record};
use crate::plan::{Backend, Environment, Plan, PlannedFault, Trigger, WorkersIn};
use crate::proxy::Proxy;

/// How often to look who holds a chunk: it bounds the error of recovery times.
const LOOK: Duration = Duration::from_millis(3);

/// Where the sweep stands, as seen from outside.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The first task is there.
    pub begun: bool,
    /// Parameters in the results so far.
    pub params: u64,
    /// The broker says that nothing is left to do.
    pub complete: bool,
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
}

impl Standing {
    /// Whether faults have to leave everybody alone from now on.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

/// Who is told what happens.
pub(super) type Listener = Box<dyn FnMut(&Record)>;

/// See the file.
pub struct Stage {
    /// What must happen.
    pub plan: Plan,
    /// The processes.
    pub fleet: Fleet,
    pub(super) broker: Option<Rc<dyn Broker>>,
    pub(super) broker_process: Option<BrokerProcess>,
    standing: watch::Sender<Standing>,
    pub(super) last_result: Cell<Instant>,
    began: Instant,
    began_ms: i64,
    listener: RefCell<Listener>,
    random: RefCell<fastrand::Rng>,
    /// Chunks that somebody waits for, and who committed them.
    watched: RefCell<HashMap<u64, Option<String>>>,
    /// Proxies between processes and the broker, where a fault needs one.
    links: RefCell<HashMap<String, Rc<Proxy>>>,
    /// What is in force until a fault heals, by the fault and its target.
    kept: RefCell<HashMap<(String, String), Box<dyn Any>>>,
    /// When was looked last who holds what, and what was seen.
    looked: Mutex<Option<(Instant, Rc<[Held]>)>>,
    broker_turn: Mutex<()>,
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
        let seed = plan.seed;
        Self {
            plan,
            fleet,
            broker,
            broker_process,
            standing: watch::Sender::new(Standing::default()),
            last_result: Cell::new(Instant::now()),
            began: Instant::now(),
            began_ms: jiff::Timestamp::now().as_millisecond(),
            listener: RefCell::new(listener),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            watched: RefCell::default(),
            links: RefCell::default(),
            kept: RefCell::default(),
            looked: Mutex::default(),
            broker_turn: Mutex::default(),
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
        now.params as f64 >= percent / 100.0 * self.plan.sweep.params() as f64
    }

    /// A fault is being carried out from now on.
    pub fn fault_begins(&self) {
        self.change(|standing| standing.in_flight += 1);
    }

    /// A fault has struck, and healed where it heals. What it held up has all the time again.
    pub fn fault_is_over(&self, name: &str) {
        self.last_result.set(Instant::now());
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

    /// The proxy between a process and the broker.
    pub fn link(&self, process: &str) -> Option<Rc<Proxy>> {
        self.links.borrow().get(process).cloned()
    }

    /// Where a process finds the broker: its proxy, if a fault needs one.
    fn way(&self, process: &str) -> io::Result<Option<SocketAddr>> {
        let listens = self.broker_process.as_ref().and_then(BrokerProcess::listens);
        // Pods do not reach this machine.
        let on_cluster = self.plan.environment == Environment::Kubernetes;
        let needed = self.plan.strikes_the_network() && !on_cluster;
        let Some(upstream) = listens.filter(|_| needed) else { return Ok(None) };
        if let Some(link) = self.link(process) {
            return Ok(Some(link.address()));
        }
        // Containers reach this machine by their network's gateway, and nobody else does there.
        let gateway = self.fleet.host().and_then(Host::gateway);
        let gateway = gateway.filter(|_| self.plan.workers_in == WorkersIn::Container);
        let at = gateway.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let link = Proxy::listen(at, upstream)?;
        let address = link.address();
        self.links.borrow_mut().insert(process.to_owned(), Rc::new(link));
        Ok(Some(address))
    }

    /// Keeps what is in force until a fault heals.
    pub fn keep(&self, fault: &PlannedFault, target: &str, what: Box<dyn Any>) {
        self.kept.borrow_mut().insert((fault.name.clone(), target.to_owned()), what);
    }

    /// What was kept for a fault and its target.
    pub fn take_kept(&self, fault: &PlannedFault, target: &str) -> Option<Box<dyn Any>> {
        self.kept.borrow_mut().remove(&(fault.name.clone(), target.to_owned()))
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

    /// Chunks that are submitted; none where that cannot be known just now.
    pub async fn submitted(&self) -> u64 {
        match &self.broker {
            Some(broker) => broker.standing().await.map_or(0, |standing| standing.submitted),
            None => 0,
        }
    }

    /// Starts the process of this name, with everything that watches it.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub async fn start(self: &Rc<Self>, name: &str) -> io::Result<Process> {
        self.start_with(name, &BTreeMap::new()).await
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
            tokio::task::spawn_local(tap::printed_results(Rc::clone(self), stdout));
        }
        tokio::task::spawn_local(Self::watch_exit(Rc::clone(self), process.clone()));
        Ok(process)
    }

    async fn watch_exit(self: Rc<Self>, process: Process) {
        let Exit { code, signal } = process.ended().await;
        let said = if code == Some(0) { None } else { self.fleet.said(&process.name) };
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
        self.last_result.set(Instant::now());
        if let Some(index) = chunk_index
            && let Some(by) = self.watched.borrow_mut().get_mut(&index)
        {
            by.get_or_insert_with(|| worker.to_owned());
        }
        self.change(|standing| standing.params += params);
    }

    /// Whether the broker waits for this process, in the middle of a commit, say.
    pub fn waits_for(&self, process: &Process) -> bool {
        self.broker_process.as_ref().is_some_and(|broker| broker.waits_for(process))
    }

    /// Workers that hold chunks. An error counts as nobody: the broker may be away.
    pub async fn holders(&self) -> HashSet<String> {
        self.held().await.iter().map(|held| held.worker.clone()).collect()
    }

    /// The delivery that has a worker at the chunk with this index.
    pub async fn attempt_of(&self, chunk: Option<u64>) -> Option<Held> {
        let held = self.held().await;
        held.iter()
            .find(|held| held.begun && held.chunk_index.is_some() && held.chunk_index == chunk)
            .cloned()
    }

    /// What that worker holds.
    pub async fn held_by(&self, worker: &str) -> Vec<HeldChunk> {
        let mut chunks = Vec::new();
        for held in self.held().await.iter().filter(|held| held.worker == worker) {
            if let Some(index) = held.chunk_index {
                self.watched.borrow_mut().entry(index).or_default();
                let chunk_id = ChunkId(index).to_string();
                chunks.push(HeldChunk { chunk_id, delivery: held.token.number });
            }
        }
        chunks
    }

    /// Waits until the chunk has another delivery or a result, and says whose. Nobody's where it
    /// is the same delivery's result.
    pub async fn successor(&self, from: &str, chunk: &HeldChunk) -> Option<String> {
        let index = chunk.chunk_id.parse().ok()?;
        loop {
            let held = self.held().await;
            if let Some(held) = held.iter().find(|held| held.chunk_index == Some(index))
                && (held.worker != from || held.token.number != chunk.delivery)
                && held.worker.starts_with("worker-")
            {
                return Some(held.worker.clone());
            }
            let by = self.watched.borrow().get(&index).cloned().flatten();
            if let Some(by) = by {
                return (by != from).then_some(by);
            }
            sleep(LOOK).await;
        }
    }

    /// What is held, as seen by a look that began after the question. Whoever asks meanwhile shares
    /// it: one look for each of many would keep the broker from its work.
    async fn held(&self) -> Rc<[Held]> {
        let Some(broker) = &self.broker else { return Rc::default() };
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        if let Some((began, held)) = &*looked {
            if *began >= asked {
                return Rc::clone(held);
            }
            sleep_until(*began + LOOK).await;
        }
        let began = Instant::now();
        let held: Rc<[Held]> = broker.held().await.unwrap_or_default().into();
        *looked = Some((began, Rc::clone(&held)));
        held
    }
}
