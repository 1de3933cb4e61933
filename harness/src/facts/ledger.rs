//! What became of every parameter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::intervals::IntervalSet;
use super::letters::Letters;
use super::oracle::{Formula, HALF_STEP, Reported, Yield};
use crate::history::SeenResult;
use crate::last_words::line_by_line;
use crate::plan::{Backend, Kernel, Plan, Sweep};
use crate::words::{FirstLines, chunk_id, counted, quoted, seconds};

/// Some parameters: how many, and the first of their ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranges {
    /// How many.
    pub count: u64,
    /// The first ranges, half-open and merged.
    pub ranges: Vec<(u64, u64)>,
}

/// Parameters that something is to be said of.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Those whose number is known.
    pub set: IntervalSet,
    /// How many there are besides, of no known number.
    unplaced: u64,
    evidence: FirstLines,
    /// What is said of those that are dead letters.
    letters: Letters,
}

impl Tally {
    /// Adds some of no known number: a count that somebody reports may be any.
    fn add_unplaced(&mut self, count: u64) {
        self.unplaced = self.unplaced.saturating_add(count);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.set.len().saturating_add(self.unplaced)
    }

    /// The first lines of evidence.
    pub fn evidence(&self) -> Vec<String> {
        let letters = line_by_line(&self.letters.evidence());
        letters.into_iter().chain(self.evidence.lines()).collect()
    }

    /// For the results.
    pub fn ranges(&self) -> Ranges {
        Ranges { count: self.count(), ranges: first_ranges(&self.set) }
    }
}

/// The first ranges of a set, as many as a person may want to see.
pub fn first_ranges(set: &IntervalSet) -> Vec<(u64, u64)> {
    set.iter().take(20).collect()
}

/// The first commit of a chunk: kept for each, because a second one may name it as late as it
/// likes.
#[derive(Debug, Clone, Copy)]
struct Commit {
    start: u64,
    end: u64,
    worker: u32,
    t_s: f32,
    sum: f64,
    min: f64,
    max: f64,
}

impl Commit {
    /// Whether a result of the same parameters has the same value; its sum may have been added up in
    /// another order.
    fn is_equal(&self, result: &SeenResult) -> bool {
        let tolerance = result.count as f64 * f64::EPSILON * self.sum.abs();
        (self.sum - result.sum).abs() <= tolerance
            && self.min == result.min
            && self.max == result.max
    }
}

/// Results of a chunk beyond its first.
#[derive(Debug, Clone, Default)]
pub struct Duplicates {
    /// How many.
    pub count: u64,
    /// The workers of all results of the chunk, the first included.
    pub workers: BTreeSet<String>,
    /// When the first and the last of them came, in seconds since the run began.
    pub between_s: (f64, f64),
    /// The first one with another value than the first: both sums.
    pub unequal: Option<(f64, f64)>,
}

/// What a result says of a piece of the sweep, but for its size, which is the piece's.
#[derive(Debug, Clone, Copy)]
struct Values {
    sum: f64,
    min: f64,
    max: f64,
}

/// What became of every parameter.
#[derive(Debug, Clone)]
pub struct Ledger {
    sweep: Sweep,
    /// Static mode: results say their range, and their ids are those of batches.
    by_range: bool,
    committed: IntervalSet,
    commits: Vec<Commit>,
    workers: Vec<(String, u64)>,
    worker_index: BTreeMap<String, u32>,
    reported: Sum,
    /// What was reported first of each piece of the sweep, by its first parameter, where only a program
    /// of the user's own knows the values.
    first_reported: HashMap<u64, Values>,
    /// Pieces that were computed again, to compare.
    pub recomputed: u64,
    /// Pieces that were reported, and on which the program failed when it was to compute them again.
    pub(crate) not_recomputed: FirstLines,
    /// By how much a mean may differ from sum ÷ count.
    mean_rounding: f64,
    durations: (f64, u64),
    /// Committed more than once.
    pub duplicated: Tally,
    /// Results beyond the first of their chunk.
    pub duplicates: u64,
    /// Of each chunk that has some.
    pub duplicates_of: BTreeMap<u64, Duplicates>,
    /// For each chunk, its place among the commits, from 1.
    commit_of: Vec<u32>,
    /// Dead letters of no chunk of the sweep.
    pub letters_of_no_chunk: u64,
    /// How many of them came before the last result that is the first of its chunk: whoever has read that
    /// one has read them.
    pub duplicates_before_last: u64,
    /// Reported, and not of this sweep.
    pub unexpected: Tally,
    /// Reported with a value that the kernel does not yield.
    pub wrong_value: Tally,
    /// In the dead letters.
    pub dead_lettered: Tally,
}

