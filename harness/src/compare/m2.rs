//! Without a broker and with Redis, without and with a fault.

use super::column::{Column, Columns};
use super::table::{Table, seconds};
use crate::plan::Backend;
use crate::results::Results;

/// Scenarios of the columns.
const SCENARIOS: [(&str, &str); 4] = [
    ("m1-static", "M1, no broker"),
    ("m1-static-fault", "M1, fault"),
    ("m2-redis", "M2, Redis"),
    ("m2-redis-fault", "M2, fault"),
];

const WORK: &str = "M1 and M2 do not compute the same: the parameters of M1 take 1 ms, those of M2 \
    100 ms. Their times compare a scenario with and without the fault, not M1 with M2.";

/// The table of these results.
pub(super) fn table(results: &[Results]) -> Table {
    let columns = Columns::of(&SCENARIOS, SCENARIOS.len(), results);
    let row = |name: &str, cell: &dyn Fn(&Column<'_>) -> String| columns.row(name, cell);
    let whole = |figure: fn(&Results) -> usize| {
        move |it: &Column<'_>| it.tell(|run| Some(figure(run) as f64), |n| n.to_string())
    };
    let rows = vec![
        row("verdict", &|it| it.verdict()),
        row("architecture", &|it| it.word(architecture)),
        row("distribution", &|it| it.word(distribution)),
        row("fault tolerance", &|it| it.word(tolerance)),
        row("parameters", &whole(|run| run.params as usize)),
        row("workers", &whole(|run| run.workers.len())),
        row("execution time", &|it| it.tell(|run| run.wall_s, seconds)),
        row("params/s", &|it| it.tell(|run| run.throughput_params_per_s, |n| format!("{n:.1}"))),
        row("success rate", &|it| it.tell(|run| Some(success(run)), |n| format!("{n:.1} %"))),
    ];
    Table {
        title: "Without a broker and with one".to_owned(),
        columns: columns.headings(),
        rows,
        notes: if columns.own > 0 { vec![WORK.to_owned()] } else { Vec::new() },
    }
}

fn architecture(run: &Results) -> &'static str {
    match run.backend {
        Backend::Static => "workers alone",
        Backend::Embedded => "SQLite file",
        Backend::Redis => "Redis Streams",
        Backend::RabbitMq => "RabbitMQ queues",
    }
}

fn distribution(run: &Results) -> &'static str {
    match run.backend {
        Backend::Static => "fixed ranges",
        _ => "whoever is free",
    }
}

fn tolerance(run: &Results) -> &'static str {
    let struck = run.faults.iter().any(|fault| fault.bit);
    match (struck, run.coverage.missing.count) {
        (false, _) => "not tested",
        (true, 0) => "nothing lost",
        (true, _) => "range lost",
    }
}

/// Percent of the parameters that counted.
fn success(run: &Results) -> f64 {
    let lost = run.coverage.missing.count + run.coverage.dead_lettered.count;
    100.0 * run.params.saturating_sub(lost) as f64 / run.params.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::run;

    #[test]
    fn what_was_lost_is_told_of_the_run_and_not_of_the_name() {
        let whole = run("m2-redis-fault", 34.1);
        let mut lossy = whole.clone();
        lossy.coverage.missing.count = 100;
        for run in [&whole, &lossy] {
            assert!(run.faults.is_empty(), "the plan of the test strikes nobody");
        }
        let told = |run: Results| {
            let table = table(&[run]);
            [7, 3].map(|row: usize| table.rows[row].1[3].clone())
        };
        assert_eq!(told(whole)[1], "not tested");
        assert_eq!(success(&lossy), 90.0);
        let mut struck = lossy;
        struck.faults.push(crate::results::FaultFigures {
            name: "kill-1".to_owned(),
            kind: "kill".to_owned(),
            target: Some("worker-1".to_owned()),
            at_s: Some(1.0),
            bit: true,
            proof: "ended by signal 9".to_owned(),
        });
        assert_eq!(told(struck)[1], "range lost");
    }
}
