//! The ideal time: the shortest schedule of the sweep's whole chunks, at their nominal durations,
//! on the workers that were alive, each chunk that a death cut short done again.
//!
//! It is a lower bound of what any system could have done under the same faults: a worker with
//! foresight begins nothing that its own death would cut short, and each chunk that a death did
//! cut short can be begun again, by anyone, from the moment of that death on. A paused worker
//! goes on where it stood.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};

use crate::facts::{Facts, Strike};
use crate::plan::{Backend, Plan};

/// Rounding must not lose a chunk that ends exactly when its worker does.
const SLACK_S: f64 = 1e-9;

/// The ideal time in seconds; none where the sweep never started, where no duration is known, or
/// where the workers that were alive could not have finished.
pub fn ideal_s(plan: &Plan, facts: &Facts) -> Option<f64> {
    let from = facts.sweep_started_s?;
    let nominal = Nominal::of(plan, facts)?;
    let mut workers: Vec<Worker> =
        (0..plan.workers).map(|n| Worker::of(&format!("worker-{n}"), from, facts)).collect();
    if plan.backend == Backend::Static {
        return Some(static_s(plan, nominal, &mut workers));
    }
    let mut again: Vec<(u64, f64)> =
        cut_short(plan, facts).map(|(index, at_s)| (index, (at_s - from).max(0.0))).collect();
    again.sort_by(|a, b| a.1.total_cmp(&b.1));
    queue_s(plan, nominal, &again, &workers)
}

/// With a broker: all share all chunks. Those that were cut short are given with the moment from
/// which on they can be done again.
fn queue_s(plan: &Plan, nominal: Nominal, again: &[(u64, f64)], workers: &[Worker]) -> Option<f64> {
    let last = plan.sweep.chunks().checked_sub(1)?;
    let slow: BTreeSet<u64> = plan.slow_chunks().into_iter().collect();
    let factor = |index: u64| match plan.skew() {
        Some(skew) if slow.contains(&index) => skew.factor,
        _ => 1.0,
    };
    let is_cut = |index: u64| again.iter().find(|(cut, _)| *cut == index);
    let job = |index: u64| Job {
        release_s: is_cut(index).map_or(0.0, |(_, at_s)| *at_s),
        work_s: nominal.chunk_s(plan.sweep.chunk(index)) * factor(index),
    };
    // The longest first, as foresight would: no order is known to be the best, this one is near.
    let whole = || (0..last).filter(|index| is_cut(*index).is_none());
    let uncut = || {
        let is_slow = |index: &u64| slow.contains(index);
        whole().filter(is_slow).chain(whole().filter(move |index| !is_slow(index)))
    };
    let cut = || again.iter().map(|(index, _)| *index).filter(|index| *index < last);
    // What is there first comes first. Only the last chunk may be smaller than the others, and so
    // fit where they do not: it is tried before those that were cut short, and after them.
    let before = list_schedule(uncut().chain([last]).chain(cut()).map(job), workers.to_vec())?;
    if cut().next().is_none() {
        return Some(before);
    }
    let after = list_schedule(uncut().chain(cut()).chain([last]).map(job), workers.to_vec())?;
    Some(before.min(after))
}

/// A chunk to be done, and when it is there to be begun.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Job {
    release_s: f64,
    work_s: f64,
}

/// When all is done, if each job in turn goes to the worker that is done with it first. Most jobs are
/// alike: who is done first is asked of all workers only where one differs from that before it.
fn list_schedule(jobs: impl Iterator<Item = Job>, mut workers: Vec<Worker>) -> Option<f64> {
    let mut end_s = 0.0_f64;
    let mut alike: Option<Job> = None;
    let mut offers: BinaryHeap<Reverse<Offer>> = BinaryHeap::new();
    for job in jobs {
        if alike != Some(job) {
            let all = workers.iter().enumerate();
            offers = all.filter_map(|(at, worker)| Offer::of(at, worker, job)).collect();
            alike = Some(job);
        }
        let Reverse(Offer { end_s: end, at }) = offers.pop()?;
        workers[at].free_s = end;
        end_s = end_s.max(end);
        offers.extend(Offer::of(at, &workers[at], job));
    }
    Some(end_s)
}

