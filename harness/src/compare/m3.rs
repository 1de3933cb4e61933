//! Redis beside RabbitMQ, without and with a fault.

use super::column::{Column, Columns, Spread};
use super::published;
use super::table::{Table, seconds};
use crate::plan::Backend;
use crate::results::Results;

/// Scenarios of the columns; the medium ones where they were run.
const SCENARIOS: [(&str, &str); 6] = [
    ("m3-redis", "Redis"),
    ("m3-rabbitmq", "RabbitMQ"),
    ("m3-redis-fault", "Redis, fault"),
    ("m3-rabbitmq-fault", "RabbitMQ, fault"),
    ("m3-redis-medium", "Redis, medium"),
    ("m3-rabbitmq-medium", "RabbitMQ, medium"),
];

/// How many of them are there whether they were run or not.
const ALWAYS: usize = 4;

const TOTALS: &str = "Lost, redelivered and removed are counted over all runs, and recovery is that of \
    the slowest chunk of a run.";

const PUBLISHED: &str = "Published: figures of the earlier system, in Python. They were not \
    measured here.";

/// The table of these results.
pub(super) fn table(results: &[Results]) -> Table {
    let columns = Columns::of(&SCENARIOS, ALWAYS, results);
    let row = |name: &str, cell: &dyn Fn(&Column<'_>) -> String| columns.row(name, cell);
    let is_published =
        |(scenario, ..): &(&str, &str, Column<'_>)| published::of(scenario).is_some();
    let any_published = columns.all.iter().any(is_published);
    // Where nothing was published of what was run, there is nothing to set beside it.
    let said = |name: &str, cell: fn(&published::Published) -> &str| {
        let cells = columns.all.iter().map(|(scenario, ..)| {
            published::of(scenario).map_or_else(|| "-".to_owned(), |it| cell(it).to_owned())
        });
        any_published.then(|| (name.to_owned(), cells.collect()))
    };
    let rows = [
        Some(row("verdict", &|it| it.verdict())),
        Some(row("chunks", &|it| it.tell(|run| Some(run.chunks as f64), |n| n.to_string()))),
        Some(row("runtime", &|it| it.tell(|run| run.wall_s, seconds))),
        Some(row("runtime, ideal", &|it| it.tell(|run| run.ideal_s, seconds))),
        said("runtime, published", |it| it.runtime),
        Some(row("params/s", &|it| {
            it.tell(|run| run.throughput_params_per_s, |n| format!("{n:.1}"))
        })),
        said("params/s, published", |it| it.throughput),
        Some(row("efficiency", &|it| {
            it.tell(|run| run.efficiency, |n| format!("{:.1} %", n * 100.0))
        })),
        Some(row("recovery", &|it| it.tell(|run| run.recovery_ms.max, |n| format!("{n:.0} ms")))),
        Some(row("recovery, mechanism", &|it| it.word(mechanism))),
        Some(row("params lost", &|it| it.total(|run| Some(run.coverage.missing.count)))),
        Some(row("redelivered", &|it| it.total(|run| run.redelivered))),
        Some(row("duplicates removed", &|it| it.total(|run| run.duplicates_removed))),
    ];
    let rows = rows.into_iter().flatten().collect();
    let mut notes: Vec<String> = vec![TOTALS.to_owned()];
    notes.extend(any_published.then(|| PUBLISHED.to_owned()));
    for pair in columns.all[..columns.own].chunks(2) {
        if let [(_, a, first), (_, b, second)] = pair {
            notes.push(quicker((a, first), (b, second)));
        }
    }
    Table { title: "Redis and RabbitMQ".to_owned(), columns: columns.headings(), rows, notes }
}

/// How the chunks of a worker that was killed come to another.
fn mechanism(run: &Results) -> &'static str {
    match run.backend {
        _ if run.recovery_ms.count == 0 => "-",
        Backend::Static => "none",
        Backend::Embedded => "peers watch its lock",
        Backend::Redis => "peers watch its connection",
        Backend::RabbitMq => "the broker requeues",
    }
}

/// Which of two was quicker, if that can be said at all.
fn quicker((a, first): (&str, &Column<'_>), (b, second): (&str, &Column<'_>)) -> String {
    let wall = |column: &Column<'_>| column.spread(|run| run.wall_s);
    let (Some(one), Some(other)) = (wall(first), wall(second)) else {
        return format!("{a} and {b}: not both were run and passed, so they are not compared.");
    };
    let runs = first.runs.len().min(second.runs.len());
    if runs < 2 {
        return format!("{a} and {b}: one run each shows no difference; repeat them.");
    }
    let below = |x: Spread, y: Spread| x.max < y.min;
    if below(one, other) {
        format!("{a} was quicker than {b} in each of {runs} runs.")
    } else if below(other, one) {
        format!("{b} was quicker than {a} in each of {runs} runs.")
    } else {
        format!("{a} and {b}: no difference can be claimed, the ranges of {runs} runs overlap.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::run;
    use crate::compare::{Form, form};
    use crate::verdict::Verdict;

    fn notes(results: &[Results]) -> Vec<String> {
        table(results).notes.split_off(2)
    }

    #[test]
    fn a_scenario_that_was_not_run_is_said_to_be_so() {
        let table = table(&[run("m3-redis", 34.1)]);
        assert_eq!(table.rows[0].1, ["pass", "not run", "not run", "not run"]);
        assert_eq!(table.rows[2].1, ["34.1 s", "-", "-", "-"]);
    }

    #[test]
    fn ones_own_runs_have_columns_and_nobody_elses_figures() {
        let table = table(&[run("mine", 34.1), run("mine", 34.3), run("other", 2.0)]);
        assert_eq!(table.columns, ["mine", "other"]);
        assert_eq!(table.rows[0].1, ["2 of 2 pass", "pass"]);
        assert!(table.rows.iter().all(|(name, _)| !name.contains("published")), "{table:?}");
        assert_eq!(table.notes, [TOTALS]);
    }

    #[test]
    fn ones_own_runs_stand_beside_the_tables() {
        let table = super::table(&[run("mine", 34.1), run("m3-redis", 34.1)]);
        assert_eq!(table.columns.last().map(String::as_str), Some("mine"));
        assert_eq!(table.rows[0].1, ["pass", "not run", "not run", "not run", "pass"]);
        assert_eq!(table.rows[4].1[4], "-", "nothing was published of it");
    }

    #[test]
    fn a_run_that_failed_has_no_figures() {
        let mut failed = run("m3-redis", 34.1);
        failed.verdict = Verdict::Fail;
        let table = table(&[failed, run("m3-redis", 34.1)]);
        assert_eq!((&*table.rows[0].1[0], &*table.rows[2].1[0]), ("1 of 2 pass", "-"));
    }

    #[test]
    fn nobody_is_said_to_be_quicker_where_the_ranges_overlap() {
        let runs = |redis: [f64; 2], rabbitmq: [f64; 2]| -> Vec<Results> {
            let redis = redis.map(|wall| run("m3-redis", wall));
            redis.into_iter().chain(rabbitmq.map(|wall| run("m3-rabbitmq", wall))).collect()
        };
        assert_eq!(
            notes(&runs([34.0, 34.3], [34.2, 34.5]))[0],
            "Redis and RabbitMQ: no difference can be claimed, the ranges of 2 runs overlap."
        );
        assert_eq!(
            notes(&runs([34.0, 34.1], [34.2, 34.5]))[0],
            "Redis was quicker than RabbitMQ in each of 2 runs."
        );
        assert_eq!(
            notes(&[run("m3-redis", 34.0), run("m3-rabbitmq", 35.0)])[0],
            "Redis and RabbitMQ: one run each shows no difference; repeat them."
        );
    }

    #[test]
    fn every_form_says_the_same() {
        let table = table(&[run("m3-redis", 34.1), run("m3-redis", 34.3)]);
        for form in [Form::Text, Form::Markdown, Form::Json, Form::Csv] {
            let text = form::write(&table, form);
            assert!(text.contains("34.2 s (34.1 s-34.3 s)"), "{text}");
            assert!(text.contains("not run"), "{text}");
        }
    }
}
