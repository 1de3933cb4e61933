//! A broker in memory: the queue's contract in its simplest form, on the runtime's clock, so that
//! the worker's loops can run on simulated time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use ttg_system::chunk::Sweep;
use ttg_system::kernel::Identity;
use ttg_system::queue::{
    Asker, Commit, ComputedBy, Cursor, DeadLetters, Decide, Decision, Delivery, Depths, Failure,
    Held, Inspect, KernelCheck, OpenTask, Progress, Queue, QueueError, Readable, Reconcile,
    Redelivered, Result, Settings, Stamped, Submit, SweepInfo, Token, replayed,
};
use ttg_system::wire::{self, DeadLetter, Task, TaskResult};

/// How often a claim that waits looks again.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Default, Clone)]
pub(crate) struct Model(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    sweep: Option<SweepInfo>,
    submitted: u64,
    tasks: Vec<Entry>,
    results: Vec<TaskResult>,
    /// By the order of their coming.
    letters: BTreeMap<u64, DeadLetter>,
    kernels: Vec<Identity>,
    committed: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    redelivered: u64,
    ids: u64,
    alive: HashSet<u64>,
    /// Lives that have asked for tasks and not left.
    working: HashSet<u64>,
    lives: u64,
}

struct Entry {
    id: String,
    task: Task,
    number: u64,
    /// Of those, how many were given back.
    released: u64,
    place: Place,
}

#[derive(Clone, PartialEq)]
enum Place {
    Ready { due: Instant },
    With { worker: String, life: u64, until: Instant },
    Done,
}

pub(crate) struct Member {
    state: Rc<RefCell<State>>,
    settings: Settings,
    name: Option<String>,
    life: u64,
    suspects: RefCell<HashSet<u64>>,
    next_survey: Cell<Option<Instant>>,
}

impl Model {
    pub(crate) fn connect(&self, settings: &Settings, worker: Option<&str>) -> Member {
        let mut state = self.0.borrow_mut();
        state.lives += 1;
        let life = state.lives;
        state.alive.insert(life);
        Member {
            state: Rc::clone(&self.0),
            settings: settings.clone(),
            name: worker.map(str::to_owned),
            life,
            suspects: RefCell::default(),
            next_survey: Cell::default(),
        }
    }

    /// Commits a chunk, dead or not.
    pub(crate) fn commit_raw(&self, result: TaskResult) {
        let mut state = self.0.borrow_mut();
        state.committed.insert(result.chunk_index);
        state.results.push(result);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.state.borrow_mut().alive.remove(&self.life);
    }
}

impl State {
    fn add(&mut self, task: Task, due: Instant) {
        self.ids += 1;
        let id = self.ids.to_string();
        self.tasks.push(Entry { id, task, number: 0, released: 0, place: Place::Ready { due } });
    }

    fn is_settled(&self, chunk: u64) -> bool {
        self.committed.contains(&chunk) || self.dead.contains(&chunk)
    }

    fn bury(&mut self, task: &Task, reason: &str) {
        self.dead.insert(task.chunk.index);
        let retry_count = task.retry_count;
        let letter = DeadLetter {
            task: task.to_fields(),
            last_error: reason.to_owned(),
            failed_at: wire::now(),
            retry_count,
        };
        self.ids += 1;
        self.letters.insert(self.ids, DeadLetter::from_fields(letter.to_fields()));
    }

    fn progress(&self) -> Progress {
        Progress {
            total: self.sweep.as_ref().map(|info| info.sweep.chunks()),
            submitted: self.submitted,
            committed: self.committed.len() as u64,
            dead: self.dead.len() as u64,
        }
    }
}

impl Member {
    fn name(&self) -> String {
        self.name.clone().expect("only a worker asks for deliveries")
    }

    fn lease_ready(&self, max: usize) -> Vec<Delivery> {
        let now = Instant::now();
        self.lease(max, |e| matches!(e.place, Place::Ready { due } if due <= now))
    }