/// When which worker would be done with a job, if it did that next.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Offer {
    end_s: f64,
    at: usize,
}

impl Offer {
    fn of(at: usize, worker: &Worker, job: Job) -> Option<Reverse<Self>> {
        Some(Reverse(Self { end_s: worker.end_of(job.release_s, job.work_s)?, at }))
    }
}

impl Eq for Offer {}

impl Ord for Offer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.end_s.total_cmp(&other.end_s).then(self.at.cmp(&other.at))
    }
}

impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Static mode: each worker computes its own range, as far as it lives.
fn static_s(plan: &Plan, nominal: Nominal, workers: &mut [Worker]) -> f64 {
    let mut end_s = 0.0_f64;
    for (number, worker) in workers.iter_mut().enumerate() {
        let (mut start, end) = static_range(plan, number as u64);
        while start < end {
            let next = end.min(start + plan.sweep.chunk_size);
            let Some(done) = worker.end_of(0.0, nominal.chunk_s((start, next))) else {
                break;
            };
            worker.free_s = done;
            end_s = end_s.max(done);
            start = next;
        }
    }
    end_s
}

/// Static mode: the range of the worker of this number; the last takes the remainder.
pub fn static_range(plan: &Plan, number: u64) -> (u64, u64) {
    let workers = u64::from(plan.workers).max(1);
    let per_worker = plan.sweep.params() / workers;
    let start = plan.sweep.start + number * per_worker;
    let end = if number + 1 == workers { plan.sweep.end } else { start + per_worker };
    (start, end)
}

/// The chunks that deaths cut short, and when: of what a worker held, the first, for it computes
/// one at a time. A chunk that several deaths cut short is counted at the last.
fn cut_short(plan: &Plan, facts: &Facts) -> impl Iterator<Item = (u64, f64)> {
    let mut cut: Vec<(u64, f64)> = Vec::new();
    for strike in facts.strikes.iter().filter(|strike| strike.ends_process()) {
        let held = strike.held.first().and_then(|held| facts.ledger.index(&held.chunk_id));
        let Some(index) = held.filter(|_| is_worker(&strike.target, plan)) else {
            continue;
        };
        cut.retain(|(other, _)| *other != index);
        cut.push((index, strike.t_s));
    }
    cut.into_iter()
}

fn is_worker(process: &str, plan: &Plan) -> bool {
    let number = process.strip_prefix("worker-").and_then(|number| number.parse::<u32>().ok());
    number.is_some_and(|number| number < plan.workers)
}

/// How long chunks nominally take.
#[derive(Debug, Clone, Copy)]
enum Nominal {
    /// Seconds per parameter.
    PerParameter(f64),
    /// Seconds per chunk, as measured.
    PerChunk(f64),
}

impl Nominal {
    fn of(plan: &Plan, facts: &Facts) -> Option<Self> {
        match plan.sweep.kernel.work_ms() {
            Some(work_ms) if work_ms > 0.0 => Some(Self::PerParameter(work_ms / 1000.0)),
            _ => facts.ledger.mean_duration_s().map(Self::PerChunk),
        }
    }

    fn chunk_s(self, (start, end): (u64, u64)) -> f64 {
        match self {
            Self::PerParameter(seconds) => (end - start) as f64 * seconds,
            Self::PerChunk(seconds) => seconds,
        }
    }
}

/// A worker's presence, in seconds since the sweep started.
#[derive(Debug, Clone)]
struct Worker {
    /// Its lives, each from a start to a death.
    lives: Vec<(f64, f64)>,
    /// Its absences.
    pauses: Vec<(f64, f64)>,
    /// When it is done with what it was given so far.
    free_s: f64,
}

