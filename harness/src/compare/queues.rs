//! What is left in the queues when a sweep is over.

use super::table::Table;
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
    let unseen = with_queues().filter(|run| run.queues.is_none());
    let unseen = unseen.map(|run| format!("{}: the queues were not looked at.", run.scenario));
    let seen: Vec<(&Results, &Depths)> =
        with_queues().filter_map(|run| Some((run, run.queues.as_ref()?))).collect();
    let meanings = QUEUES.iter().filter_map(|queue| meaning(queue, &seen));
    let notes = meanings.chain(unseen).collect();
    Table {
        title: "Messages in the queues after completion".to_owned(),
        columns: with_queues().map(|run| run.scenario.clone()).collect(),
        rows,
        notes,
    }
}

/// What a queue's numbers mean: once, where it is the same of every run.
fn meaning(queue: &Queue, seen: &[(&Results, &Depths)]) -> Option<String> {
    let of = |(run, depths): &(&Results, &Depths)| (queue.meaning)((queue.depth)(depths), run);
    let first = of(seen.first()?);
    if seen.iter().all(|it| of(it) == first) {
        return Some(format!("{}: {first}.", queue.name));
    }
    let each: Vec<String> =
        seen.iter().map(|it| format!("{} ({})", of(it), it.0.scenario)).collect();
    Some(format!("{}: {}.", queue.name, each.join("; ")))
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

    fn seen(scenario: &str, depths: [u64; 4]) -> Results {
        let [tasks, results, retry, letters] = depths;
        Results { queues: Some(Depths { tasks, results, retry, letters }), ..run(scenario, 34.1) }
    }

    fn notes(runs: &[Results]) -> String {
        table(runs).notes.join("\n")
    }

    #[test]
    fn a_whole_sweep_leaves_its_results_alone() {
        let runs = ["m3-redis", "m3-rabbitmq"].map(|name| seen(name, [0, 100, 0, 0]));
        assert_eq!(table(&runs).rows[1], ("ttg.results".into(), vec!["100".into(), "100".into()]));
        insta::assert_snapshot!(notes(&runs), @r"
        ttg.tasks: every task is settled.
        ttg.results: one for each chunk, kept for whoever reads them.
        ttg.tasks.retry: no attempt is to be made again.
        ttg.tasks.dlq: no chunk was given up.
        ");
    }

    #[test]
    fn what_is_left_or_missing_is_told_of_each_run() {
        let runs = [seen("one", [3, 98, 1, 1]), seen("other", [0, 101, 0, 0])];
        insta::assert_snapshot!(notes(&runs), @r"
        ttg.tasks: 3 tasks nobody has settled (one); every task is settled (other).
        ttg.results: 1 result missing (one); 1 result beyond one for each chunk (other).
        ttg.tasks.retry: 1 attempt to be made again (one); no attempt is to be made again (other).
        ttg.tasks.dlq: 1 chunk given up, to be replayed or dropped (one); no chunk was given up (other).
        ");
    }

    #[test]
    fn a_run_that_did_not_look_says_so() {
        let mut unseen = run("m3-redis", 34.1);
        unseen.queues = None;
        let table = table(&[unseen]);
        assert_eq!(table.rows[0].1, ["-"]);
        assert_eq!(table.notes, ["m3-redis: the queues were not looked at."]);
    }
}