    /// Hands over up to `max` of the tasks that are to be had.
    fn lease(&self, max: usize, is_to_be_had: impl Fn(&Entry) -> bool) -> Vec<Delivery> {
        let mut state = self.state.borrow_mut();
        let until = Instant::now() + self.settings.lease;
        let mut deliveries = Vec::new();
        let mut redelivered = 0;
        let mut poisonous = Vec::new();
        for entry in state.tasks.iter_mut().filter(|entry| is_to_be_had(entry)).take(max) {
            entry.number += 1;
            redelivered += u64::from(entry.number > 1);
            let deaths = entry.number - 1 - entry.released;
            if deaths >= u64::from(self.settings.max_deliveries) {
                entry.place = Place::Done;
                poisonous.push((entry.task.clone(), deaths));
                continue;
            }
            entry.place = Place::With { worker: self.name(), life: self.life, until };
            let token = Token { id: entry.id.clone(), number: entry.number };
            deliveries.push(Delivery { token, task: entry.task.clone(), suspect: deaths > 0 });
        }
        state.redelivered += redelivered;
        for (task, times) in poisonous {
            if !state.is_settled(task.chunk.index) {
                state.bury(
                    &task,
                    &format!(
                        "delivered {times} times, and each time the worker died or fell silent"
                    ),
                );
            }
        }
        deliveries
    }

    /// The task of a delivery that is still with this worker.
    fn held<'a>(&self, state: &'a mut State, token: &Token) -> Option<&'a mut Entry> {
        let me = self.name();
        state.tasks.iter_mut().find(|entry| {
            let mine = matches!(&entry.place, Place::With { worker, .. } if *worker == me);
            mine && entry.id == token.id && entry.number == token.number
        })
    }

    fn finish(&self, state: &mut State, token: &Token) -> bool {
        self.held(state, token).map(|entry| entry.place = Place::Done).is_some()
    }
}

#[async_trait(?Send)]
impl Reconcile for Member {}

