//! What is left in the queues when a sweep is over.

use super::Table;
use crate::facts::Depths;
use crate::plan::Backend;
use crate::results::Results;
use crate::words::counted;

/// A queue: its name, how much is in it, and what that means.
struct Queue {
    name: &'static str,
    depth: fn(&Depths) -> u64,
    meaning: fn(u64, &Results) -> String,
}

const QUEUES: [Queue; 4] = [
    Queue { name: "ttg.tasks", depth: |depths| depths.tasks, meaning: tasks },
    Queue { name: "ttg.results", depth: |depths| depths.results, meaning: results },
    Queue { name: "ttg.tasks.retry", depth: |depths| depths.retry, meaning: retry },
    Queue { name: "ttg.tasks.dlq", depth: |depths| depths.letters, meaning: letters },
];

/// The table of these runs: a column each.
pub(super) fn table(runs: &[Results]) -> Table {
    let with_queues = || runs.iter().filter(|run| run.backend != Backend::Static);
    let cell = |run: &Results, queue: &Queue| {
        run.queues.as_ref().map_or_else(|| "-".to_owned(), |it| (queue.depth)(it).to_string())
    };
    let rows = QUEUES
        .iter()
        .map(|queue| (queue.name.to_owned(), with_queues().map(|run| cell(run, queue)).collect()))
        .collect();
    let mut notes = Vec::new();
    for run in with_queues() {
        let Some(depths) = &run.queues else {
            notes.push(format!("{}: the queues were not looked at.", run.scenario));
            continue;
        };
        let told: Vec<String> = QUEUES
            .iter()
            .map(|queue| format!("{}: {}", queue.name, (queue.meaning)((queue.depth)(depths), run)))
            .collect();
        notes.push(format!("{}. {}.", run.scenario, told.join("; ")));
    }
    Table {
        title: "Messages in the queues after completion".to_owned(),
        columns: with_queues().map(|run| run.scenario.clone()).collect(),
        rows,
        notes,
    }
}

fn tasks(left: u64, _: &Results) -> String {
    match left {
        0 => "every task is settled".to_owned(),
        left => format!("{} nobody has settled", counted(left, "task")),
    }
}

fn results(there: u64, run: &Results) -> String {
    let expected = run.chunks - run.queues.as_ref().map_or(0, |it| it.letters.min(run.chunks));
    match there.checked_sub(expected) {
        Some(0) => "one for each chunk, kept for whoever reads them".to_owned(),
        Some(more) => format!("{} beyond one for each chunk", counted(more, "result")),
        None => format!("{} missing", counted(expected - there, "result")),
    }
}

fn retry(waiting: u64, _: &Results) -> String {
    match waiting {
        0 => "no attempt is to be made again".to_owned(),
        waiting => format!("{} to be made again", counted(waiting, "attempt")),
    }
}

fn letters(there: u64, _: &Results) -> String {
    match there {
        0 => "no chunk was given up".to_owned(),
        there => format!("{} given up, to be replayed or dropped", counted(there, "chunk")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::run;

    fn told(tasks: u64, results: u64, retry: u64, letters: u64) -> (Vec<String>, String) {
        let queues = Some(Depths { tasks, results, retry, letters });
        let mut table = table(&[Results { queues, ..run("m3-redis", 34.1) }]);
        (
            table.rows.into_iter().map(|(_, mut cells)| cells.remove(0)).collect(),
            table.notes.remove(0),
        )
    }

    #[test]
    fn a_whole_sweep_leaves_its_results_alone() {
        let (cells, note) = told(0, 100, 0, 0);
        assert_eq!(cells, ["0", "100", "0", "0"]);
        insta::assert_snapshot!(note, @"m3-redis. ttg.tasks: every task is settled; ttg.results: one for each chunk, kept for whoever reads them; ttg.tasks.retry: no attempt is to be made again; ttg.tasks.dlq: no chunk was given up.");
    }

    #[test]
    fn what_is_left_or_missing_is_told() {
        let (cells, note) = told(3, 98, 1, 1);
        assert_eq!(cells, ["3", "98", "1", "1"]);
        insta::assert_snapshot!(note, @"m3-redis. ttg.tasks: 3 tasks nobody has settled; ttg.results: 1 result missing; ttg.tasks.retry: 1 attempt to be made again; ttg.tasks.dlq: 1 chunk given up, to be replayed or dropped.");
        insta::assert_snapshot!(told(0, 101, 0, 0).1, @"m3-redis. ttg.tasks: every task is settled; ttg.results: 1 result beyond one for each chunk; ttg.tasks.retry: no attempt is to be made again; ttg.tasks.dlq: no chunk was given up.");
    }

    #[test]
    fn a_run_that_did_not_look_says_so() {
        let table = table(&[run("m3-redis", 34.1)]);
        assert_eq!(table.rows[0].1, ["-"]);
        insta::assert_snapshot!(table.notes[0], @"m3-redis: the queues were not looked at.");
    }
}
