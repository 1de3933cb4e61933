//! What the tasks of somebody else's coordinator tell of their sweep, where nothing of ours does.

use serde::{Deserialize, Serialize};

use super::SweepInfo;
use crate::chunk::{Chunk, Sweep};
use crate::wire::Task;

/// Tasks of which nobody of ours has submitted any, as far as they were seen.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Told {
    first: Option<Sweep>,
    /// One that is not the first.
    other: Option<Sweep>,
    /// When the first was made.
    created_at: String,
}

impl Told {
    /// Takes a task in. One that says nothing of the whole, or what cannot be, tells nothing.
    pub(super) fn take_in(&mut self, task: &Task) {
        match (sweep_of(task), self.first) {
            (Some(sweep), None) => {
                self.first = Some(sweep);
                self.created_at.clone_from(&task.created_at);
            }
            (Some(sweep), Some(first)) if sweep != first => self.other = Some(sweep),
            _ => {}
        }
    }

    /// The sweep, for whoever only looks: when it began is not known.
    pub(super) fn sweep(&self) -> Option<SweepInfo> {
        let info = |sweep| SweepInfo { sweep, job_id: String::new(), created_at: String::new() };
        self.first.map(info)
    }

    /// When the first task was made, if it says so.
    pub(super) fn created_at(&self) -> Option<&str> {
        self.created_at.parse::<jiff::Timestamp>().ok().map(|_| self.created_at.as_str())
    }

    /// What is there, if it is not all of the sweep that is asked for.
    pub(super) fn contradicts(&self, asked: &Sweep) -> Option<String> {
        let words = |sweep| format!("tasks of {}", super::words(sweep));
        match (&self.first, &self.other) {
            (Some(first), Some(other)) => Some(format!("{}, and {}", words(first), words(other))),
            (Some(first), None) if first != asked => Some(words(first)),
            _ => None,
        }
    }
}

/// The sweep that a task is of, if its numbers add up to one.
fn sweep_of(task: &Task) -> Option<Sweep> {
    let Task { chunk, total_params: params, total_chunks: chunks, .. } = task;
    let Chunk { index, start, .. } = *chunk;
    // The last one may be smaller than all before it.
    let chunk_size = match index.checked_add(1)? {
        1 if *chunks == 1 => *params,
        next if next == *chunks => params.checked_sub(chunk.params())?.checked_div(index)?,
        _ => chunk.params(),
    };
    let start = start.checked_sub(index.checked_mul(chunk_size)?)?;
    let sweep = Sweep { start, params: *params, chunk_size };
    let adds_up = *params > 0 && sweep.check_bounds().is_ok() && task.check(&sweep).is_ok();
    (adds_up && sweep.chunks() == *chunks).then_some(sweep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn task(start: u64, end: u64, total_params: u64, total_chunks: u64) -> Task {
        let sweep = Sweep { start: 0, params: 1, chunk_size: 1 };
        let chunk = Chunk { index: 3, start, end };
        Task { chunk, total_params, total_chunks, ..Task::first(&sweep, 0, "") }
    }

    #[test]
    fn numbers_that_do_not_add_up_tell_nothing() {
        assert!(sweep_of(&task(30, 40, 100, 10)).is_some());
        for (start, end, params, chunks) in [
            (30, 40, 0, 0),
            (30, 40, 100, 11),
            (30, 40, 50, 10),
            (10, 40, 100, 4),
            (20, 30, 100, 10),
            (30, 40, u64::MAX, u64::MAX),
            (30, 40, 100, 4),
        ] {
            assert_eq!(sweep_of(&task(start, end, params, chunks)), None, "{start} {params}");
        }
    }

    #[test]
    fn tasks_of_two_sweeps_are_nobodys() {
        let small = Sweep { start: 0, params: 100, chunk_size: 10 };
        let large = Sweep { chunk_size: 20, ..small };
        let mut told = Told::default();
        assert_eq!(told.contradicts(&small), None);
        told.take_in(&Task::first(&small, 2, "2026-01-02T03:04:05Z"));
        assert_eq!(
            (told.contradicts(&small), told.created_at()),
            (None, Some("2026-01-02T03:04:05Z"))
        );
        insta::assert_snapshot!(told.contradicts(&large).expect("it is another"), @"tasks of a sweep of 100 parameters from 0 in chunks of 10");
        told.take_in(&Task::first(&large, 2, ""));
        insta::assert_snapshot!(told.contradicts(&small).expect("there are two"), @"tasks of a sweep of 100 parameters from 0 in chunks of 10, and tasks of a sweep of 100 parameters from 0 in chunks of 20");
    }

    proptest! {
        #[test]
        fn any_task_of_a_sweep_tells_of_all_of_it(
            start in 0u64..1_000, params in 1u64..5_000, chunk_size in 1u64..700, at: prop::sample::Index,
        ) {
            let chunk_size = chunk_size.min(params);
            let sweep = Sweep { start, params, chunk_size };
            let index = at.index(sweep.chunks() as usize) as u64;
            prop_assert_eq!(sweep_of(&Task::first(&sweep, index, "")), Some(sweep));
        }
    }
}