impl Worker {
    fn of(name: &str, from: f64, facts: &Facts) -> Self {
        let mut worker = Self { lives: Vec::new(), pauses: Vec::new(), free_s: 0.0 };
        let mut born = Some(from);
        for death in deaths(name, facts) {
            if let Some(born) = born.filter(|born| *born <= death) {
                worker.lives.push((born - from, death - from));
            }
            let mut starts = facts.starts.iter().filter(|(process, _)| process == name);
            born = starts.find(|(_, at_s)| *at_s > death).map(|(_, at_s)| *at_s);
        }
        worker.lives.extend(born.map(|born| (born - from, f64::INFINITY)));
        let paused =
            |strike: &&Strike| strike.bit && strike.kind == "pause" && strike.target == name;
        for strike in facts.strikes.iter().filter(paused) {
            let healed = strike.healed_s.unwrap_or(f64::INFINITY);
            worker.pauses.push((strike.t_s - from, healed - from));
        }
        worker.pauses.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Of two that overlap, what they share is one absence.
        let mut until = f64::NEG_INFINITY;
        for (start, end) in &mut worker.pauses {
            *start = start.max(until).min(*end);
            until = until.max(*end);
        }
        worker
    }

    /// When work that is there from `release_s` on would be done, if this worker did it next and
    /// without a death in between.
    fn end_of(&self, release_s: f64, work_s: f64) -> Option<f64> {
        let start = self.free_s.max(release_s);
        let end = self.lives.iter().find_map(|&(born, death)| {
            let end = self.end_from(start.max(born), work_s);
            (end <= death + SLACK_S).then_some(end)
        })?;
        end.is_finite().then_some(end)
    }

    fn end_from(&self, start: f64, work_s: f64) -> f64 {
        let mut end = start + work_s;
        for &(from, to) in &self.pauses {
            if from < end && to > start {
                end += to - from.max(start);
            }
        }
        end
    }
}

