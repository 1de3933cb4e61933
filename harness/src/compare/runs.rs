//! Whatever was run: a column for each scenario.

use super::column::{Column, Columns};
use super::table::{Table, seconds};
use crate::results::Results;

const TOTALS: &str = "Lost, redelivered and removed are counted over all runs of a scenario, and recovery is \
    that of the slowest chunk of a run.";

/// The table of these results.
pub(super) fn table(results: &[Results]) -> Table {
    let columns = Columns::of(&[], 0, results);
    let row = |name: &str, cell: &dyn Fn(&Column<'_>) -> String| columns.row(name, cell);
    let count = |figure: fn(&Results) -> u64| {
        move |it: &Column<'_>| it.tell(|run| Some(figure(run) as f64), |n| n.to_string())
    };
    let rows = vec![
        row("verdict", &|it| it.verdict()),
        row("backend", &|it| it.word(|run| run.backend.name())),
        row("parameters", &count(|run| run.params)),
        row("chunks", &count(|run| run.chunks)),
        row("workers", &count(|run| run.workers.len() as u64)),
        row("faults that bit", &count(|run| run.faults.iter().filter(|it| it.bit).count() as u64)),
        row("runtime", &|it| it.tell(|run| run.wall_s, seconds)),
        row("runtime, ideal", &|it| it.tell(|run| run.ideal_s, seconds)),
        row("params/s", &|it| it.tell(|run| run.throughput_params_per_s, |n| format!("{n:.1}"))),
        row("efficiency", &|it| it.tell(|run| run.efficiency, |n| format!("{:.1} %", n * 100.0))),
        row("recovery", &|it| it.tell(|run| run.recovery_ms.max, |n| format!("{n:.0} ms"))),
        row("params lost", &|it| it.total(|run| Some(run.coverage.missing.count))),
        row("redelivered", &|it| it.total(|run| run.redelivered)),
        row("duplicates removed", &|it| it.total(|run| run.duplicates_removed)),
    ];
    Table {
        title: "Runs".to_owned(),
        columns: columns.headings(),
        rows,
        notes: vec![TOTALS.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::run;

    #[test]
    fn every_scenario_has_a_column_in_the_order_in_which_they_came() {
        let table = table(&[run("b", 2.0), run("a", 1.0), run("b", 4.0)]);
        assert_eq!(table.columns, ["b", "a"]);
        let row = |name: &str| {
            table.rows.iter().find(|(it, _)| it == name).map(|(_, cells)| cells.clone()).unwrap()
        };
        assert_eq!(row("verdict"), ["2 of 2 pass", "pass"]);
        assert_eq!(row("runtime"), ["3.0 s (2.0 s-4.0 s)", "1.0 s"]);
        assert_eq!(row("parameters"), ["1000", "1000"]);
    }
}