impl Ledger {
    /// Nothing has been committed yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            sweep: plan.sweep.clone(),
            by_range: plan.backend == Backend::Static,
            committed: IntervalSet::default(),
            commits: Vec::new(),
            workers: Vec::new(),
            worker_index: BTreeMap::new(),
            reported: Sum::default(),
            first_reported: HashMap::new(),
            recomputed: 0,
            not_recomputed: FirstLines::default(),
            mean_rounding: if plan.foreign.is_some() { HALF_STEP } else { 0.0 },
            durations: (0.0, 0),
            duplicated: Tally::default(),
            duplicates: 0,
            duplicates_before_last: 0,
            duplicates_of: BTreeMap::new(),
            commit_of: Vec::new(),
            letters_of_no_chunk: 0,
            unexpected: Tally::default(),
            wrong_value: Tally::default(),
            dead_lettered: Tally::default(),
        }
    }

    /// Takes a result in.
    pub fn result(&mut self, t_s: f64, result: &SeenResult) {
        if result.duration_s.is_finite() && result.duration_s > 0.0 {
            self.durations.0 += result.duration_s;
            self.durations.1 += 1;
        }
        let Some((start, end)) = self.place(t_s, result) else {
            return;
        };
        self.check_value(start, end, result);
        if let Kernel::Exec { .. } = self.sweep.kernel {
            let SeenResult { sum, min, max, .. } = *result;
            self.first_reported.entry(start).or_insert(Values { sum, min, max });
        }
        let again = self.committed.insert(start, end);
        if again.is_empty() {
            let worker = self.worker(&result.worker);
            self.workers[worker as usize].1 += 1;
            self.commits.push(Commit {
                start,
                end,
                worker,
                t_s: t_s as f32,
                sum: result.sum,
                min: result.min,
                max: result.max,
            });
            self.note_place(&result.chunk_id);
            self.reported.add(result);
            self.duplicates_before_last = self.duplicates;
        } else {
            self.note_duplicate(t_s, result, &again);
        }
    }

    /// Takes in what the harness computed by itself, after all results.
    pub fn recomputed(&mut self, result: &SeenResult) {
        let Some((start, end)) = self.piece(&result.chunk_id, result.range) else { return };
        let Some(&Values { sum, min, max }) = self.first_reported.get(&start) else { return };
        self.recomputed += 1;
        let avg = sum / result.count as f64;
        let reported = Reported { count: result.count, sum, min, max, avg };
        let differences = Reported::from(result).differences_but_rounding(&reported);
        if !differences.is_empty() {
            self.wrong_value.set.insert(start, end);
            let named = self.name(start, end);
            self.wrong_value.evidence.push(|| {
                let differences = differences.join(", ");
                format!(
                    "{named}, computed again, was reported with {differences} (a program that \
                     answers otherwise each time cannot be checked)"
                )
            });
        }
    }

    /// Takes in that the program failed when the harness was to compute with it.
    pub fn not_recomputed(&mut self, id: &str, range: Option<(u64, u64)>, reason: &str) {
        let Some((start, end)) = self.piece(id, range) else { return };
        if self.first_reported.contains_key(&start) {
            let named = self.name(start, end);
            let reason = quoted(reason);
            self.not_recomputed
                .push(|| format!("{named} was reported, and cannot be computed again: {reason}"));
        }
    }

    /// The parameters of a piece: of a chunk, or of a batch that says its range.
    fn piece(&self, id: &str, range: Option<(u64, u64)>) -> Option<(u64, u64)> {
        if self.by_range { range } else { Some(self.sweep.chunk(self.index(id)?)) }
    }

    /// Takes in what was among the results and is none.
    pub fn unreadable(&mut self, t_s: f64, reason: &str) {
        self.unexpected.add_unplaced(1);
        let reason = quoted(reason);
        self.unexpected
            .evidence
            .push(|| format!("a result at {} cannot be read: {reason}", seconds(t_s)));
    }

    /// Takes a dead letter in.
    pub fn dead_letter(&mut self, id: Option<&str>, range: Option<(u64, u64)>, reason: &str) {
        let chunk = id.and_then(|id| self.index(id)).map(|index| self.sweep.chunk(index));
        let chunk = chunk.filter(|chunk| range.is_none_or(|range| range == *chunk));
        let tally = &mut self.dead_lettered;
        if let Some((start, end)) = chunk {
            tally.set.insert(start, end);
            let (noun, name) = self.named(start, end);
            self.dead_lettered.letters.push(Some(noun), name, reason);
        } else {
            tally.add_unplaced(1);
            self.letters_of_no_chunk += 1;
            tally.letters.push(None, String::new(), reason);
        }
    }

    /// Dead letters were replayed: which there are is told anew.
    pub fn replayed(&mut self) {
        self.dead_lettered = Tally::default();
        self.letters_of_no_chunk = 0;
    }

    /// Parameters that were committed.
    pub fn committed(&self) -> &IntervalSet {
        &self.committed
    }

    /// Chunks that were committed.
    pub fn chunks_committed(&self) -> u64 {
        self.commits.len() as u64
    }

    /// When the first result of this chunk came, in seconds since the run began.
    pub fn committed_s(&self, index: u64) -> Option<f64> {
        self.commit(index).map(|(_, t_s)| t_s)
    }

    /// Whose the first result of this chunk is, and when it came.
    pub fn commit(&self, index: u64) -> Option<(&str, f64)> {
        let commit = self.commit_of(index)?;
        Some((&self.workers[commit.worker as usize].0, commit.t_s.into()))
    }

    /// Where the last piece of the sweep ends that this worker has committed.
    pub fn last_end_of(&self, worker: &str) -> Option<u64> {
        let worker = *self.worker_index.get(worker)?;
        self.commits.iter().filter(|it| it.worker == worker).map(|it| it.end).max()
    }

    fn commit_of(&self, index: u64) -> Option<&Commit> {
        let place = *self.commit_of.get(usize::try_from(index).ok()?)?;
        self.commits.get(usize::try_from(place).ok()?.checked_sub(1)?)
    }

    /// Notes which commit, the last one, is this chunk's.
    fn note_place(&mut self, id: &str) {
        let index = self.index(id).filter(|_| !self.by_range);
        let Some(at) = index.and_then(|index| usize::try_from(index).ok()) else { return };
        if self.commit_of.len() <= at {
            self.commit_of.resize(at + 1, 0);
        }
        self.commit_of[at] = self.commits.len() as u32;
    }

    /// Chunks that were committed up to that moment.
    pub fn chunks_committed_by(&self, t_s: f64) -> u64 {
        self.commits.iter().filter(|commit| f64::from(commit.t_s) <= t_s).count() as u64
    }

    /// How many chunks are in the dead letters: at least, because nothing else came of them, and at most.
    pub fn chunks_dead(&self) -> (u64, u64) {
        let size = self.sweep.chunk_size;
        let chunks = |(start, end): (u64, u64)| (end - start).div_ceil(size);
        let dead = &self.dead_lettered;
        let for_good = dead
            .set
            .iter()
            .flat_map(|(start, end)| self.committed.gaps(start, end).iter().collect::<Vec<_>>());
        let at_most = dead.set.iter().map(chunks).sum::<u64>();
        (for_good.map(chunks).sum(), at_most.saturating_add(dead.unplaced))
    }

    /// Parameters that are neither committed nor in the dead letters.
    pub fn missing(&self) -> IntervalSet {
        let mut accounted = self.committed.clone();
        for (start, end) in self.dead_lettered.set.iter() {
            accounted.insert(start, end);
        }
        accounted.gaps(self.sweep.start, self.sweep.end)
    }

    /// Every worker that committed, with how many chunks it was the first to commit.
    pub fn workers(&self) -> impl Iterator<Item = (&str, u64)> {
        self.workers.iter().map(|(worker, chunks)| (worker.as_str(), *chunks))
    }

    /// The mean time that a worker says a chunk took it.
    pub fn mean_duration_s(&self) -> Option<f64> {
        let (sum, count) = self.durations;
        (count > 0).then(|| sum / count as f64)
    }

    /// What a built-in kernel yields over all that was committed.
    pub fn implied_by_formula(&self) -> Option<Yield> {
        let formula = Formula::of(&self.sweep.kernel)?;
        let yields = self.committed.iter().map(|(start, end)| formula.over(start, end));
        Some(yields.fold(formula.over_nothing(), Yield::and))
    }

    /// What a built-in kernel yields over all that was committed; for a program of the user's own,
    /// what its results add up to.
    pub fn implied(&self) -> Reported {
        self.implied_by_formula()
            .map_or_else(|| self.reported.figures(self.committed.len()), Yield::figures)
    }

    /// What is swept.
    pub fn sweep(&self) -> &Sweep {
        &self.sweep
    }

    /// What the results that count add up to, whatever the kernel.
    pub fn summed(&self) -> Reported {
        self.reported.figures(self.committed.len())
    }

    /// The index of the chunk with this id, if it is one of the sweep's.
    pub fn index(&self, id: &str) -> Option<u64> {
        let digits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
        let index = id.parse().ok().filter(|_| digits)?;
        (index < self.sweep.chunks()).then_some(index)
    }

    /// What evidence calls these parameters: the chunk that they are, or their range.
    fn name(&self, start: u64, end: u64) -> String {
        let (noun, name) = self.named(start, end);
        format!("{noun} {name}")
    }

    fn named(&self, start: u64, end: u64) -> (&'static str, String) {
        if self.by_range {
            return ("range", format!("{start}..{end}"));
        }
        let index = (start - self.sweep.start.min(start)) / self.sweep.chunk_size;
        ("chunk", chunk_id(index))
    }

    /// The sweep's parameters that a result speaks of; what it says beyond them is unexpected.
    fn place(&mut self, t_s: f64, result: &SeenResult) -> Option<(u64, u64)> {
        if !self.by_range {
            if let Some(index) = self.index(&result.chunk_id) {
                return Some(self.sweep.chunk(index));
            }
            self.unexpected.add_unplaced(result.count.max(1));
            let last = chunk_id(self.sweep.chunks().saturating_sub(1));
            self.unexpected.evidence.push(|| {
                let (id, worker) = (quoted(&result.chunk_id), quoted(&result.worker));
                format!(
                    "chunk {id:?} was committed by {worker} at {}, and the sweep ends with {last}",
                    seconds(t_s)
                )
            });
            return None;
        }
        let (start, end) = result.range.unwrap_or((0, 0));
        let (first, last) = (start.max(self.sweep.start), end.min(self.sweep.end));
        if (first, last) != (start, end) || start >= end {
            if start < end {
                self.unexpected.set.insert(start, end.min(self.sweep.start).max(start));
                self.unexpected.set.insert(start.max(self.sweep.end).min(end), end);
            } else {
                self.unexpected.add_unplaced(result.count.max(1));
            }
            let (whole, worker) = (self.sweep.end, quoted(&result.worker));
            self.unexpected.evidence.push(|| {
                format!(
                    "{worker} reported the range {start}..{end} of a sweep that ends at {whole}"
                )
            });
        }
        (first < last).then_some((first, last))
    }

    fn check_value(&mut self, start: u64, end: u64, result: &SeenResult) {
        let size = end - start;
        let short = result.count != size;
        let differences = match Formula::of(&self.sweep.kernel) {
            _ if short => Vec::new(),
            Some(formula) => formula.over(start, end).differences(&Reported::from(result)),
            None => Reported::from(result).wrong_mean(self.mean_rounding),
        };
        if !short && differences.is_empty() {
            return;
        }
        let (named, worker) = (self.name(start, end), quoted(&result.worker));
        self.wrong_value.set.insert(start, end);
        self.wrong_value.evidence.push(|| {
            if short {
                let (count, of) = (result.count, counted(size, "parameter"));
                format!("{named} was reported whole by {worker} with {count} of its {of}")
            } else {
                format!("{named} was reported by {worker} with {}", differences.join(", "))
            }
        });
    }

    fn note_duplicate(&mut self, t_s: f64, result: &SeenResult, again: &[(u64, u64)]) {
        self.duplicates += 1;
        if let Some(index) = self.index(&result.chunk_id)
            && let Some(first) = self.commit_of(index).copied()
        {
            let first_worker = &self.workers[first.worker as usize].0;
            let it = self.duplicates_of.entry(index).or_default();
            it.count += 1;
            it.workers.extend([first_worker.clone(), result.worker.clone()]);
            it.between_s = (first.t_s.into(), t_s);
            if !first.is_equal(result) {
                it.unequal.get_or_insert((first.sum, result.sum));
            }
        }
        for &(start, end) in again {
            self.duplicated.set.insert(start, end);
        }
        let (start, end) = again[0];
        let named = self.name(start, end);
        let (commits, workers) = (&self.commits, &self.workers);
        self.duplicated.evidence.push(|| {
            let first = commits.iter().find(|commit| commit.start < end && start < commit.end);
            let first = first.map_or_else(String::new, |commit| {
                let worker = quoted(&workers[commit.worker as usize].0);
                format!(" by {worker} at {}", seconds(commit.t_s.into()))
            });
            let worker = quoted(&result.worker);
            format!("{named} was committed{first} and again by {worker} at {}", seconds(t_s))
        });
    }

    fn worker(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.worker_index.get(name) {
            return index;
        }
        let index = self.workers.len() as u32;
        self.workers.push((name.to_owned(), 0));
        self.worker_index.insert(name.to_owned(), index);
        index
    }
}

/// What the committed results of a program of the user's own add up to; compensated, so that the
/// order of arrival does not show.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
    extremes: Option<(f64, f64)>,
}

impl Sum {
    fn add(&mut self, result: &SeenResult) {
        let sum = self.sum + result.sum;
        let (large, small) = if self.sum.abs() >= result.sum.abs() {
            (self.sum, result.sum)
        } else {
            (result.sum, self.sum)
        };
        self.lost += (large - sum) + small;
        self.sum = sum;
        let (min, max) = self.extremes.unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
        self.extremes = Some((min.min(result.min), max.max(result.max)));
    }

    fn figures(self, count: u64) -> Reported {
        let (min, max) = self.extremes.unwrap_or((f64::NAN, f64::NAN));
        let sum = self.sum + self.lost;
        Reported { count, sum, min, max, avg: sum / count as f64 }
    }
}