/// When a worker died: of a fault, or by itself; in order.
fn deaths(name: &str, facts: &Facts) -> Vec<f64> {
    let struck = facts.strikes.iter().filter(|strike| strike.ends_process());
    let struck = struck.filter(|strike| strike.target == name).map(|strike| strike.t_s);
    let mut deaths: Vec<f64> = struck.collect();
    let exits = facts.exits.iter().filter(|exit| exit.process == name && !exit.is_clean());
    for exit in exits {
        // The exit that a fault brought about comes after the strike, and before the next start.
        let since = deaths.iter().copied().filter(|death| *death <= exit.t_s).reduce(f64::max);
        let started_since = |since: f64| {
            let between = |at_s: f64| since < at_s && at_s < exit.t_s;
            facts.starts.iter().any(|(process, at_s)| process == name && between(*at_s))
        };
        if since.is_none_or(started_since) {
            deaths.push(exit.t_s);
        }
    }
    deaths.sort_by(f64::total_cmp);
    deaths
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::check::testing::{History, STRUCK_S, plan, plan_with_kill, static_plan};
    use crate::history::{Event, HeldChunk, Record};
    use crate::plan::Kernel;

    fn strike(kind: &str, worker: u32, held: Option<u64>) -> Event {
        Event::FaultInjected {
            fault: "f".into(),
            kind: kind.into(),
            target: format!("worker-{worker}"),
            bit: true,
            proof: String::new(),
            held: held
                .map(|index| HeldChunk { chunk_id: format!("{index:05}"), delivery: 1 })
                .into_iter()
                .collect(),
        }
    }

    fn started(worker: u32) -> Event {
        Event::ProcessStarted { process: format!("worker-{worker}"), pid: 1 }
    }

    fn healed(worker: u32) -> Event {
        Event::FaultHealed { fault: "f".into(), target: format!("worker-{worker}"), seen: None }
    }

    /// The ideal time of a sweep that started at 2 s, to which these things happened.
    fn ideal_of(plan: &Plan, events: &[(f64, Event)]) -> Option<f64> {
        let mut facts = Facts::new(plan);
        facts.observe(&Record { t_s: 2.0, event: Event::SweepStarted });
        for (t_s, event) in events {
            facts.observe(&Record { t_s: 2.0 + t_s, event: event.clone() });
        }
        ideal_s(plan, &facts).map(|ideal| (ideal * 1e6).round() / 1e6)
    }

    fn sweep_of(params: u64, workers: u32) -> Plan {
        let mut plan = plan();
        (plan.sweep.end, plan.workers) = (params, workers);
        plan
    }

    #[test]
    fn a_hundred_chunks_of_one_second_on_three_workers_take_34_seconds() {
        assert_eq!(ideal_of(&plan(), &[]), Some(34.0));
    }

    #[test]
    fn a_worker_that_dies_at_10_3_seconds_loses_what_it_had_begun() {
        // 30 chunks by second 10, and the other 70 two at a time.
        let death = (10.3, strike("kill", 1, Some(31)));
        assert_eq!(ideal_of(&plan(), &[death]), Some(45.0));
    }

    #[test]
    fn a_chunk_cut_short_at_the_end_is_done_again_from_then_on() {
        assert_eq!(ideal_of(&plan(), &[(33.5, strike("kill", 0, Some(99)))]), Some(34.5));
    }

    #[test]
    fn a_restarted_worker_is_back_when_its_process_is() {
        // 4 chunks on one worker: two by second 2, half of one lost, back at 3, the other two.
        let events = [(2.5, strike("restart", 0, Some(2))), (3.0, started(0))];
        assert_eq!(ideal_of(&sweep_of(40, 1), &events), Some(5.0));
    }

    #[test]
    fn a_paused_worker_goes_on_where_it_stood() {
        let events = [(1.5, strike("pause", 0, Some(1))), (4.0, healed(0))];
        assert_eq!(ideal_of(&sweep_of(30, 1), &events), Some(5.5));
    }

    #[test]
    fn others_do_what_a_worker_paused_for_long_could_not() {
        let events = [(0.5, strike("pause", 0, Some(0))), (60.0, healed(0))];
        assert_eq!(ideal_of(&sweep_of(40, 2), &events), Some(4.0));
    }

    #[test]
    fn a_pause_that_is_never_healed_is_as_good_as_a_death() {
        let pause = (0.5, strike("pause", 0, Some(0)));
        assert_eq!(ideal_of(&sweep_of(40, 2), std::slice::from_ref(&pause)), Some(4.0));
        assert_eq!(ideal_of(&sweep_of(40, 1), &[pause]), None);
    }

    #[test]
    fn a_fault_that_did_not_bite_costs_nothing() {
        let mut miss = strike("kill", 1, Some(31));
        if let Event::FaultInjected { bit, .. } = &mut miss {
            *bit = false;
        }
        assert_eq!(ideal_of(&plan(), &[(10.3, miss)]), Some(34.0));
    }

    #[test]
    fn a_worker_that_crashes_by_itself_is_not_alive_either() {
        let (process, pid, signal, said) = ("worker-0".into(), 1, None, None);
        let crash = Event::ProcessExited { process, pid, code: Some(1), signal, said };
        assert_eq!(ideal_of(&sweep_of(40, 2), &[(1.2, crash)]), Some(3.0));
    }

    #[test]
    fn the_exit_that_a_fault_brings_about_is_the_same_death() {
        let exit = Event::ProcessExited {
            process: "worker-0".into(),
            pid: 1,
            code: None,
            signal: Some(9),
            said: None,
        };
        let events = [(2.5, strike("restart", 0, Some(2))), (2.6, exit), (3.0, started(0))];
        assert_eq!(ideal_of(&sweep_of(40, 1), &events), Some(5.0));
    }

    #[test]
    fn without_a_living_worker_there_is_no_ideal_time() {
        assert_eq!(ideal_of(&sweep_of(40, 1), &[(2.5, strike("kill", 0, Some(2)))]), None);
    }

    #[test]
    fn the_last_chunk_may_be_smaller() {
        assert_eq!(ideal_of(&sweep_of(35, 1), &[]), Some(3.5));
    }

    #[test]
    fn in_static_mode_each_worker_has_its_own_range() {
        // 333, 333 and 334 parameters.
        let mut plan = static_plan();
        plan.faults.clear();
        assert_eq!(ideal_of(&plan, &[]), Some(33.4));
        let others_are_slower = (10.3, strike("kill", 2, None));
        assert_eq!(ideal_of(&plan, &[others_are_slower]), Some(33.3));
    }

    #[test]
    fn a_kernel_without_a_nominal_duration_goes_by_what_was_measured() {
        let mut plan = plan();
        plan.sweep.kernel = Kernel::Exec { command: vec!["./simulate".into()] };
        let history = History::of(plan).spoil(|record| {
            if let Event::Result(result) = &mut record.event {
                result.duration_s = 0.5;
            }
        });
        assert_eq!(ideal_s(&history.plan, &history.facts()), Some(17.0));
    }

    #[test]
    fn a_run_without_waiting_is_as_fast_as_the_ideal() {
        let history = History::of(plan_with_kill());
        let facts = history.facts();
        let (ideal, wall) = (ideal_s(&history.plan, &facts).unwrap(), facts.wall_s().unwrap());
        assert!(STRUCK_S < wall && (wall - 0.03..=wall).contains(&ideal), "{ideal} of {wall}");
    }

    /// What happens to one worker: deaths, each with the time until it is back, if it is.
    type Deaths = Vec<(f64, Option<f64>)>;

    /// A greedy system with overhead: each worker takes the next chunk as soon as it is free, and
    /// needs a little longer than the chunk; what a death cuts short goes to the front.
    fn simulate(
        plan: &Plan,
        deaths: &[Deaths],
        overheads: &[f64],
    ) -> (Option<f64>, Vec<(f64, Event)>) {
        let mut open: VecDeque<(u64, f64)> = (0..plan.sweep.chunks()).map(|i| (i, 0.0)).collect();
        let mut free: Vec<Option<f64>> = vec![Some(0.0); deaths.len()];
        let mut left: Vec<VecDeque<_>> =
            deaths.iter().map(|d| d.iter().copied().collect()).collect();
        let mut overheads = overheads.iter().cycle();
        let (mut events, mut end) = (Vec::new(), 0.0_f64);
        while let Some((index, release)) = open.pop_front() {
            let next = (0..free.len()).filter(|w| free[*w].is_some());
            let Some(w) = next.min_by(|a, b| free[*a].unwrap().total_cmp(&free[*b].unwrap()))
            else {
                return (None, events);
            };
            let start = free[w].unwrap().max(release);
            let (from, to) = plan.sweep.chunk(index);
            let done = start + (to - from) as f64 * 0.1 + overheads.next().unwrap();
            match left[w].front().copied() {
                Some((death, back)) if death < done => {
                    left[w].pop_front();
                    let held = (death >= start).then_some(index);
                    events.push((death, strike("restart", w as u32, held)));
                    free[w] = back.map(|back| death + back);
                    events.extend(free[w].map(|at| (at, started(w as u32))));
                    open.push_front((index, if held.is_some() { death } else { release }));
                }
                _ => {
                    free[w] = Some(done);
                    end = end.max(done);
                }
            }
        }
        (Some(end), events)
    }

    fn some_deaths() -> impl Strategy<Value = Deaths> {
        let death = (0.05_f64..8.0, prop::option::weighted(0.8, 0.05_f64..3.0));
        prop::collection::vec(death, 0..3).prop_map(|gaps| {
            let mut at = 0.0;
            let mut deaths = Deaths::new();
            for (gap, back) in gaps {
                at += gap;
                deaths.push((at, back));
                let Some(back) = back else { break };
                at += back;
            }
            deaths
        })
    }

    proptest! {
        #[test]
        fn no_greedy_schedule_with_overhead_beats_the_ideal(
            params in 1_u64..300,
            deaths in prop::collection::vec(some_deaths(), 1..5),
            overheads in prop::collection::vec(0.001_f64..0.5, 1..20),
        ) {
            let plan = sweep_of(params, deaths.len() as u32);
            let (wall, events) = simulate(&plan, &deaths, &overheads);
            if let Some(wall) = wall {
                let ideal = ideal_of(&plan, &events);
                prop_assert!(ideal.is_some_and(|ideal| ideal <= wall), "{ideal:?} > {wall}");
            }
        }
    }
}