#[async_trait(?Send)]
impl ComputedBy for Member {
    async fn compute_with(&self, own: &Identity, check: KernelCheck) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let kernels = &mut state.kernels;
        let is_free = kernels.is_empty() || check == KernelCheck::Same;
        if !is_free && !kernels.contains(own) {
            let there: Vec<_> = kernels.iter().map(ToString::to_string).collect();
            return Err(QueueError::OtherKernel {
                place: self.settings.address.to_string(),
                there: there.join(" and "),
                own: own.to_string(),
            });
        }
        if check != KernelCheck::Look && !kernels.contains(own) {
            kernels.push(own.clone());
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Queue for Member {
    async fn claim(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.state.borrow_mut().working.insert(self.life);
        let deadline = Instant::now() + wait;
        loop {
            let left_behind = self.take_over(max, &[], Asker::Idle).await?;
            if !left_behind.is_empty() {
                return Ok(left_behind);
            }
            let ready = self.lease_ready(max);
            let complete = self.state.borrow().progress().is_complete();
            if !ready.is_empty() || complete || Instant::now() >= deadline {
                return Ok(ready);
            }
            sleep(LOOK).await;
        }
    }

    async fn claim_ahead(&self, max: usize) -> Result<Vec<Delivery>> {
        let looks_later = self.next_survey.get().is_some_and(|next| next > Instant::now());
        Ok(if looks_later { self.lease_ready(max) } else { Vec::new() })
    }

    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        let mut state = self.state.borrow_mut();
        let outcome = |(token, result): &(Token, TaskResult)| {
            let gone = state.tasks.iter().all(|entry| entry.id != token.id);
            let settled = gone || state.is_settled(result.chunk_index);
            if !settled {
                state.committed.insert(result.chunk_index);
                state.results.push(result.clone());
            }
            self.finish(&mut state, token);
            if settled { Commit::AlreadySettled } else { Commit::Committed }
        };
        Ok(done.iter().map(outcome).collect())
    }

    async fn has_peers(&self) -> Result<bool> {
        let state = self.state.borrow();
        Ok(state.working.intersection(&state.alive).any(|life| *life != self.life))
    }

    async fn renew(&self, held: &[Token]) -> Result<Vec<Token>> {
        let mut state = self.state.borrow_mut();
        let end = Instant::now() + self.settings.lease;
        let renew = |token: &&Token| match self.held(&mut state, token) {
            Some(Entry { place: Place::With { until, .. }, .. }) => {
                *until = end;
                false
            }
            _ => true,
        };
        Ok(held.iter().filter(renew).cloned().collect())
    }

    async fn take_over(&self, max: usize, held: &[Token], asker: Asker) -> Result<Vec<Delivery>> {
        let now = Instant::now();
        if self.next_survey.get().is_some_and(|next| next > now) {
            return Ok(Vec::new());
        }
        let mut dead: HashSet<u64> = {
            let state = self.state.borrow();
            let holder = |entry: &Entry| match entry.place {
                Place::With { life, .. } => Some(life),
                _ => None,
            };
            state.tasks.iter().filter_map(holder).filter(|l| !state.alive.contains(l)).collect()
        };
        let seen_before = self.suspects.replace(dead.clone());
        if asker == Asker::Busy {
            dead.retain(|suspect| seen_before.contains(suspect));
        }
        let is_free = |entry: &Entry| match &entry.place {
            Place::With { life, until, .. } => dead.contains(life) || *until < now,
            _ => false,
        };
        let taken = self.lease(max.min(1), |e| is_free(e) && held.iter().all(|t| t.id != e.id));
        // There may be more where that came from.
        let next = taken.is_empty().then_some(now + self.settings.takeover_interval);
        self.next_survey.set(next);
        Ok(taken)
    }

    async fn fail(&self, delivery: &Delivery, reason: &str) -> Result<Failure> {
        let mut state = self.state.borrow_mut();
        let retry_count = delivery.task.retry_count + 1;
        let task = Task { retry_count, ..delivery.task.clone() };
        if !self.finish(&mut state, &delivery.token) || state.is_settled(task.chunk.index) {
            return Ok(Failure::NotHeld);
        }
        if retry_count > self.settings.max_retries {
            state.bury(&task, reason);
            return Ok(Failure::DeadLettered);
        }
        state.add(task, Instant::now() + self.settings.retry_delay);
        Ok(Failure::Retried)
    }

    async fn release(&self, held: &[Token]) -> Result<()> {
        let mut state = self.state.borrow_mut();
        for token in held {
            if let Some(entry) = self.held(&mut state, token) {
                entry.released += 1;
                entry.place = Place::Ready { due: Instant::now() };
            }
        }
        Ok(())
    }

    async fn is_complete(&self) -> Result<bool> {
        Ok(self.state.borrow().progress().is_complete())
    }

    async fn leave(&self) -> Result<()> {
        self.state.borrow_mut().working.remove(&self.life);
        for entry in &mut self.state.borrow_mut().tasks {
            if matches!(entry.place, Place::With { life, .. } if life == self.life) {
                entry.released += 1;
                entry.place = Place::Ready { due: Instant::now() };
            }
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Submit for Member {
    async fn open(&self, sweep: &Sweep, job_id: Option<&str>) -> Result<u64> {
        let mut state = self.state.borrow_mut();
        let wanted = SweepInfo {
            sweep: *sweep,
            job_id: job_id.unwrap_or_default().to_owned(),
            created_at: wire::now(),
        };
        let there = state.sweep.get_or_insert_with(|| wanted.clone()).clone();
        if there.sweep == *sweep && job_id.is_none_or(|job| job == there.job_id) {
            return Ok(state.submitted);
        }
        let address = self.settings.address.clone();
        let (there, asked) = (there.to_string(), wanted.to_string());
        Err(QueueError::OtherSweep { address, there, asked })
    }

    async fn submit(&self, sweep: &Sweep, from: u64, to: u64) -> Result<u64> {
        let mut state = self.state.borrow_mut();
        if state.sweep.as_ref().is_none_or(|info| info.sweep != *sweep) {
            return Err(QueueError::SweepLost { place: "the model".to_owned() });
        }
        if state.submitted == from {
            for index in from..to {
                let task = Task {
                    chunk: sweep.chunk(index),
                    total_params: sweep.params,
                    total_chunks: sweep.chunks(),
                    created_at: wire::now(),
                    retry_count: 0,
                    replays: 0,
                };
                state.add(task, Instant::now());
            }
            state.submitted = to;
        }
        Ok(state.submitted)
    }

    async fn reset(&self) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let (ids, lives) = (state.ids, state.lives);
        let alive = std::mem::take(&mut state.alive);
        *state = State { ids, lives, alive, ..State::default() };
        Ok(())
    }
}

#[async_trait(?Send)]
impl Inspect for Member {
    async fn sweep(&self) -> Result<Option<SweepInfo>> {
        Ok(self.state.borrow().sweep.clone())
    }

    async fn standing(&self) -> Result<Progress> {
        Ok(self.state.borrow().progress())
    }

    async fn results(
        &self,
        cursor: &mut Cursor,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Stamped<Readable<TaskResult>>>> {
        let deadline = Instant::now() + wait;
        loop {
            let found = page(&self.state.borrow().results, cursor, max);
            if !found.is_empty() || Instant::now() >= deadline {
                return Ok(found.into_iter().map(|r| Stamped { at_ms: 0, what: Ok(r) }).collect());
            }
            sleep(LOOK).await;
        }
    }

    async fn tasks(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<Stamped<Readable<Task>>>> {
        let tasks: Vec<_> =
            self.state.borrow().tasks.iter().map(|it| Ok(it.task.clone())).collect();
        Ok(page(&tasks, cursor, max).into_iter().map(|what| Stamped { at_ms: 0, what }).collect())
    }

    async fn held(&self) -> Result<Vec<Held>> {
        let held = |entry: &Entry| match &entry.place {
            Place::With { worker, .. } => Some(Held {
                chunk_index: Some(entry.task.chunk.index),
                worker: worker.clone(),
                token: Token { id: entry.id.clone(), number: entry.number },
                begun: true,
            }),
            _ => None,
        };
        Ok(self.state.borrow().tasks.iter().filter_map(held).collect())
    }

    async fn dead_letters(&self, cursor: &mut Cursor, max: usize) -> Result<Vec<DeadLetter>> {
        let after = cursor.place().parse().unwrap_or(0) + 1;
        let state = self.state.borrow();
        let page: Vec<_> = state.letters.range(after..).take(max).collect();
        if let Some((last, _)) = page.last() {
            *cursor = Cursor::at(last.to_string());
        }
        Ok(page.into_iter().map(|(_, letter)| letter.clone()).collect())
    }

    async fn workers(&self) -> Result<usize> {
        Ok(self.state.borrow().working.len())
    }

    async fn redelivered(&self) -> Result<Redelivered> {
        let deliveries = self.state.borrow().redelivered;
        Ok(Redelivered { deliveries, ..Redelivered::default() })
    }

    async fn open_tasks(&self, max: usize) -> Result<Vec<OpenTask>> {
        let open = |entry: &&Entry| entry.place != Place::Done;
        let task = |entry: &Entry| OpenTask {
            chunk_index: Some(entry.task.chunk.index),
            holder: match &entry.place {
                Place::With { worker, .. } => Some(worker.clone()),
                _ => None,
            },
        };
        Ok(self.state.borrow().tasks.iter().filter(open).take(max).map(task).collect())
    }

    async fn depths(&self) -> Result<Depths> {
        let state = self.state.borrow();
        let now = Instant::now();
        let waits = |entry: &&Entry| matches!(entry.place, Place::Ready { due } if due > now);
        let open = state.tasks.iter().filter(|entry| entry.place != Place::Done).count();
        let retry = state.tasks.iter().filter(waits).count();
        Ok(Depths {
            tasks: (open - retry) as u64,
            results: state.results.len() as u64,
            retry: retry as u64,
            letters: state.letters.len() as u64,
        })
    }
}

#[async_trait(?Send)]
impl DeadLetters for Member {
    async fn sift(&self, decide: &mut Decide<'_>) -> Result<u64> {
        let letters = self.state.borrow().letters.clone();
        for (place, letter) in letters {
            let decision = decide(&letter);
            let mut state = self.state.borrow_mut();
            let sweep = state.sweep.as_ref().map(|info| info.sweep);
            match (decision, replayed(&letter, sweep.as_ref())) {
                (Decision::Keep, _) | (Decision::Replay, Err(_)) => {}
                (Decision::Drop, _) => drop(state.letters.remove(&place)),
                (Decision::Replay, Ok(task)) if state.letters.remove(&place).is_some() => {
                    state.dead.remove(&task.chunk.index);
                    if !state.committed.contains(&task.chunk.index) {
                        state.add(task, Instant::now());
                    }
                }
                (Decision::Replay, Ok(_)) => {}
            }
        }
        Ok(0)
    }
}

fn page<T: Clone>(all: &[T], cursor: &mut Cursor, max: usize) -> Vec<T> {
    let from = cursor.place().parse().unwrap_or(0);
    let page: Vec<T> = all.iter().skip(from).take(max).cloned().collect();
    if !page.is_empty() {
        *cursor = Cursor::at((from + page.len()).to_string());
    }
    page
}
